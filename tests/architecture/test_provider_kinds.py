"""A kind of provider that the kernel has never heard of: one plugin declares and binds it, another provides it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ragwork_cli import doctor
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.plugin import PluginInfo
from ragwork_hooks.provider_kinds import KINDS, LLM, ProviderKind
from ragwork_kernel.base import kinds
from ragwork_kernel.boot import bindings
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.package import Package, declared
from ragwork_testkit.packaging import offers_entry_points, problems
from ragwork_testkit.platform import running
from stevedore.extension import ExtensionManager

READING = """
from typing import Protocol

import attrs
from ragwork_hooks.plugin import Contribution, PluginInfo, hookimpl
from ragwork_hooks.provider_kinds import ProviderKind
from ragwork_hooks.settings import setting

class Parser(Protocol):
    async def text(self, data: bytes) -> str: ...

PARSER = ProviderKind(name="parser", protocol=Parser, unknown="PARSER_CONFIG_INVALID", spans={"text": "parse"})

@attrs.frozen
class Config:
    parser: str = setting("READING_PARSER", "plain", "provider of kind parser", binds=PARSER)

class Plugin:
    declares = True

    @hookimpl
    def ragwork_info(self):
        kinds = (PARSER,) if self.declares else ()
        return PluginInfo(name="reading", summary="reads", config=Config, kinds=kinds)

    @hookimpl
    def ragwork_contribute(self, context):
        return Contribution()

plugin = Plugin()
"""
PLAIN = """
from ragwork_hooks.plugin import Contribution, PluginInfo, hookimpl
from ragwork_hooks.providers import Provider

class Plain:
    async def text(self, data):
        return data.decode()

async def open(context):
    return Plain()

provider = Provider(name="plain", open=open)

class Plugin:
    @hookimpl
    def ragwork_info(self):
        return PluginInfo(name="plainparser", summary="parses plain text")

    @hookimpl
    def ragwork_contribute(self, context):
        return Contribution()

