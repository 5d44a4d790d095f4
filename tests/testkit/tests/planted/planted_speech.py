"""Voices, recognizers and channels with one fault each; ``HonestVoice`` and its like have none."""

import asyncio
import threading
import time
from contextlib import suppress
from typing import ClassVar

from planting import offer
from planting import plugin as plugin
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.speech import Audio
from ragwork_testkit.wav import comment_of, silent


class HonestVoice:
    name = "planted"

    async def synthesize(self, text):
        await asyncio.sleep(0)
        return Audio(data=silent(0.01, comment=text.encode(errors="replace").decode()), mime="audio/wav")

    async def aclose(self):
        return None


class BlockingVoice(HonestVoice):
    async def synthesize(self, text):
        time.sleep(0.1)  # noqa: ASYNC251
        return await super().synthesize(text)


class StubbornVoice(HonestVoice):
    async def synthesize(self, text):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
        return await super().synthesize(text)


class ChattyVoice(HonestVoice):
    async def synthesize(self, text):
        print("speaking", text[:10])
        return await super().synthesize(text)


class MislabelledVoice(HonestVoice):
    async def synthesize(self, text):
        return Audio(data=b"<html>", mime="audio/wav")


class ThreadyVoice(HonestVoice):
    def __init__(self):
        self.over = threading.Event()
        threading.Thread(target=self.over.wait, args=(20,), name="voice-pool", daemon=True).start()


class HonestEars:
    name = "planted"

    async def recognize(self, audio, phrases=()):
        await asyncio.sleep(0)
        if audio.mime != "audio/wav" or audio.data[:4] != b"RIFF" or len(audio.data) < 30:
            raise ProviderError("ASR_ERROR", "this is no audio")
        return comment_of(audio.data)

    async def aclose(self):
        return None


class CrashingEars(HonestEars):
    async def recognize(self, audio, phrases=()):
        if len(audio.data) < 30:
            return audio.data[44]
        return await super().recognize(audio, phrases)


class TellingEars(HonestEars):
    """Shows its users what the client's library raised."""

    async def recognize(self, audio, phrases=()):
        raise ProviderError(
            "ASR_ERROR", str(ConnectionError("ClientConnectorError(ConnectionKey(host='x'))"))
        )


class SpawningEars(HonestEars):
    def __init__(self):
        self.task = asyncio.get_running_loop().create_task(asyncio.sleep(20))


class HonestChannel:
    name = "planted"
    arrived: ClassVar[list] = []

    async def deliver(self, destination, delivery_id, notice):
        await asyncio.sleep(0)
        self.arrived.append(delivery_id)


class RenamingChannel(HonestChannel):
    """Counts deliveries by itself."""

    async def deliver(self, destination, delivery_id, notice):
        self.arrived.append(f"delivery-{len(self.arrived) + 1}")


class EditingChannel(HonestChannel):
    async def deliver(self, destination, delivery_id, notice):
        notice.data["seen"] = True
        await super().deliver(destination, delivery_id, notice)


class NamelessChannel(HonestChannel):
    name = "other"


honest_voice, blocking_voice, stubborn_voice = offer(HonestVoice), offer(BlockingVoice), offer(StubbornVoice)
chatty_voice, mislabelled_voice, thready_voice = (
    offer(ChattyVoice),
    offer(MislabelledVoice),
    offer(ThreadyVoice),
)
honest_ears, crashing_ears = offer(HonestEars), offer(CrashingEars)
telling_ears, spawning_ears = offer(TellingEars), offer(SpawningEars)
honest_channel, renaming_channel = offer(HonestChannel), offer(RenamingChannel)
editing_channel, nameless_channel = offer(EditingChannel), offer(NamelessChannel)
