"""The command line in the process of a test."""

import pytest
from ragwork_cli import command_line


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *argv: str
) -> tuple[int, str, str]:
    """Status, standard output and standard error of ``ragwork argv``."""
    monkeypatch.setattr("sys.argv", ["ragwork", *argv])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    read = capsys.readouterr()
    return int(ended.value.code or 0), read.out, read.err
