"""The token of an identity provider: ``nrgscim_<id>_<secret>``."""

from typing import Final

from ragwork_hooks.credentials import TokenFormat

SCIM: Final = TokenFormat("nrgscim_")
FORMAT: Final = SCIM.declared("SCIM token")
