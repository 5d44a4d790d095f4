"""What became of a plugin's own tests: a pytest plugin that tells as they run, bounds each, and remembers."""

import signal
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Final

import attrs
import pytest

from ragwork_testkit.promises import BrokenPromise

#: Longest time in seconds for a test, and for what is set up or taken down around it.
TEST_S: Final = 30.0
AROUND_S: Final = 60.0


@attrs.define(eq=False)  # pytest keeps its plugins in sets
class Outcomes:
    """``unproved`` maps each kit to those of its tests that no class of the package has passed, or failed with a
    reason given; ``failed`` holds pairs of a test's id and what is wrong.
    """

    tell: Callable[[Mapping[str, object]], None] = attrs.field(default=lambda event: None)
    passed: int = 0
    unproved: dict[str, set[str]] = attrs.field(factory=dict)
    failed: list[tuple[str, str]] = attrs.field(factory=list)
    excuses: list[str] = attrs.field(factory=list)
    _total: int = 0
    _begun: int = 0

    def fail(self, test: str, message: str) -> None:
        self.failed.append((test, message))

    def failures(self) -> list[str]:
        """One line for each thing that is wrong, with the first test that it failed."""
        tests: dict[str, list[str]] = {}
        for test, message in self.failed:
            tests.setdefault(message, []).append(test)
        return [
            f"{first} failed: {message}" + (f" (and {len(more)} more tests)" if more else "")
            for message, (first, *more) in tests.items()
        ]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        self._total = len(items)
        for item in items:
            for mark in item.iter_markers("xfail"):
                if not mark.kwargs.get("reason"):
                    self.excuses.append(
                        f"{item.nodeid} is marked xfail without a reason: give one, or mend it"
                    )

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._begun += 1
        self.tell({"event": "begun", "test": nodeid, "number": self._begun, "total": self._total})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.when == "call" or report.skipped:
            said = "FAIL" if report.failed else "skip" if report.skipped else "ok"
            self.tell({"event": "tested", "test": report.nodeid, "said": said, "seconds": report.duration})

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Iterator[None]:
        return (yield from _bounded(item, AROUND_S))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        return (yield from _bounded(item, TEST_S))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Iterator[None]:
        return (yield from _bounded(item, AROUND_S))

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        report: pytest.TestReport = yield  # type: ignore[assignment]  # the wrapped hooks' result
        if report.failed:
            error = call.excinfo.value if call.excinfo is not None else None
            message = str(error) if isinstance(error, BrokenPromise) else _last_line(report.longreprtext)
            self.fail(item.nodeid, message)
        elif report.when == "call" and (report.passed or hasattr(report, "wasxfail")):
            self.passed += report.passed
            if isinstance(item, pytest.Function) and item.cls is not None:
                self._prove(item.cls, item.originalname)
        return report  # type: ignore[return-value]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.fail(report.nodeid, f"can't be collected: {_last_line(report.longreprtext)}")

    def _prove(self, cls: type, test: str) -> None:
        for kit in cls.__mro__:
            tests = {name for name in dir(kit) if name.startswith("test_")}
            self.unproved.setdefault(f"{kit.__module__}.{kit.__qualname__}", tests).discard(test)


def _bounded(item: pytest.Item, seconds: float) -> Iterator[None]:
    """A step of a test that is interrupted when it takes too long."""

    def over(_signal: int, frame: FrameType | None) -> None:
        place = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame is not None else ""
        raise BrokenPromise(
            f"a test ends within {seconds:g} s", "give what it waits for a timeout", f"it stood at {place}"
        )

    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return (yield)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("E ")] or text.splitlines() or [""]
    return lines[0].removeprefix("E ").strip()
