"""What a check found, and how it is shown."""

from collections.abc import Iterable

import attrs
from ragwork_hooks.errors import ConfigError


@attrs.frozen(kw_only=True)
class Finding:
    """One check. ``state`` is ok, warn or fail; ``fix`` says what to do when it is not ok."""

    check: str
    state: str
    detail: str
    fix: str = ""

    @property
    def line(self) -> str:
        """All of it in one line, as the boot says it."""
        return f"{'warning: ' if self.state == 'warn' else ''}{self.detail}. Fix: {self.fix}"


def failed(check: str, error: ConfigError) -> Finding:
    """What ``error`` says, as a failure of ``check``."""
    return Finding(check=check, state="fail", detail=f"{error.where}: {error.message}", fix=error.fix)


def remarked(check: str, error: ConfigError) -> Finding:
    """The same where nothing is broken."""
    return Finding(check=check, state="warn", detail=f"{error.where}: {error.message}", fix=error.fix)


def of_all(check: str, errors: Iterable[ConfigError], sound: str) -> list[Finding]:
    """A failure for each error; without any, one finding that says ``sound``."""
    return [failed(check, error) for error in errors] or [Finding(check=check, state="ok", detail=sound)]


def lines(findings: Iterable[Finding]) -> Iterable[str]:
    """Two lines for each that is not ok, one for others."""
    marks = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}
    for finding in findings:
        yield f"{marks[finding.state]}  {finding.check}: {finding.detail}"
        if finding.fix:
            yield f"      fix: {finding.fix}"
