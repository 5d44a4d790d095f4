"""A parser is bounded by the operating system, reaches nothing, and costs its own file at most."""

import asyncio
import time
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from ragwork_hooks.parsing import ParseError
from ragwork_parsing.parsing_service import ParsingService
from ragwork_parsing.sandbox import confinement
from ragwork_parsing.text_parser import TextParser
from ragwork_testkit.parser import parsing

BOUNDS: dict[str, Any] = {
    "processes": 1, "timeout_s": 3.0, "cpu_s": 1, "memory_mb": 512, "output_mb": 4
}  # fmt: skip


@pytest.fixture
async def service(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ParsingService]:
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("parsers")))
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    async with parsing(
        import_module("misbehaving").Misbehaving(greeting="heard"), TextParser(), **BOUNDS
    ) as made:
        yield made


async def order(service: ParsingService, what: str, tenant: str = "t") -> str:
    parsed = await service.parse(tenant, what.encode(), "a.orders", "")
    return parsed.blocks[0].text.removeprefix("heard ")


@pytest.mark.parametrize(
    ("what", "code", "said"),
    [
        ("loop", "resource_limit", "1 s of processor time"),
        ("sleep", "resource_limit", "more than 3 s"),
        ("memory", "resource_limit", "too much memory"),
        ("output", "resource_limit", "4 MB for its text"),
        ("crash", "resource_limit", "SIGSEGV"),
        ("recurse", "resource_limit", "nested too deeply"),
        ("leave", "resource_limit", "without an answer"),
        ("fail", "corrupt", "KeyError: 'no such part'"),
        ("refuse", "encrypted", "It needs a password"),
    ],
)
async def test_whatever_a_parser_does_its_file_has_a_clear_error_and_the_next_is_parsed(
    service: ParsingService, what: str, code: str, said: str
) -> None:
    await service.warm()
    before = [process._process.pid for process in service._processes._idle]
    with pytest.raises(ParseError) as refused:
        await order(service, what)
    assert (refused.value.code, said in refused.value.message) == (code, True), refused.value.message
    assert (await service.parse("t", b"after it", "a.txt", "")).blocks[0].text == "after it"
    assert [process._process.pid for process in service._processes._idle] == before, (
        "the template process lives"
    )


@pytest.mark.parametrize(
    "what", ["connect", "listen", "resolve", "program", "fork", "kill", "write", "unlimit"]
)
async def test_a_parser_reaches_nothing(service: ParsingService, what: str) -> None:
    assert (await order(service, what)).startswith("refused: ")


@pytest.mark.skipif(not confinement.has_landlock(), reason="this kernel has no Landlock")
@pytest.mark.parametrize("what", ["read", "spy", "list"])
async def test_a_parser_reads_no_file_but_its_libraries(service: ParsingService, what: str) -> None:
    assert (await order(service, what)).startswith("refused: ")


async def test_a_parser_inherits_nothing(service: ParsingService) -> None:
    assert "hunter2" not in await order(service, "environment")
    said = await order(service, "descriptors")
    assert said.startswith("1 open"), said
    assert len(set(said.partition("[")[2].strip("]").split(", "))) == 1, "all three are /dev/null"


async def test_a_parser_meets_nothing_of_the_file_before(service: ParsingService) -> None:
    assert await order(service, "remember") == "remembered"
    assert await order(service, "recall") == "False"


async def test_a_tenants_slow_files_leave_a_process_to_the_others(service: ParsingService) -> None:
    greedy = [asyncio.create_task(order(service, "sleep", "greedy")) for _ in range(4)]
    await asyncio.sleep(0.5)
    parsed = await asyncio.wait_for(service.parse("modest", b"quick", "a.txt", ""), 2.5)
    assert parsed.blocks[0].text == "quick"
    assert not greedy[0].done(), "nobody was in the way"
    for task in greedy:
        task.cancel()
    await asyncio.gather(*greedy, return_exceptions=True)


async def test_a_caller_that_leaves_ends_the_parse(service: ParsingService) -> None:
    task = asyncio.create_task(order(service, "sleep"))
    await asyncio.sleep(0.7)
    task.cancel()
    await asyncio.wait([task])
    start = time.monotonic()
    assert (await service.parse("t", b"after it", "a.txt", "")).blocks[0].text == "after it"
    assert time.monotonic() - start < 2.5, "the process was still busy"


async def test_a_template_process_that_was_killed_is_replaced_within_the_parse(
    service: ParsingService,
) -> None:
    await service.warm()
    (process,) = service._processes._idle
    process._process.kill()
    assert (await service.parse("t", b"text", "a.txt", "")).blocks[0].text == "text"


async def test_a_parse_under_way_ends_with_its_template_process(service: ParsingService) -> None:
    task = asyncio.create_task(order(service, "sleep"))
    copies: list[int] = []
    while not copies:
        await asyncio.sleep(0.02)
        templates = [pid for pid in children_of_this_process() if "template_process" in command(pid)]
        copies = [copy for template in templates for copy in children(template)]
    (copy,) = copies
    task.cancel()
    await asyncio.wait([task])
    for _ in range(100):
        if copy not in every_process():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the copy is still there")


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def children_of_this_process() -> list[int]:
    return [
        pid
        for task in Path("/proc/self/task").iterdir()
        for pid in map(int, (task / "children").read_text().split())
    ]


def command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


async def test_a_parser_that_cannot_load_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).with_name("parsers")))
    broken = import_module("misbehaving").Misbehaving
    monkeypatch.setattr(broken, "__module__", "no_such_module")
    async with parsing(broken()) as service:
        with pytest.raises(Exception, match="no_such_module"):
            await service.parse("t", b"sleep", "a.orders", "")


def every_process() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
