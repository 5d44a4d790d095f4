"""The token of an API key: ``nrgk_<id>_<secret>``."""

from typing import Final

from ragwork_toolkit.bearer_tokens.format import TokenFormat

KEY: Final = TokenFormat("nrgk_")
FORMAT: Final = KEY.declared("API key")
