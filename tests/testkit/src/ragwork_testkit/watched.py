"""A provider as a kit calls it: each call has a deadline, leaves alone what it is given, and fails as its seam says."""

import asyncio
import copy
import inspect
import linecache
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs
from ragwork_hooks.errors import ConfigError, Problem, ProviderError
from ragwork_hooks.jobs import PermanentFailure
from ragwork_hooks.policy import PolicySourceError

from ragwork_testkit.promises import REPR, BrokenPromise

#: Longest time in seconds that a kit waits for a call, or for one piece of a stream.
PATIENCE_S: Final = 20.0
#: Longest time in seconds for a stream to close.
CLOSE_S: Final = 1.0
_OF_THE_SEAM: Final = (ProviderError, Problem, ConfigError, PolicySourceError, PermanentFailure)
P = TypeVar("P")


def watched(provider: P) -> P:
    """``provider`` behind the rules that hold for every call. Twice is once."""
    if isinstance(provider, _Watched):
        return provider
    return cast(P, _Watched(provider))


def bare(provider: P) -> P:
    """What ``watched`` was given."""
    return cast(P, provider._bare) if isinstance(provider, _Watched) else provider


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what may not leave the call ``what`` into the rule that it breaks."""
    try:
        yield
    except ProviderError as error:
        check_message(error, what)
        raise
    except (BrokenPromise, *_OF_THE_SEAM):
        raise
    except Exception as error:
        raise BrokenPromise(
            f"nothing but ProviderError leaves {what}",
            f"catch {type(error).__name__} there and raise ProviderError with a code and a sentence `from` it",
            f"{type(error).__name__}: {error}{_origin(error)}",
        ) from error


def check_message(error: ProviderError, what: str) -> None:
    """A message that a user can read: a sentence, not a Python value."""
    if not error.message.strip() or REPR.search(error.message):
        raise BrokenPromise(
            f"the message of a ProviderError of {what} is a sentence, since users read it",
            "say what failed in words, and leave the cause to `raise … from error`, where the log shows it",
            repr(error.message),
        ) from error


class _Watched:
    """Stands before a provider; attributes pass through, calls are watched."""

    def __init__(self, provider: object) -> None:
        self._bare = provider

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._bare, name)
        return _call(f"{name}()", value) if callable(value) else value


def _call(what: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        given = _Given.of(what, (*args, *kwargs.values()))
        if inspect.iscoroutinefunction(method):
            return _awaited(what, lambda: method(*args, **kwargs), given)
        with translated(what):
            result = method(*args, **kwargs)
        if isinstance(result, AsyncGenerator) or hasattr(result, "__anext__"):
            return _Stream(what, result, given)
        if inspect.isawaitable(result):
            return _awaited(what, lambda: result, given)
        given.check()
        return result

    return call


async def _awaited(what: str, begin: Callable[[], Awaitable[Any]], given: "_Given") -> Any:
    with translated(what):
        async with _deadline(what):
            answer = await begin()
    given.check()
    return answer


class _deadline:  # reads as a statement
    """``PATIENCE_S`` for the block; a ``TimeoutError`` of the block's own passes."""

    def __init__(self, what: str, seconds: float = PATIENCE_S, remedy: str = "") -> None:
        self._what, self._seconds = what, seconds
        self._remedy = remedy or "give what it waits for a timeout, and raise ProviderError when that is over"
        self._timeout = asyncio.timeout(seconds)

    async def __aenter__(self) -> None:
        await self._timeout.__aenter__()

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError:
            raise BrokenPromise(f"{self._what} ends within {self._seconds:g} s", self._remedy) from error


class _Stream:
    """An asynchronous generator, watched piece by piece."""

    def __init__(self, what: str, inner: Any, given: "_Given") -> None:
        self._what, self._inner, self._given = what, inner, given

    def __aiter__(self) -> "_Stream":
        return self

    async def __anext__(self) -> Any:
        try:
            with translated(self._what):
                async with _deadline(f"each piece of {self._what}"):
                    piece = await anext(self._inner, _END)
        finally:
            self._given.check()
        if piece is _END:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        close = getattr(self._inner, "aclose", None)
        if close is None:
            raise BrokenPromise(
                f"what {self._what} gives can be closed before its end",
                "make it `async def` with `yield`, or give its iterator an `aclose`",
            )
        remedy = "cancel the call in `finally`, and let GeneratorExit and CancelledError pass"
        try:
            async with _deadline(f"close() of {self._what}", CLOSE_S, remedy):
                await close()
        except RuntimeError as error:
            raise BrokenPromise(f"{self._what} stops at close()", remedy, str(error)) from error
        self._given.check()


_END: Final = object()


@attrs.frozen
class _Given:
    """What a call was given, with a copy from before it."""

    what: str
    given: Sequence[object]
    before: Sequence[object]

    @classmethod
    def of(cls, what: str, given: Sequence[object]) -> "_Given":
        plain = [each for each in given if isinstance(each, list | dict | tuple) or attrs.has(type(each))]
        try:
            return cls(what, plain, copy.deepcopy(plain))
        except Exception:  # something in there can't be copied, such as a transaction
            return cls(what, (), ())

    def check(self) -> None:
        for given, before in zip(self.given, self.before, strict=True):
            if given != before:
                raise BrokenPromise(
                    f"{self.what} leaves what it is given as it is",
                    "work on a copy: the caller goes on using it, for a retry and for the next provider",
                    f"{before!r} became {given!r}",
                )


def _origin(error: BaseException) -> str:
    """The line of the innermost frame that is not a library's, if there is one."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        if "site-packages" not in code.co_filename and "ragwork_testkit" not in code.co_filename:
            line = linecache.getline(code.co_filename, trace.tb_lineno).strip()
            if "/lib/python" not in code.co_filename:
                place = f", in {Path(code.co_filename).name}:{trace.tb_lineno} `{line}`"
        trace = trace.tb_next
    return place
