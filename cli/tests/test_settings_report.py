"""The report of the settings: every value with the layer that set it, secrets masked."""

from collections.abc import Mapping
from pathlib import Path

import attrs
from ragwork_cli.settings_report import SettingReport, explain
from ragwork_hooks.settings import setting
from ragwork_kernel.base.config import Settings
from ragwork_kernel.base.layers import SettingsLayers


@attrs.frozen(kw_only=True)
class Sample:
    word: str = setting("SAMPLE_WORD", "default", "a word")
    limit: int = setting("SAMPLE_LIMIT", 3, "a bounded number", ge=1, le=10)
    token: str | None = setting("SAMPLE_TOKEN", None, "a secret", secret=True)


def report(folder: Path, environ: Mapping[str, str]) -> dict[str, SettingReport]:
    """The rows of ``Sample``, by field."""
    rows = explain(Settings(SettingsLayers.read(folder, environ), {"sample": Sample}))
    assert {row.section for row in rows} == {"sample"}
    return {row.field: row for row in rows}


def test_every_setting_is_told_with_its_layer_its_name_and_its_help(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text("[sample]\nlimit = 7\n")
    rows = report(tmp_path, {"SAMPLE_WORD": "environ"})
    assert {field: (row.value, row.layer) for field, row in rows.items()} == {
        "word": ("'environ'", "environment"),
        "limit": ("7", "ragwork.toml"),
        "token": ("None", "default"),
    }
    assert (rows["limit"].env, rows["limit"].help) == ("SAMPLE_LIMIT", "a bounded number")


def test_explain_masks_secrets_and_only_set_ones(tmp_path: Path) -> None:
    rows = report(tmp_path, {"SAMPLE_TOKEN": "s3cret"})
    assert rows["token"].value == "********"
    assert "s3cret" not in repr(rows)
    assert report(tmp_path, {})["token"].value == "None"
