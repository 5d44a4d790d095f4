"""What every notification channel must do. Subclass ``ChannelContract``, supply ``destination`` and ``arrived``."""

import re
from collections.abc import AsyncIterator, Mapping, Sequence

import attrs
import pytest
from ragwork_hooks.notification import Channel, Destination, Notification
from ragwork_hooks.provider_kinds import NOTIFICATION

from ragwork_testkit.contract import ProviderContract
from ragwork_testkit.entry_point import EntryPoint
from ragwork_testkit.llm import HOSTILE_TEXTS


def notice(text: str = "quota") -> Notification:
    return Notification(type="cost.warn", data={"text": text, "share": 0.8})


class ChannelContract(ProviderContract):
    """The contract of kind ``notification``."""

    kind = NOTIFICATION

    def destination(self) -> Destination:
        """Where the channel delivers to in the test."""
        raise NotImplementedError

    def arrived(self) -> Sequence[str]:
        """The delivery ids that arrived there, in order, repeated ones too."""
        raise NotImplementedError

    async def make(self) -> Channel:
        channel: Channel = await super().make()
        return channel

    @pytest.fixture
    async def channel(self) -> AsyncIterator[Channel]:
        async with self._live() as made:
            yield made

    async def test_it_has_a_name(self, channel: Channel) -> None:
        """A name is lower case letters, digits and underscores, a letter first: set `name` to that of the entry
        point.
        """
        assert re.fullmatch(r"[a-z][a-z0-9_]*", channel.name)

    async def test_a_notice_arrives_with_its_delivery_id(self, channel: Channel) -> None:
        """A notice has arrived when `deliver` returns: await the answer of the receiver, and send the delivery
        id along.
        """
        for number in (1, 2, 3):
            await channel.deliver(self.destination(), f"delivery-{number}", notice())
        assert list(self.arrived()) == ["delivery-1", "delivery-2", "delivery-3"]

    async def test_another_attempt_has_the_same_id(self, channel: Channel) -> None:
        """Another attempt has the same delivery id: send the one that was given, so that the receiver can tell."""
        for _ in range(2):
            await channel.deliver(self.destination(), "delivery-1", notice())
        assert list(self.arrived()) == ["delivery-1", "delivery-1"]

    @pytest.mark.parametrize("hostile", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
    async def test_hostile_text_is_data(self, channel: Channel, hostile: str) -> None:
        """Any text is data: encode it for the receiver, and replace unpaired surrogates."""
        await channel.deliver(self.destination(), "delivery-1", notice(hostile))
        assert list(self.arrived()) == ["delivery-1"]

    async def _use(self, made: Channel, root: str = "") -> object:
        destination = attrs.evolve(self.destination(), url=root) if root else self.destination()
        await made.deliver(destination, "delivery-0", notice())
        return None

    def _reaching(self, point: EntryPoint, root: str) -> Mapping[str, str] | None:
        return point.at(root)
