"""Settings: the order of layers, what is refused and with which advice, and which layer set a value."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import setting
from ragwork_kernel.base.config import KernelConfig, Settings, convert
from ragwork_kernel.base.layers import SettingsLayers
from ragwork_kernel.boot import plugin_set


@attrs.frozen(kw_only=True)
class Sample:
    word: str = setting("SAMPLE_WORD", "default", "a word")
    limit: int = setting("SAMPLE_LIMIT", 3, "a bounded number", ge=1, le=10)
    ratio: float = setting("SAMPLE_RATIO", 0.5, "a fraction")
    flag: bool = setting("SAMPLE_FLAG", False, "a switch")
    names: tuple[str, ...] = setting("SAMPLE_NAMES", (), "a list")
    token: str | None = setting("SAMPLE_TOKEN", None, "a secret", secret=True)


def sample(
    tmp_path: Path,
    *,
    toml: str = "",
    dotenv: str = "",
    environ: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Settings:
    """The configuration of ``Sample`` with each layer as a file or a mapping."""
    (tmp_path / "ragwork.toml").write_text(toml)
    (tmp_path / ".env").write_text(dotenv)
    folder = tmp_path / "secrets"
    folder.mkdir(exist_ok=True)
    for name, value in (secrets or {}).items():
        (folder / name).write_text(value)
    read = SettingsLayers.read(tmp_path, environ or {})
    layers = SettingsLayers(read.toml, read.dotenv, read.environ, folder)
    return Settings(layers, {"sample": Sample})


def test_each_layer_overrides_the_weaker_ones_and_is_named(tmp_path: Path) -> None:
    layers: dict[str, Any] = {}
    steps = [
        ({}, "default", "default"),
        ({"toml": '[sample]\nword = "toml"\n'}, "toml", "ragwork.toml"),
        ({"dotenv": "SAMPLE_WORD=dotenv\n"}, "dotenv", ".env"),
        ({"environ": {"SAMPLE_WORD": "environ"}}, "environ", "environment"),
        ({"secrets": {"sample_word": "secret\n"}}, "secret", "secret file"),
    ]
    for added, value, layer in steps:
        layers |= added
        configuration = sample(tmp_path, **layers)
        assert configuration.section("sample").word == value
        assert configuration.layer("sample", "word") == layer


def test_a_variable_ending_in_file_names_a_secret_file(tmp_path: Path) -> None:
    named = tmp_path / "token"
    named.write_text("  from a file\n")
    configuration = sample(
        tmp_path, environ={"SAMPLE_TOKEN": "from the environment", "SAMPLE_TOKEN_FILE": str(named)}
    )
    assert configuration.section("sample").token == "from a file"
    with pytest.raises(ConfigError, match=r"SAMPLE_TOKEN_FILE.*does not exist"):
        sample(tmp_path, environ={"SAMPLE_TOKEN_FILE": str(tmp_path / "none")}).section("sample")


def test_a_secret_file_that_is_not_text_is_refused_by_name(tmp_path: Path) -> None:
    named = tmp_path / "token"
    named.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="SAMPLE_TOKEN"):
        sample(tmp_path, environ={"SAMPLE_TOKEN_FILE": str(named)}).section("sample")


def test_an_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    configuration = sample(tmp_path, toml="[sample]\nlimit = 7\n", environ={"SAMPLE_LIMIT": ""})
    assert configuration.section("sample").limit == 7


@pytest.mark.parametrize(
    ("toml", "advice"),
    [
        ("[sample]\nlimt = 3\n", "did you mean 'limit'"),
        ("[smaple]\nlimit = 3\n", "did you mean 'sample'"),
        ("[sample]\nzzz = 3\n", "known are: flag"),
        ("limit = 3\n", "outside a section"),
        ("[sample\n", "not valid TOML"),
    ],
)
def test_what_no_settings_class_knows_is_refused_with_the_nearest_match(
    tmp_path: Path, toml: str, advice: str
) -> None:
    with pytest.raises(ConfigError, match=advice):
        sample(tmp_path, toml=toml).check()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMPLE_LIMIT", "many"),
        ("SAMPLE_LIMIT", "3.5"),
        ("SAMPLE_LIMIT", "0"),
        ("SAMPLE_LIMIT", "11"),
        ("SAMPLE_RATIO", "nan"),
        ("SAMPLE_RATIO", "inf"),
        ("SAMPLE_FLAG", "maybe"),
    ],
)
def test_a_value_of_the_wrong_type_or_beyond_its_bounds_names_its_variable(
    tmp_path: Path, name: str, value: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        sample(tmp_path, environ={name: value}).section("sample")
    assert refused.value.where == name
    assert refused.value.fix


@pytest.mark.parametrize(
    "line",
    ["limit = 3.7", "limit = inf", "limit = nan", "limit = true", "word = 3", "names = 3", "ratio = nan"],
)
def test_a_toml_value_of_the_wrong_type_is_refused_not_rounded(tmp_path: Path, line: str) -> None:
    with pytest.raises(ConfigError):
        sample(tmp_path, toml=f"[sample]\n{line}\n").section("sample")


def test_lists_and_switches_are_read_from_text_and_from_toml(tmp_path: Path) -> None:
    text = sample(tmp_path, environ={"SAMPLE_NAMES": "a, b,,c ", "SAMPLE_FLAG": "Yes"}).section("sample")
    toml = sample(tmp_path, toml='[sample]\nnames = ["a", "b", "c"]\nflag = true\n').section("sample")
    assert text.names == toml.names == ("a", "b", "c")
    assert text.flag is toml.flag is True


def test_two_owners_of_one_variable_stop_the_boot_and_are_both_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="both first and second"):
        Settings(SettingsLayers.read(tmp_path, {}), {"first": Sample, "second": Sample}).check()


def test_the_section_of_a_disabled_plugin_is_checked_and_not_refused(tmp_path: Path) -> None:
    config = tmp_path / "ragwork.toml"
    config.write_text('[kernel]\nplugins = ["directory"]\n\n[documents]\n')
    assert "documents" not in {p.name for p in plugin_set.read(tmp_path, {}).plugins}
    config.write_text('[kernel]\nplugins = ["directory"]\n\n[documents]\nno_such_key = 1\n')
    with pytest.raises(ConfigError, match="no_such_key"):
        plugin_set.read(tmp_path, {})


def test_one_process_can_hold_two_configurations(tmp_path: Path) -> None:
    one = plugin_set.read(tmp_path, {"RAGWORK_PLUGINS": "directory", "APP_NAME": "one"})
    two = plugin_set.read(tmp_path, {"RAGWORK_PLUGINS": "rbac", "APP_NAME": "two"})
    assert (one.kernel.app_name, two.kernel.app_name) == ("one", "two")
    assert [p.name for p in one.plugins] == ["directory"]
    assert [p.name for p in two.plugins] == ["rbac"]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)


@given(
    raw=scalars | st.lists(scalars, max_size=3),
    target=st.sampled_from([int, float, bool, str, tuple[str, ...]]),
)
def test_converting_any_value_gives_its_type_or_a_config_error(raw: Any, target: Any) -> None:
    try:
        value = convert(raw, target, "X")
    except ConfigError:
        return
    assert type(value) is (target if isinstance(target, type) else tuple)
    assert value == value


def test_every_kernel_setting_has_a_default_that_passes_its_own_bounds() -> None:
    assert KernelConfig().profile == "development"
