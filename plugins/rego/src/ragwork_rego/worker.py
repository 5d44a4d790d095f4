"""The process that evaluates policies. Started by path, with nothing of the platform in it.

The interpreter holds Python's lock while it evaluates and has no time limit of its own, so a policy that loops
would stop the whole server. Here the kernel of the operating system bounds it: processor time by a timer
whose signal ends the process, memory and files by resource limits.

One JSON object a line. Asked: ``{"drop": [key], "load": {key: [text, explained | null]}, "ask": [key],
"input": {}}`` or ``{"check": text}``. Answered: one line per question as soon as it is known, then ``{}``.
"""

import json
import re
import resource
import signal
import sys
from typing import Any, Final

import regorus  # type: ignore[import-untyped]  # it ships no types

PACKAGE: Final = "data.oculus.authz"
#: Rows and columns of the interpreter's errors count from 1.
_PLACE: Final = re.compile(r"--> [^\n]*:(\d+):(\d+)\n")
_MESSAGE: Final = re.compile(r"error: ([^\n]+)")


class Compiled:
    """One policy, alone in its engine. ``fault`` says why it can't be evaluated at all."""

    def __init__(self, text: str, explained: str | None) -> None:
        self.fault: dict[str, object] | None = None
        self._explaining = None
        try:
            self._engine = _engine(text)
        except Exception as error:
            self.fault = _fault(error)
            return
        if explained is not None:
            try:
                self._explaining = _engine(explained)
            except Exception:
                self._explaining = None  # decided all the same, without a line

    def decide(self, question: object) -> dict[str, object]:
        if self.fault is not None:
            return self.fault
        try:
            value = _evaluate(self._engine, question, "allow")
        except Exception as error:
            return _fault(error)
        if value is not True:
            return {"allowed": False, "is_boolean": value is None or value is False}
        return {"allowed": True, "lines": self._lines(question)}

    def _lines(self, question: object) -> list[int]:
        if self._explaining is None:
            return []
        try:
            found = _evaluate(self._explaining, question, "ragwork_lines")
        except Exception:
            return []
        return sorted(found or ())


def check(text: str) -> dict[str, object]:
    """What is wrong with ``text``, else nothing."""
    try:
        _evaluate(_engine(text), {}, "allow")
    except Exception as error:
        return _fault(error)
    return {"ok": True}


def _engine(text: str) -> Any:
    engine = regorus.Engine()
    engine.set_gather_prints(True)  # what a policy prints is nobody's log
    engine.add_policy("policy", text)
    return engine


def _evaluate(engine: Any, question: object, rule: str) -> Any:
    engine.set_input(question)
    try:
        return engine.eval_rule(f"{PACKAGE}.{rule}")
    except RuntimeError as error:
        if "not a valid rule path" in str(error):
            return None  # no such rule: undefined, like one that does not hold
        raise
    finally:
        engine.take_prints()


def _fault(error: Exception) -> dict[str, object]:
    text = str(error)
    place, message = _PLACE.search(text), _MESSAGE.search(text)
    line, column = (int(place[1]), int(place[2])) if place else (0, 0)
    said = message[1] if message else text.strip().partition("\n")[0]
    return {"error": said[:500], "line": line, "column": column}


def _limit(memory_bytes: int) -> None:
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 16),
    ):
        resource.setrlimit(kind, (limit, limit))


def main(memory_bytes: int, cpu_seconds: float) -> None:
    """Answer until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the server's to handle
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    _limit(memory_bytes)
    known: dict[str, Compiled] = {}
    answers = sys.stdout

    def answer(line: object) -> None:
        answers.write(json.dumps(line) + "\n")
        answers.flush()

    for line in sys.stdin.buffer:
        request = json.loads(line)
        for key in request.get("drop", ()):
            known.pop(key, None)
        for key in request.get("ask", ()):
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            if key not in known:
                known[key] = Compiled(*request["load"][key])
            decided = known[key].decide(request["input"])
            signal.setitimer(signal.ITIMER_PROF, 0)
            answer(decided)
        if "check" in request:
            signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
            checked = check(request["check"])
            signal.setitimer(signal.ITIMER_PROF, 0)
            answer(checked)
        answer({})


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
