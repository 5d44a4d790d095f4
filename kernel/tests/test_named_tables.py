"""Tables ``[<plugin>.NAME]``: settings that there may be several of, each with providers of its own."""

from pathlib import Path

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.boot import bindings
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.boot.plugin_set import PluginSet

TABLES = """[openai.eu]
base_url = "https://eu.example.com/v1"
api_key = "k-of-the-file"
model = "eu-1"
timeout_s = 5

[openai.lab_2]
base_url = "http://127.0.0.1:9/v1"
embedding_model = "e-1"
"""


def survey(folder: Path, text: str = TABLES, **environ: str) -> PluginSet:
    (folder / "ragwork.toml").write_text(text)
    return assemblies.survey(folder, environ)


def test_each_table_is_a_section_whose_values_come_from_any_layer(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("k-of-lab\n")
    (tmp_path / ".env").write_text("OPENAI_EU_MODEL=eu-2\n")
    assembly = survey(
        tmp_path, OPENAI_EU_TIMEOUT_S="7", OPENAI_LAB_2_API_KEY_FILE=str(key), OPENAI_MODEL="own"
    )
    assert assembly.faults == ()
    eu, lab = (assembly.configuration.section(f"openai.{name}") for name in ("eu", "lab_2"))
    assert (eu.base_url, eu.api_key, eu.model, eu.timeout_s) == (
        "https://eu.example.com/v1",
        "k-of-the-file",
        "eu-2",
        7.0,
    )
    assert (lab.api_key, lab.model, lab.embedding_model) == ("k-of-lab", None, "e-1")
    assert assembly.configuration.section("openai").model == "own"
    assert {"k-of-the-file", "k-of-lab"} <= set(assembly.configuration.secret_values())
    assert "k-of" not in repr((eu, lab))
    assert assembly.configuration.place("openai.eu", "timeout_s") == "OPENAI_EU_TIMEOUT_S"
    assert (
        assembly.configuration.place("openai.eu", "api_key")
        == f"{tmp_path}/ragwork.toml:3 [openai.eu] api_key"
    )


def test_every_provider_of_the_plugin_is_there_once_more_for_each(tmp_path: Path) -> None:
    offered = bindings.offers(survey(tmp_path))
    named = {name for kind, name in offered if kind == "llm" and name.startswith("openai")}
    assert named == {"openai", "openai.eu", "openai.lab_2"}
    assert not [name for _, name in offered if "." in name and not name.startswith("openai.")]


@pytest.mark.parametrize(
    ("text", "where", "message", "fix"),
    [
        ('[openai.eu]\nmodle = "x"\n', ":2 [openai.eu] modle", "unknown key", "did you mean 'model'?"),
        ("[openai.eu]\ntimeout_s = 0\n", ":2 [openai.eu] timeout_s", "0.0 is below 0.1", "set it to 0.1"),
        (
            '[openai.eu]\ntimeout_s = "5s"\n',
            ":2 [openai.eu] timeout_s",
            "'5s' is not a valid float",
            "give a float",
        ),
        ('[openai.EU]\nmodel = "x"\n', ":1 [openai.EU]", "can't name a table", "lower case"),
        ('[openai]\nmodle = "x"\n', ":2 [openai] modle", "unknown key", "did you mean 'model'?"),
        ('[agent.eu]\nmodel = "x"\n', "[agent] eu", "unknown key", ""),
        ('[openai.embedding]\nmodel = "x"\n', "OPENAI_EMBEDDING_MODEL", "declared by both", ""),
    ],
)
def test_what_is_wrong_in_one_is_told_with_its_place(
    tmp_path: Path, text: str, where: str, message: str, fix: str
) -> None:
    faults = survey(tmp_path, text).faults
    assert any(where in f.where and message in f.message and fix in f.fix for f in faults), faults


def test_a_setting_may_bind_one_of_them_and_its_own_setting_is_named_when_it_lacks_something(
    tmp_path: Path,
) -> None:
    def fault(**environ: str) -> list[ConfigError]:
        return bindings.faults(survey(tmp_path, TABLES, **environ))

    assert fault(LLM_PROVIDER="openai.eu") == []
    [lacking] = fault(LLM_PROVIDER="openai.lab_2")
    assert lacking.message == (
        "names llm provider 'openai.lab_2', which needs OPENAI_LAB_2_API_KEY, which is unset"
    )
    [mistyped] = fault(LLM_PROVIDER="openai.ue")
    assert "openai.eu, openai.lab_2" in mistyped.message
    assert mistyped.fix == "did you mean 'openai.eu'?"


def test_a_disabled_plugin_s_tables_are_read_and_give_nothing(tmp_path: Path) -> None:
    assembly = survey(tmp_path, TABLES, RAGWORK_PLUGINS="fake")
    assert assembly.faults == ()
    assert not [name for _, name in bindings.offers(assembly) if name.startswith("openai")]
