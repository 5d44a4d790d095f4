"""Gates and sinks with one fault each."""

import asyncio
import time
from contextlib import suppress

from ragwork_hooks.authz import ABSTAIN, Deny, Everything

#: What took effect, over all sinks of a test.
LOG = []


class Judge:
    name = "planted"
    stage = "role"

    async def decide(self, principal, action, resource, tx):
        return Deny() if action.name == "document.read" else ABSTAIN

    async def narrow(self, principal, action, scope):
        return scope


class Widens(Judge):
    async def narrow(self, principal, action, scope):
        return Everything()


class SaysTrue(Judge):
    async def decide(self, principal, action, resource, tx):
        return True


class Sleeps(Judge):
    async def decide(self, principal, action, resource, tx):
        if principal.platform and principal.groups:
            time.sleep(0.06)  # noqa: ASYNC251
        return await super().decide(principal, action, resource, tx)


class Crashes(Judge):
    async def decide(self, principal, action, resource, tx):
        return {"document.read": Deny()}[action.name]


class Sink:
    name = "planted"
    types = ("index.*",)

    async def deliver(self, delivery):
        await asyncio.sleep(0)
        if delivery.id not in LOG:
            LOG.append(delivery.id)


class Repeats(Sink):
    async def deliver(self, delivery):
        LOG.append(delivery.id)


class Marks(Sink):
    async def deliver(self, delivery):
        delivery.event.payload["seen"] = True
        await super().deliver(delivery)


class Holds(Sink):
    async def deliver(self, delivery):
        time.sleep(0.06)  # noqa: ASYNC251
        await super().deliver(delivery)


class Insists(Sink):
    async def deliver(self, delivery):
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
        await super().deliver(delivery)
