"""Connectors with one fault each; ``HonestConnector`` has none. The source is a dictionary of this process."""

import hashlib
import time

from ragwork_hooks.connectors import SourceItem
from ragwork_hooks.errors import ProviderError
from ragwork_hooks.plugin import PluginInfo, hookimpl
from ragwork_hooks.providers import Provider

FILES: dict[str, bytes] = {}
BROKEN: list[bool] = []
PAGE = 10


class Plugin:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="planted", summary="planted faults")


plugin = Plugin()


class HonestConnector:
    name = "planted"

    def open(self, options):
        return self

    async def items(self):
        for number, key in enumerate(self.listed()):
            if BROKEN and number == PAGE:
                self.broken()
                return
            yield SourceItem(key=key, version=self.version(key), size=len(FILES[key]))

    async def read(self, item, max_bytes):
        data = FILES.get(item.key)
        if data is None or len(data) > max_bytes:
            raise ProviderError("CONNECTOR_ERROR", "the file is gone or too large")
        return data

    def listed(self):
        return [key for key in FILES if not any(part.startswith(".") for part in key.split("/"))]

    def version(self, key):
        return hashlib.sha256(FILES[key]).hexdigest()

    def broken(self):
        raise ProviderError("CONNECTOR_ERROR", "the listing broke off")


class OnePageConnector(HonestConnector):
    def listed(self):
        return super().listed()[:PAGE]


class TwiceConnector(HonestConnector):
    def listed(self):
        return super().listed() * 2


class QuietConnector(HonestConnector):
    def broken(self):
        return None


class StaleConnector(HonestConnector):
    def version(self, key):
        return key


class RestlessConnector(HonestConnector):
    def version(self, key):
        return str(time.monotonic_ns())


class KeepingConnector(HonestConnector):
    def __init__(self):
        self.kept = []

    def listed(self):
        self.kept += [key for key in super().listed() if key not in self.kept]
        return self.kept

    def version(self, key):
        return super().version(key) if key in FILES else "gone"

    async def items(self):
        for key in self.listed():
            yield SourceItem(key=key, version=self.version(key), size=len(FILES.get(key, b"")))


class ShowingConnector(HonestConnector):
    def listed(self):
        return list(FILES)


class BoundlessConnector(HonestConnector):
    async def read(self, item, max_bytes):
        return await super().read(item, 10**9)


class BlockingConnector(HonestConnector):
    def listed(self):
        time.sleep(0.3)
        return super().listed()


def offer(made):
    async def open(context):
        return made()

    return Provider(name="planted", open=open)


honest_connector, one_page, twice, quiet, stale, restless, keeping, showing, unbounded, blocking = map(
    offer,
    (
        HonestConnector,
        OnePageConnector,
        TwiceConnector,
        QuietConnector,
        StaleConnector,
        RestlessConnector,
        KeepingConnector,
        ShowingConnector,
        BoundlessConnector,
        BlockingConnector,
    ),
)
