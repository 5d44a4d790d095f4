"""How credentials look, as their plugins declare it to whoever must recognise or hide them."""

from collections.abc import Callable

import attrs


@attrs.frozen(kw_only=True)
class CredentialFormat:
    """How credentials of one kind look, as the plugin that mints them declares it in its contribution.

    All begin with ``prefix``, which tells the kind and may be shown; ``rest`` is a pattern of what follows, which is
    kept out of logs and records. A bearer token that begins with ``prefix`` is shown to that plugin's authenticators
    alone. They stand in ``header``. ``well_formed`` tells by form and checksum, without a look-up, whether a text may
    be one: such a credential is looked up even where its address failed too often, within an allowance.
    """

    name: str
    prefix: str
    rest: str = r"[\w-]+"
    header: str = "Authorization"
    well_formed: Callable[[str], bool] | None = None
