"""Plugin ``fake``: a chat model and a voice that always do the same, for performance runs and tests."""

from ragwork_hooks.plugin import PluginInfo, hookimpl

from ragwork_fake.config import FakeConfig


class FakePlugin:
    """Registers the providers ``fake`` of the kinds ``llm`` and ``tts``."""

    @hookimpl
    def ragwork_info(self) -> PluginInfo:
        return PluginInfo(
            name="fake",
            summary="Deterministic chat model and silent voice for performance runs",
            config=FakeConfig,
        )


plugin = FakePlugin()
