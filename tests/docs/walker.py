"""Walking a page of docs: its commands run in order in one shell, and what they print is held against the page.

A fence ``console`` has commands after ``$`` and what each prints; a fence ``sh`` has commands alone. ``…`` on the page
stands for anything. Identifiers, times and figures of speed may differ. A fence after a comment
``<!-- not run: reason -->`` is left out, and the reason is listed. What a page leaves running in the background,
such as a server, ends with the page.
"""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]*?) -->\n+)?^```(?P<kind>\w*)\n(?P<body>.*?)^```$", re.M | re.S
)
_FILE = re.compile(r"^File `([^`]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_END = "\x1e"
_PATIENCE_S = 100
#: Both outputs in one; at the end of the page, whatever its commands left running ends too.
_PROLOGUE = "exec 2>&1\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n"
#: What may differ between the page and a run of it.
_VARIES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d|Z)"
    r"|\b[0-9a-f]{32}\b|\bnrgk_\w+|\b\d+\.\d+\b|\b\d+ docs/s"
    # An id: in both cases, and with a digit or so many capitals that it is no word.
    r"|\b(?=\w*[a-z])(?=\w*\d\w*[A-Z]|\w*[A-Z]\w*\d|(?:\w*?[A-Z]){4})\w{16}\b"
)


@attrs.frozen
class Command:
    """A command of a page and what the page says that it prints; ``None`` where it says nothing."""

    text: str
    shown: str | None


@attrs.frozen
class Page:
    """What a page tells its reader to do."""

    files: dict[str, str]
    commands: list[Command]
    left_out: list[str]

    @property
    def serves(self) -> bool:
        """Whether it starts servers itself."""
        return any("ragwork serve" in command.text for command in self.commands)


def read(text: str) -> Page:
    """The commands of a page, in order."""
    commands: list[Command] = []
    left_out: list[str] = []
    for fence in _FENCE.finditer(text):
        if fence["kind"] not in ("console", "sh"):
            continue
        if fence["why"]:
            left_out.append(fence["why"])
        elif fence["kind"] == "sh":
            commands.append(Command(fence["body"], None))
        else:
            commands.extend(_dialogue(fence["body"]))
    return Page(dict(_FILE.findall(text)), commands, left_out)


def _dialogue(body: str) -> Iterator[Command]:
    lines = body.splitlines()
    while lines:
        line = lines.pop(0)
        assert line.startswith("$ "), f"a console begins with a command: {line}"
        command = line.removeprefix("$ ")
        while not _whole(command):
            command += "\n" + lines.pop(0)
        shown: list[str] = []
        while lines and not lines[0].startswith("$ "):
            shown.append(lines.pop(0))
        yield Command(command, "\n".join(shown))


def _whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:
        return False
    return not command.endswith(("\\", "|"))


def walk(
    page: Page, folder: Path, environ: dict[str, str], replace: dict[str, str]
) -> Iterator[tuple[Command, str]]:
    """Every command with what it printed; both outputs together, as a terminal shows them."""
    for name, content in page.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(_replaced(content, replace))
    script = "".join(f"{command.text}\nprintf '{_END}'\n" for command in page.commands)
    ended = _printed(_replaced(script, replace), folder, environ)
    printed = _replaced(ended, {new: old for old, new in reversed(replace.items()) if new})
    outputs = printed.split(_END)
    assert len(outputs) > len(page.commands), f"the page ends the shell: {outputs[-1]}"
    yield from zip(page.commands, outputs, strict=False)


def _replaced(text: str, replace: dict[str, str]) -> str:
    for old, new in replace.items():
        text = text.replace(old, new)
    return text


def _printed(script: str, folder: Path, environ: dict[str, str]) -> str:
    """What a script prints until its end."""
    with subprocess.Popen(
        ["bash", "-c", _PROLOGUE + script],
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as shell:
        try:
            return shell.communicate(timeout=_PATIENCE_S)[0]
        except subprocess.TimeoutExpired:
            os.killpg(shell.pid, signal.SIGTERM)
            raise AssertionError(f"the page does not end; it printed:\n{shell.communicate()[0]}") from None


def agrees(shown: str, printed: str) -> bool:
    """Whether ``printed`` is what the page shows, but for what may vary; spaces and line ends don't matter."""
    pattern = ".*?".join(re.escape(_plain(piece)) for piece in shown.split("…"))
    return re.fullmatch(pattern, _plain(printed), re.DOTALL) is not None


def _plain(text: str) -> str:
    return re.sub(r"\s+", "", _VARIES.sub("~", text))
