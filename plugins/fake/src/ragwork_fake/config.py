"""Settings of the plugin ``fake``."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class FakeConfig:
    """How much the fake model says, and how fast."""

    tokens: int = setting("FAKE_TOKENS", 40, "Tokens of a fake answer", ge=1, le=10_000)
    token_delay_ms: float = setting(
        "FAKE_TOKEN_DELAY_MS",
        0.0,
        "Pause before each token of a fake answer, in milliseconds",
        ge=0,
        le=60_000,
    )
