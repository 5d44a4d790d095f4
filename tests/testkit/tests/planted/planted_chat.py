"""Chat models with one fault each; ``Honest`` has none."""

import asyncio
import json
import time
import urllib.request
from typing import ClassVar

import aiohttp
import attrs
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.llm import Delta, Usage
from ragwork_hooks.plugin import PluginInfo, hookimpl
from ragwork_hooks.providers import Provider
from ragwork_hooks.settings import setting

USAGE = Delta(usage=Usage(input_tokens=3, output_tokens=4, estimated=True))


@attrs.frozen(kw_only=True)
class Config:
    url: str = setting("PLANTED_URL", "http://127.0.0.1:9", "the service")


class Plugin:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="planted", summary="planted faults", config=Config)


plugin = Plugin()


class Honest:
    name = "planted"

    def __init__(self, config):
        self.url = config.url

    async def stream(self, request):
        for word in request.question.encode(errors="replace").decode().split()[3:6]:
            await asyncio.sleep(0)
            yield Delta(text=f"{word} ")
        yield USAGE

    async def aclose(self):
        return None


class Blocks(Honest):
    async def stream(self, request):
        yield Delta(text="well")
        time.sleep(0.1)  # noqa: ASYNC251
        yield USAGE


class GoesOnAfterClose(Honest):
    async def stream(self, request):
        for _ in range(3):
            try:
                yield Delta(text="and ")
            except GeneratorExit:
                yield Delta(text="one more")
        yield USAGE


class SwallowsCancellation(Honest):
    async def stream(self, request):
        try:
            yield Delta(text="well")
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            yield Delta(text="let me finish")
        yield USAGE


class UsageTwice(Honest):
    async def stream(self, request):
        yield Delta(text="well")
        yield USAGE
        yield USAGE


class TextAfterUsage(Honest):
    async def stream(self, request):
        yield USAGE
        yield Delta(text="well")


class Shuffles(Honest):
    async def stream(self, request):
        words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
        for word in sorted(words, key=lambda _: time.perf_counter_ns() * 7919 % 1013):
            yield Delta(text=word)
        yield USAGE


class EditsTheRequest(Honest):
    async def stream(self, request):
        request.passages and list.clear(request.passages)
        yield Delta(text="well")
        yield USAGE


class LeaksATask(Honest):
    tasks: ClassVar[list] = []

    async def stream(self, request):
        self.tasks.append(asyncio.ensure_future(asyncio.sleep(20)))
        yield Delta(text="well")
        yield USAGE


class RawErrors(Honest):
    """Calls its service with what the standard library has, in a thread."""

    async def stream(self, request):
        answer = await asyncio.to_thread(lambda: urllib.request.urlopen(self.url, timeout=3).read(1000))
        yield Delta(text=json.loads(answer)["text"])
        yield USAGE


class CallsOnTheLoop(Honest):
    async def stream(self, request):
        try:
            answer = urllib.request.urlopen(self.url, timeout=3).read(1000)  # noqa: ASYNC210
        except OSError as error:
            raise ProviderError("LLM_ERROR", "the service is away", retryable=True) from error
        yield Delta(text=str(answer))
        yield USAGE


class ReadsAll(Honest):
    async def stream(self, request):
        try:
            async with aiohttp.ClientSession() as session, session.get(self.url) as answer:
                text = await answer.text(errors="replace")
        except (aiohttp.ClientError, OSError) as error:
            raise ProviderError("LLM_ERROR", "the service is away", retryable=True) from error
        yield Delta(text=text[:100])
        yield USAGE


class ThreadGoesOn(Honest):
    async def stream(self, request):
        try:
            await asyncio.to_thread(lambda: urllib.request.urlopen(self.url, timeout=9).read(1000))
        except OSError as error:
            raise ProviderError("LLM_ERROR", "the service is away", retryable=True) from error
        yield USAGE


class Returns(Honest):
    async def stream(self, request):
        return [Delta(text="well"), USAGE]


def offer(made):
    async def open(context):
        return made(context.config)

    return Provider(name="planted", open=open)


async def _nothing(context):
    return None


async def _something(context):
    return {"model": "gpt"}


async def _never(context):
    await asyncio.sleep(3600)


async def _blocked(context):
    time.sleep(0.2)  # noqa: ASYNC251
    return Honest(context.config)


honest, blocks, goes_on, swallows = map(offer, (Honest, Blocks, GoesOnAfterClose, SwallowsCancellation))
usage_twice, text_after_usage, shuffles = map(offer, (UsageTwice, TextAfterUsage, Shuffles))
edits, leaks_a_task, raw_errors, on_the_loop = map(
    offer, (EditsTheRequest, LeaksATask, RawErrors, CallsOnTheLoop)
)
reads_all, thread_goes_on, returns = map(offer, (ReadsAll, ThreadGoesOn, Returns))
opens_nothing, opens_something = (
    Provider(name="planted", open=_nothing),
    Provider(name="planted", open=_something),
)
open_hangs, open_blocks = Provider(name="planted", open=_never), Provider(name="planted", open=_blocked)
no_provider = Honest
