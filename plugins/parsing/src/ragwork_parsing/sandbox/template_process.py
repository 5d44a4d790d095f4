"""The process whose copies parse. Started by path, with nothing of the platform in it.

It loads every parser once and then never looks at a file: for each file it makes a copy of itself (fork), which
is confined, parses, writes what it found into a pipe and ends. So a parser starts in milliseconds, meets nothing
of the file before, and can be killed without anything to start anew.

First line of standard input: ``{"path": […], "readable": […], "parsers": [[class, fields]], "memory_bytes": …,
"cpu_seconds": …, "seconds": …, "output_bytes": …, "limits": {…}}``; answered by ``{"ready": "seccomp"}`` or
``{"failed": why}``. Then for each file a line ``{"length": …, "filename": …, "declared": …, "parse": true}`` and its
bytes; answered by a line ``{"ending": …, "length": …}`` and as many bytes.
"""

import gc
import json
import os
import select
import signal
import sys
import time
from typing import Any, Final

#: How a copy ended; anything else is the name of the signal that ended it.
DONE, TOO_SLOW, TOO_LARGE = "done", "too slow", "too large"
_PIECE: Final = 1 << 20


def main() -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the server's to handle
    settings = json.loads(sys.stdin.buffer.readline())
    sys.path[:] = settings["path"]
    from ragwork_parsing.sandbox import confinement
    from ragwork_parsing.sandbox.file_worker import FileWorker

    try:
        confinement.take_files(settings["readable"])
        network = confinement.take_network()
        worker = FileWorker(settings)
    except Exception as error:
        _answer({"failed": f"{type(error).__name__}: {error}"})
        return
    gc.collect()
    gc.freeze()  # copies share what is there as long as nobody writes on it
    _answer({"ready": network})
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        data = sys.stdin.buffer.read(request["length"])
        ending, output = _copied(worker, request, data, settings)
        _answer({"ending": ending, "length": len(output)}, output)


def _answer(line: dict[str, Any], output: bytes = b"") -> None:
    sys.stdout.buffer.write(json.dumps(line).encode() + b"\n" + output)
    sys.stdout.buffer.flush()


def _copied(worker: Any, request: Any, data: bytes, settings: Any) -> tuple[str, bytes]:
    """How a copy of this process ended that works on ``data``, and what it wrote."""
    reading, writing = os.pipe()
    copy = os.fork()
    if copy == 0:
        _work(worker, request, data, settings, reading, writing)
    os.close(writing)
    output = bytearray()
    try:
        ending = _watch(reading, output, settings)
    finally:
        os.close(reading)
        if ending is not None:
            os.kill(copy, signal.SIGKILL)
        _, status = os.waitpid(copy, 0)
    if ending is None:
        ending = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else DONE
    return ending, bytes(output) if ending == DONE else b""


def _watch(reading: int, output: bytearray, settings: Any) -> str | None:
    """Collect ``output`` until its end. Why it should not go on, else nothing."""
    deadline = time.monotonic() + settings["seconds"]
    poll = select.poll()
    poll.register(reading, select.POLLIN)
    poll.register(sys.stdin.fileno(), select.POLLIN)
    while True:
        left = deadline - time.monotonic()
        ready = dict(poll.poll(max(0.0, left * 1000)))
        if not ready:
            return TOO_SLOW
        if sys.stdin.fileno() in ready:
            return "gone"  # nobody speaks now but the end of the server
        piece = os.read(reading, _PIECE)
        if not piece:
            return None
        output += piece
        if len(output) > settings["output_bytes"]:
            return TOO_LARGE


def _work(worker: Any, request: Any, data: bytes, settings: Any, reading: int, writing: int) -> None:
    """Never returns: this is the copy."""
    status = 1
    try:
        os.close(reading)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nothing, descriptor)
        os.close(nothing)
        output = worker.answer(request, data)
        while output:
            output = output[os.write(writing, output) :]
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
