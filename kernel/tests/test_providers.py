"""The binding table: strict names and options, one opening, provider_middleware composed once."""

import asyncio
import contextlib
import threading
from typing import Any

import attrs
import pytest
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_hooks.provider_kinds import EMBEDDING, LLM
from ragwork_hooks.providers import Provider, ProviderContext, ProviderMiddleware
from ragwork_kernel.base import discovery
from ragwork_kernel.boot import providers as providers_module
from ragwork_kernel.boot.providers import ProviderOffer, ProviderTable

CONTEXT: ProviderContext[Any] = ProviderContext(services=None, config=None)  # type: ignore[arg-type]


@attrs.frozen(kw_only=True)
class Options:
    depth: int = 3


class Opened:
    def __init__(self, fails_to_close: bool = False) -> None:
        self.closed = 0
        self._fails = fails_to_close

    async def aclose(self) -> None:
        self.closed += 1
        if self._fails:
            raise RuntimeError


class Factory:
    """A provider's factory; fails as often as told, then opens."""

    def __init__(self, failures: int = 0, opened: Opened | None = None) -> None:
        self.calls = 0
        self.opened = opened or Opened()
        self._failures = failures

    async def open(self, _context: ProviderContext[Any]) -> Any:
        self.calls += 1
        await asyncio.sleep(0.01)
        if self.calls <= self._failures:
            raise ProviderError("EMBEDDING_CONFIG_INVALID", "not yet")
        return self.opened


def table(
    monkeypatch: pytest.MonkeyPatch,
    provider_middleware: tuple[ProviderMiddleware[Any], ...] = (),
    **factories: Factory,
) -> ProviderTable:
    """A table of embedding providers that come from ``factories`` instead of entry points."""
    providers: dict[str, Provider[Any]] = {
        name: Provider(name=name, open=factory.open, options=Options) for name, factory in factories.items()
    }
    monkeypatch.setattr(discovery, "load", lambda _group, name: providers[name])
    made = ProviderTable()
    made.fill(
        [ProviderOffer(kind="embedding", name=name, entry=name, context=CONTEXT) for name in factories],
        provider_middleware,
    )
    return made


async def test_an_unknown_name_is_a_typed_error_with_the_nearest_match(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = table(monkeypatch, minilm=Factory())
    with pytest.raises(ProviderError, match="did you mean 'minilm'") as refused:
        await made.open(EMBEDDING, "minlm")
    assert refused.value.code == "EMBEDDING_CONFIG_INVALID"
    with pytest.raises(ProviderError):
        await made.open(LLM, "minilm")


async def test_a_provider_is_opened_once_however_many_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = Factory()
    made = table(monkeypatch, one=factory)
    assert factory.calls == 0
    opened = await asyncio.gather(*(made.open(EMBEDDING, "one") for _ in range(10)))
    assert factory.calls == 1
    assert len({id(o) for o in opened}) == 1


async def test_a_caller_that_gives_up_does_not_stop_the_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    factory = Factory()
    made = table(monkeypatch, one=factory)
    first = asyncio.create_task(made.open(EMBEDDING, "one"))
    await asyncio.sleep(0.005)
    first.cancel()
    assert await made.open(EMBEDDING, "one") is factory.opened
    assert factory.calls == 1


async def test_a_failed_opening_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(monkeypatch, one=Factory(failures=1))
    with pytest.raises(ProviderError):
        await made.open(EMBEDDING, "one")
    assert await made.open(EMBEDDING, "one")


async def test_wraps_of_the_kind_are_composed_once_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    def wrapping(label: str) -> Any:
        def wrap(name: str, inner: Any) -> Any:
            log.append(f"{label} {name}")
            return (label, inner)

        return wrap

    provider_middleware = (
        ProviderMiddleware(kind=EMBEDDING, name="a", wrap=wrapping("inner")),
        ProviderMiddleware(kind=LLM, name="b", wrap=wrapping("other kind")),
        ProviderMiddleware(kind=EMBEDDING, name="c", wrap=wrapping("outer")),
    )
    factory = Factory()
    made = table(monkeypatch, provider_middleware, one=factory)
    for _ in range(3):
        assert await made.open(EMBEDDING, "one") == ("outer", ("inner", factory.opened))  # type: ignore[comparison-overlap]
    assert log == ["inner one", "outer one"]


async def test_closing_reaches_what_a_wrap_hides_and_survives_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bad, good = Opened(fails_to_close=True), Opened()
    hide = ProviderMiddleware(kind=EMBEDDING, name="hide", wrap=lambda _name, _inner: object())
    made = table(monkeypatch, (hide,), bad=Factory(opened=bad), good=Factory(opened=good))
    await made.open(EMBEDDING, "bad")
    await made.open(EMBEDDING, "good")
    await made.close()
    assert (bad.closed, good.closed) == (1, 1)


async def test_options_are_held_against_the_providers_class(monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(monkeypatch, one=Factory())
    await made.check(EMBEDDING, "one", {"depth": 5}, "t1")
    with pytest.raises(Problem, match="Validation") as refused:
        await made.check(EMBEDDING, "one", {"detph": 5}, "t1")
    assert "did you mean 'depth'" in str(refused.value.details)
    with pytest.raises(Problem):
        await made.check(EMBEDDING, "one", {"depth": "deep"}, "t1")


@pytest.mark.parametrize("first", ["check", "open"])
async def test_a_provider_is_imported_off_the_loop_and_once(
    monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    made, threads = table(monkeypatch, one=Factory()), []
    inner = discovery.load

    def load(group: str, name: str) -> object:
        threads.append(threading.get_ident())
        return inner(group, name)

    monkeypatch.setattr(discovery, "load", load)
    await (made.check(EMBEDDING, "one", {}, "t1") if first == "check" else made.open(EMBEDDING, "one"))
    await made.check(EMBEDDING, "one", {"depth": 5}, "t1")
    assert len(threads) == 1
    assert threads[0] != threading.get_ident()


def test_names_are_listed_by_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    made = table(monkeypatch, b=Factory(), a=Factory())
    assert made.names(EMBEDDING) == ["a", "b"]
    assert made.names(LLM) == []


class Deaf:
    """Neither opens nor closes, and does not listen when it is cancelled."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def open(self, _context: ProviderContext[Any]) -> Any:
        await self.hang()

    async def hang(self) -> None:
        while not self.let_go.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await self.let_go.wait()

    aclose = hang


async def test_a_provider_that_hangs_while_it_opens_or_closes_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(providers_module, "CLOSE_S", 0.1)
    deaf = Deaf()
    sound = Factory()
    providers = table(monkeypatch, deaf=deaf, stuck=Factory(opened=deaf), sound=sound)  # type: ignore[arg-type]
    providers._open_timeout_s = 0.1
    for _ in range(2):
        with pytest.raises(ProviderError, match=r"'deaf' did not open within 0\.1 s") as refused:
            await asyncio.wait_for(providers.open(EMBEDDING, "deaf"), 2)
        assert (refused.value.code, refused.value.retryable) == ("INTEGRATION_UNAVAILABLE", True)
    assert "PROVIDER_OPEN_TIMEOUT_SECONDS" in caplog.text
    assert await providers.open(EMBEDDING, "sound") is sound.opened
    await providers.open(EMBEDDING, "stuck")
    await asyncio.wait_for(providers.close(), 2)
    assert sound.opened.closed == 1
    deaf.let_go.set()
    await asyncio.sleep(0)
