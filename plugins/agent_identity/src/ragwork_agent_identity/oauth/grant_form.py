"""The fields of a token request: those that both surfaces know."""

import attrs
from ragwork_hooks.fields import text


@attrs.frozen(kw_only=True)
class GrantForm:
    """What both surfaces of OAuth take of all grants; each grant takes its own."""

    #: `client_credentials`, `refresh_token` or `urn:ietf:params:oauth:grant-type:token-exchange`. Example:
    #: "client_credentials"
    grant_type: str = text(max_length=100)
    #: The agent; absent with Basic. Example: "oc_3f9a"
    client_id: str | None = text(default=None, max_length=200)
    #: Its secret; absent with Basic or an assertion. Example: "cs_live_…"
    client_secret: str | None = text(default=None, max_length=500)
    #: A JWT that it signed, instead of a secret.
    client_assertion: str | None = text(default=None, max_length=16_384)
    #: `urn:ietf:params:oauth:client-assertion-type:jwt-bearer` with an assertion.
    client_assertion_type: str | None = text(default=None, max_length=200)
    #: Scopes with spaces between. Example: "documents:read"
    scope: str | None = text(default=None, max_length=8192)
    #: Whom the token is for.
    audience: str | None = text(default=None, max_length=512)
    #: With grant `refresh_token`.
    refresh_token: str | None = text(default=None, max_length=200)
    #: With an exchange: the token to exchange.
    subject_token: str | None = text(default=None, max_length=16_384)
    #: With an exchange: its type.
    subject_token_type: str | None = text(default=None, max_length=200)