plugin = Plugin()
"""


def install(site: Path, name: str, code: str, providers: str = "") -> None:
    info = site / f"ragwork_{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (site / f"ragwork_{name}.py").write_text(code)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: ragwork-{name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[ragwork.plugins]\n{name} = ragwork_{name}:plugin\n{providers}")


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plugins ``reading``, which declares the kind ``parser``, and ``plainparser``, which provides it."""
    folder = tmp_path / "site"
    install(folder, "reading", READING)
    install(folder, "plainparser", PLAIN, "[ragwork.parser]\nplain = ragwork_plainparser:provider\n")
    monkeypatch.syspath_prepend(str(folder))
    # stevedore lists a group once per process; another test may have listed it without this folder.
    monkeypatch.setattr(ExtensionManager, "ENTRY_POINT_CACHE", {})
    for module in ("ragwork_reading", "ragwork_plainparser"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    return folder


def parser() -> ProviderKind[Any]:
    kind: ProviderKind[Any] = sys.modules["ragwork_reading"].PARSER
    return kind


def faults(tmp_path: Path, plugins: str, **environ: str) -> list[tuple[str, str, str]]:
    assembly = assemblies.read(tmp_path, {"RAGWORK_PLUGINS": plugins, **environ})
    return [(fault.where, fault.message, fault.fix) for fault in bindings.faults(assembly)]


async def test_a_declared_kind_is_bound_and_opened_by_name(postgres: PostgresServer) -> None:
    async with running(postgres, ("reading", "plainparser")) as app:
        providers = app.platform.facades["reading"].providers
        assert providers.names(parser()) == ["plain"]
        opened = await providers.open(parser(), "plain")
        assert await opened.text(b"page") == "page"
        assert await providers.open(parser(), "plain") is opened
        with pytest.raises(ProviderError, match="did you mean 'plain'") as unknown:
            await providers.open(parser(), "plan")
        assert unknown.value.code == "PARSER_CONFIG_INVALID"


async def test_a_binding_that_nobody_offers_stops_the_boot_and_names_what_is_there(
    postgres: PostgresServer,
) -> None:
    with pytest.raises(ConfigError) as refused:
        async with running(postgres, ("reading", "plainparser"), {"READING_PARSER": "plian"}):
            raise AssertionError("it must not boot")
    error = refused.value
    assert (error.where, error.fix) == ("READING_PARSER", "did you mean 'plain'?")
    assert "parser provider 'plian', which no enabled plugin offers (there are: plain)" in error.message


def test_a_disabled_provider_is_told_with_how_to_enable_it(tmp_path: Path) -> None:
    [(where, message, fix)] = faults(tmp_path, "reading")
    assert (where, "there are: none" in message) == ("READING_PARSER", True)
    assert "ragwork plugins enable plainparser" in fix
    assert faults(tmp_path, "reading,plainparser") == []


async def test_doctor_names_the_missing_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGWORK_PLUGINS", "reading,plainparser")
    monkeypatch.setenv("READING_PARSER", "plian")
    found = {each.check: each for each in await doctor.examine(tmp_path / "data", offline=True)}
    assert found["bindings"].state == "fail"
    assert "parser provider 'plian'" in found["bindings"].detail
    assert found["bindings"].fix == "did you mean 'plain'?"


def test_a_setting_of_a_kind_that_nobody_declares_is_the_plugin_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults(tmp_path, "reading,plainparser") == []
    monkeypatch.setattr(sys.modules["ragwork_reading"].Plugin, "declares", False)
    [(where, message, fix)] = faults(tmp_path, "reading,plainparser")
    assert (where, fix) == ("plugin 'reading'", "list the kind in PluginInfo.kinds")
    assert "kind 'parser'" in message


def test_one_name_for_two_kinds_is_refused_and_one_kind_may_be_declared_twice(tmp_path: Path) -> None:
    mine: ProviderKind[Any] = ProviderKind(name="parser", protocol=object, unknown="A")
    others: ProviderKind[Any] = ProviderKind(name="parser", protocol=object, unknown="B")
    infos = [PluginInfo(name=name, summary="", kinds=(mine,)) for name in ("a", "b")]
    assert kinds.declared(infos)["parser"] is mine
    with pytest.raises(Exception, match="declared by both plugin a and plugin c"):
        kinds.declared([*infos, PluginInfo(name="c", summary="", kinds=(others,))])
    taken: ProviderKind[Any] = ProviderKind(name=LLM.name, protocol=object, unknown="A")
    with pytest.raises(Exception, match="declared by both ragwork_hooks and plugin d"):
        kinds.declared([PluginInfo(name="d", summary="", kinds=(taken,))])


@pytest.mark.parametrize("name", ["", "Parser", "plugins", "state", "a-b"])
def test_a_word_that_can_t_be_a_kind_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can't name a kind"):
        ProviderKind(name=name, protocol=object, unknown="A")


def test_the_contracts_kinds_have_a_name_and_a_code_of_their_own() -> None:
    assert len({kind.name for kind in KINDS}) == len({kind.unknown for kind in KINDS}) == len(KINDS)


def test_the_packaging_contract_knows_what_an_installed_plugin_declares(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def package(providers: Mapping[str, Mapping[str, str]]) -> Package:
        points = {"ragwork.plugins": {"plainparser": "ragwork_plainparser:plugin"}, **providers}
        return Package(
            name="ragwork-plainparser", description="", requires_python="", license="", readme="",
            dependencies=[], entry_points=points, sources=site,
        )  # fmt: skip

    provided = {"plain": "ragwork_plainparser:provider"}
    assert "parser" in declared()
    assert problems(package({"ragwork.parser": provided}), offers_entry_points) == []
    [problem] = problems(package({"ragwork.praser": provided}), offers_entry_points)
    assert problem.startswith("ragwork.praser is no kind of provider that an installed plugin declares")
