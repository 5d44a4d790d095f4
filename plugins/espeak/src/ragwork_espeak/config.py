"""Settings of the plugin ``espeak``."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class EspeakConfig:
    """Who speaks, how fast, and as what."""

    voice: str = setting(
        "ESPEAK_VOICE", "en", "Voice of espeak-ng: a language, or one with a variant (en+f3)"
    )
    rate: int = setting("ESPEAK_RATE", 175, "Words a minute", ge=80, le=450)
    format: str = setting("ESPEAK_FORMAT", "mp3", "Encoding of the speech", choices=("mp3", "wav"))
