"""A parser that does what its file says: loop, sleep, eat memory, reach out."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import attrs
from ragwork_hooks.parsing import Parsed, ParseError, SourceFile, TextBlock

TYPE = "text/x-orders"


def loop() -> str:
    while True:
        pass


def sleep() -> str:
    time.sleep(3_600)
    return "woke"


def memory() -> str:
    return f"{len(bytearray(4_000_000_000))} bytes"


def output() -> str:
    return "x" * 30_000_000


def crash() -> str:
    return ctypes.string_at(0).decode()


def leave() -> str:
    os._exit(0)


def fail() -> str:
    raise KeyError("no such part")


def refuse() -> str:
    raise ParseError("encrypted", "It needs a password")


def recurse() -> str:
    return recurse() + "x"


def environment() -> str:
    return repr(dict(os.environ))


def descriptors() -> str:
    """What is open beside the three standard ones and the pipe to the parent."""
    found = []
    for number in range(3, 64):
        try:
            os.fstat(number)
        except OSError:
            continue
        found.append(number)
    return f"{len(found)} open, standard: {[os.fstat(each).st_rdev for each in (0, 1, 2)]}"


def remember() -> str:
    sys.modules["ragwork_was_here"] = sys
    return "remembered"


def recall() -> str:
    return str("ragwork_was_here" in sys.modules)


def tried(attempt: Callable[[], object]) -> str:
    try:
        return f"allowed: {attempt()!r}"
    except (OSError, ValueError) as error:
        return f"refused: {error}"


ORDERS: Mapping[str, Callable[[], str]] = {
    "loop": loop, "sleep": sleep, "memory": memory, "output": output, "crash": crash, "leave": leave, "fail": fail,
    "refuse": refuse, "recurse": recurse, "environment": environment, "descriptors": descriptors,
    "remember": remember, "recall": recall,
    "connect": lambda: tried(lambda: socket.create_connection(("127.0.0.1", 9), 1)),
    "listen": lambda: tried(lambda: socket.socket(socket.AF_UNIX)),
    "resolve": lambda: tried(lambda: socket.getaddrinfo("localhost.example", 80)),
    "program": lambda: tried(lambda: subprocess.run(["/bin/true"])),
    "fork": lambda: tried(os.fork),
    "kill": lambda: tried(lambda: os.kill(os.getppid(), signal.SIGKILL)),
    "write": lambda: tried(lambda: Path("/tmp/ragwork-parser-was-here").write_text("x" * 100)),
    "read": lambda: tried(lambda: Path("/etc/passwd").read_text()),
    "spy": lambda: tried(lambda: Path(f"/proc/{os.getppid()}/environ").read_bytes()),
    "list": lambda: tried(lambda: os.listdir("/")),
    "unlimit": lambda: tried(lambda: __import__("resource").setrlimit(9, (-1, -1)) or "done"),
}  # fmt: skip


@attrs.frozen
class Misbehaving:
    name: ClassVar[str] = "misbehaving"
    media_types: ClassVar[Sequence[str]] = (TYPE,)
    extensions: ClassVar[Mapping[str, str]] = {".orders": TYPE}
    greeting: str = "said"

    def load(self) -> None:
        return None

    def parse(self, source: SourceFile) -> Parsed:
        text = ORDERS[source.data.decode()]()
        return Parsed(blocks=[TextBlock(kind="paragraph", text=f"{self.greeting} {text}")])
