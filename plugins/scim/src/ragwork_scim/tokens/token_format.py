"""The token of an identity provider: ``nrgscim_<id>_<secret>``."""

from typing import Final

from ragwork_toolkit.bearer_tokens.format import TokenFormat

SCIM: Final = TokenFormat("nrgscim_")
FORMAT: Final = SCIM.declared("SCIM token")
