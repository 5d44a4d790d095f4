"""Reading a page of docs as a program: its files, its commands, and an environment to run them in."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import attrs

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FILE = re.compile(r"^File `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(text: str) -> dict[str, str]:
    """Path → content of every file that the page shows under ``File `path`:``."""
    return dict(_FILE.findall(text))


def fences(text: str, language: str) -> list[str]:
    """The contents of the page's fenced blocks of one language."""
    return [body for found, body in _FENCE.findall(text) if found == language]


@attrs.frozen(kw_only=True)
class Environment:
    """A throwaway environment that sees all that is installed here, and keeps what is installed into it."""

    bin: Path

    @classmethod
    def make(cls, folder: Path, *, with_pip: bool) -> "Environment":
        venv.create(folder, with_pip=with_pip)
        python = folder / "bin" / "python"
        site = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
        here = sysconfig.get_path("purelib")
        # A plain path would not read the .pth files in it, and with them the editable installs.
        (site / "here.pth").write_text(f"import site; site.addsitedir({here!r})\n")
        command = folder / "bin" / "ragwork"
        command.write_text(f"#!{python}\nfrom ragwork_cli.command_line import main\n\nmain()\n")
        command.chmod(0o755)
        return cls(bin=folder / "bin")

    def run(self, script: str, folder: Path, **more: str) -> str:
        """Standard output of a shell script that must succeed; both outputs stand in the failure."""
        path = f"{self.bin}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        offline = {"PIP_NO_INDEX": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        environ = {"HOME": str(folder), "PATH": path, "LC_ALL": "C.UTF-8", **offline, **more}
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=folder,
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, f"{script}\n{ended.stdout}\n{ended.stderr}"
        return ended.stdout
