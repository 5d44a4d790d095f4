"""Settings of the directory."""

import attrs
from ragwork_hooks.settings import setting


@attrs.frozen(kw_only=True)
class DirectoryConfig:
    """``IDENTITY_…``: who must agree before somebody may do more."""

    dual_control: bool = setting(
        "IDENTITY_DUAL_CONTROL_REQUIRED", False, "a role is only raised once two admins want it"
    )
