"""The environment of a test that must not see this machine's own AWS settings."""

from pathlib import Path

import pytest


def clear(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """No credentials, no region, no configuration and no metadata service; ``folder`` is empty."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(folder / "none"))
    for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)
