"""Every command of every plugin, every option fed what nobody should type: one line and a status, never a traceback."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
import pytest_asyncio
from ragwork_hooks.commands import Command, Option
from ragwork_hooks.errors import ConfigError, Problem, ProviderError
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running, option_values, running

pytestmark = pytest.mark.asyncio(loop_scope="module")

GARBAGE = (
    "nosuch", "0", "-1", "abc", "9" * 30, "x" * 5_000, "../../../etc/passwd", "/proc/self/mem", "/", "\U0001f4a5",
    "a'; DROP TABLE x; --", "%s%n{0}", "a\x00b", "caf\udcc3", "", " ", "\r\n", "--help", "2026-13-45", "1e999", "null",
)  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def app(postgres: PostgresServer) -> AsyncIterator[Running]:
    async with running(postgres) as app:
        await app.key("t1")
        yield app


def sane(option: Option, folder: Path) -> str | bool | None:
    """Something that parses, so that one wrong value at a time is met."""
    if option.flag:
        return False
    if not option.required:
        return None
    if option.choices:
        return option.choices[0]
    return {"tenant": "t1", "path": str(folder / "new"), "duration": "1h", "integer": "1"}.get(
        option.type, "x"
    )


async def outcome(app: Running, command: Command, typed: Mapping[str, str | bool | None]) -> str:
    """What the operator reads; everything that is no refusal is raised."""
    try:
        options = option_values(command, typed)
    except ValueError as refusal:
        return str(refusal)
    try:
        return f"status {await app.run(command, options)}"
    except (ConfigError, Problem, ProviderError) as refusal:
        return str(refusal)


async def test_no_option_of_any_command_ends_in_a_traceback(app: Running, tmp_path: Path) -> None:
    met = 0
    for command in app.commands():
        for wrong in command.options:
            if wrong.flag or wrong.choices:
                continue
            for text in GARBAGE:
                typed = {o.name.replace("-", "_"): sane(o, tmp_path) for o in command.options}
                typed[wrong.name.replace("-", "_")] = text
                met += 1
                assert "\n" not in await outcome(app, command, typed), (command.path, wrong.name, text)
    assert met > 200
