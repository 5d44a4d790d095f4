"""What an import brings with it, seen in a process of its own."""

import asyncio
import subprocess
import sys
from collections.abc import Sequence


async def brought_by(module: str, prefixes: Sequence[str]) -> Sequence[str]:
    """The modules whose names begin with one of ``prefixes`` and that are loaded once ``module`` is imported."""
    code = f"import sys, {module}\nprint(*[name for name in sys.modules if name.startswith({tuple(prefixes)!r})])"
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return str(done.stdout).split()
