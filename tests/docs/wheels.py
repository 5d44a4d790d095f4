"""Every distribution of this clone as a wheel, and a ``pip`` that finds the rest in uv's cache: no network."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from page import ROOT

UV = Path(sys.executable).with_name("uv")
#: What pip does, done by uv from its cache: pages are followed without a network.
_PIP = f"""#!/bin/sh
exec {UV} pip "$@"
"""
#: What a page says to make an environment, and what makes one that takes the ``pip`` above.
VENV = {"python3 -m venv": f"{UV} venv --quiet --python {sys.executable}"}


def built(folder: Path) -> dict[str, str]:
    """Settings with which ``$RAGWORK/dist`` has the wheels, and ``pip`` the versions installed here."""
    pins = [f"{found.name}=={found.version}" for found in metadata.distributions() if found.name]
    (folder / "pins.txt").write_text("\n".join(pin for pin in pins if not pin.startswith("ragwork")))
    (folder / "pip").write_text(_PIP)
    (folder / "pip").chmod(0o755)
    build = [UV, "build", "--quiet", "--all-packages", "--wheel", "--no-build-isolation", "--offline"]
    path = f"{UV.parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [*build, "--out-dir", folder / "dist"],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
    subprocess.run([sys.executable, ROOT / "tools" / "make_index.py", folder / "dist"], check=True)
    cache = subprocess.run([UV, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "RAGWORK": str(folder),
        "PATH": f"{folder}:/usr/bin:/bin",
        "UV_OFFLINE": "1",
        "UV_CACHE_DIR": cache,
        "UV_CONSTRAINT": str(folder / "pins.txt"),
    }


def missing(said: str) -> str | None:
    """The line in which uv says that its cache does not hold what is needed, if it does."""
    return next(
        iter(re.findall("^.*(?:found in the cache|network (?:is|was) disabled).*$", said, re.MULTILINE)), None
    )
