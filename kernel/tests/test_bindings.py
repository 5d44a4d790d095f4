"""What boots works: a setting that names a provider nobody offers, or one that can't work, stops the boot."""

import re
from pathlib import Path

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.config import ConfigErrors
from ragwork_kernel.boot import bindings
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.boot import boot

#: Every setting that binds, with a name that is nearly one of an enabled plugin.
MISTYPED = {
    "LLM_PROVIDER": ("extractiv", "did you mean 'extractive'?"),
    "EMBEDDING_PROVIDER": ("wordlama", "did you mean 'wordllama'?"),
    "TTS_PROVIDER": ("fak", "did you mean 'fake'?"),
    "LLM_FALLBACK": ("fake,extractve", "did you mean 'extractive'?"),
    "AGENT_POLICY_ENGINE": ("regoo", "did you mean 'rego'?"),
}


def faults(tmp_path: Path, **environ: str) -> list[ConfigError]:
    return bindings.faults(assemblies.read(tmp_path, environ))


def test_the_default_assembly_s_own_bindings_are_met(tmp_path: Path) -> None:
    assert faults(tmp_path) == []


def test_every_setting_that_binds_is_tried_here(tmp_path: Path) -> None:
    tts = {"TTS_PROVIDER": "fake", "LLM_FALLBACK": "fake"}
    named = {each.where for each in bindings.of_settings(assemblies.read(tmp_path, tts))}
    assert named == set(MISTYPED)


@pytest.mark.parametrize("setting", MISTYPED)
def test_a_name_that_nobody_offers_is_told_with_what_there_is_and_the_nearest(
    tmp_path: Path, setting: str
) -> None:
    value, advice = MISTYPED[setting]
    [fault] = faults(tmp_path, **{setting: value})
    assert fault.where == setting
    assert repr(value.rpartition(",")[2]) in fault.message
    assert "there are: " in fault.message
    assert fault.fix == advice


def test_only_what_is_none_by_default_can_be_none(tmp_path: Path) -> None:
    assert faults(tmp_path, TTS_PROVIDER="none") == []
    for setting in ("LLM_PROVIDER", "EMBEDDING_PROVIDER", "LLM_FALLBACK"):
        assert [fault.where for fault in faults(tmp_path, **{setting: "none"})] == [setting]


def test_the_place_is_the_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text('[kernel]\n\n[agent]\n# why\nllm_provider = "nosuch"\n')
    [fault] = faults(tmp_path)
    assert fault.where == f"{tmp_path}/ragwork.toml:5 [agent] llm_provider"
    (tmp_path / ".env").write_text("\n\nexport LLM_PROVIDER=nosuch\n")
    [fault] = faults(tmp_path)
    assert fault.where == f"{tmp_path}/.env:3 LLM_PROVIDER"


def test_a_default_that_the_operator_s_plugins_don_t_meet_stops_too(tmp_path: Path) -> None:
    """The list of plugins names no minilm, and EMBEDDING_PROVIDER was left as it is."""
    plugins = "directory,apikeys,rbac,wordllama,pgvector,documents,extractive,agent"
    [fault] = faults(tmp_path, RAGWORK_PLUGINS=plugins)
    assert fault.where == "EMBEDDING_PROVIDER"
    assert "there are: wordllama" in fault.message
    assert "ragwork plugins enable minilm" in fault.fix
    assert faults(tmp_path, RAGWORK_PLUGINS=plugins, EMBEDDING_PROVIDER="wordllama") == []


def test_the_list_that_the_how_to_shows_is_met(tmp_path: Path) -> None:
    page = Path(__file__).parents[2] / "docs/how-to/enable-and-order-plugins.md"
    [shown] = re.findall(r"```toml\n(\[kernel\]\nplugins = .*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "ragwork.toml").write_text(shown)
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("setting", "value", "needed"),
    [
        ("LLM_PROVIDER", "openai", "OPENAI_API_KEY"),
        ("TTS_PROVIDER", "openai", "OPENAI_API_KEY"),
        ("EMBEDDING_PROVIDER", "openai", "OPENAI_API_KEY"),
        ("LLM_FALLBACK", "openai", "OPENAI_API_KEY"),
        ("LLM_PROVIDER", "vertex", "GOOGLE_CLOUD_PROJECT"),
        ("EMBEDDING_PROVIDER", "vertex", "GEMINI_API_KEY"),
        ("LLM_PROVIDER", "bedrock", "BEDROCK_MODEL_ID"),
    ],
)
def test_a_provider_without_the_settings_that_it_needs_stops_the_boot_and_names_them(
    tmp_path: Path, setting: str, value: str, needed: str
) -> None:
    more = {"RAGWORK_PLUGINS_ADD": "bedrock,vertex"}
    [fault] = faults(tmp_path, **more, **{setting: value})
    assert fault.where == setting
    assert needed in fault.message


def test_with_what_it_needs_it_is_ready(tmp_path: Path) -> None:
    assert faults(tmp_path, LLM_PROVIDER="openai", OPENAI_API_KEY="sk-1") == []


async def test_the_boot_tells_all_of_it_before_it_opens_anything(tmp_path: Path) -> None:
    wrong = {"LLM_PROVIDER": "nosuch", "TTS_PROVIDER": "openai", "DATABASE_URL": "postgresql://h.invalid/n"}
    with pytest.raises(ConfigErrors) as refused:
        async with boot(assemblies.read(tmp_path, wrong), tmp_path / "data"):
            raise AssertionError("it must not boot")
    assert [error.where for error in refused.value.errors] == ["LLM_PROVIDER", "TTS_PROVIDER"]
