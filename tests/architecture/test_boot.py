"""The kernel boots with no plugin, with each plugin alone, and refuses what would fail open."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import attrs
import pytest
from ragwork_hooks.authz import Allow
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.plugin import Contribution, PluginInfo, hookimpl
from ragwork_kernel.boot import contributions, plugin_set
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import Running

PLUGINS = sorted(entry_points(group="ragwork.plugins").names)
Start = Callable[..., AbstractAsyncContextManager[Running]]


async def test_the_kernel_alone_answers_health(platform: Start) -> None:
    async with platform(plugins=()) as app:
        answer = await app.call("GET", "/v1/health")
        assert answer.status == 200
        assert answer.data["status"] == "ok"


@pytest.mark.parametrize("plugin", PLUGINS)
async def test_each_plugin_alone_boots_or_says_why_not(platform: Start, plugin: str) -> None:
    loaded = next(p for p in plugin_set.read(environ={"RAGWORK_PLUGINS": plugin}).plugins)
    if loaded.info.critical and loaded.info.requires:
        with pytest.raises(ConfigError, match=f"'{plugin}'.*needs"):
            async with platform(plugins=(plugin,)):
                pass
        return
    async with platform(plugins=(plugin,)) as app:
        answer = await app.call("GET", "/v1/health")
        assert answer.status == 200
        reason = app.platform.inactive.get(plugin)
        assert reason is None or "needs" in reason
        assert answer.data["inactive_plugins"] == dict(app.platform.inactive)


async def test_codecs_of_a_plugin_reach_the_connections_to_the_primary_and_to_the_replica(
    postgres: PostgresServer, platform: Start
) -> None:
    async with postgres.database([]) as fresh:
        replica = {"DATABASE_READ_URL": fresh.app}
        async with platform(plugins=("pgvector",), database_url=fresh.admin, settings=replica) as app:
            for stale in (False, True):
                async with app.platform.parts.db.tenant("t1", "read", stale=stale) as tx:
                    vector = await tx.fetchval("SELECT '[1,0.5]'::public.halfvec")
                    assert vector.to_list() == [1.0, 0.5]
            counts = [s for s in app.platform.telemetry.read() if s.name.endswith("stale_reads_total")]
            assert [s.labels["source"] for s in counts] == ["replica"]


async def test_without_an_authenticator_every_route_refuses(platform: Start) -> None:
    async with platform(plugins=("directory", "rbac", "wordllama", "pgvector", "documents")) as app:
        answer = await app.call("GET", "/v1/corpora", "nrgk_a_b")
        assert (answer.status, answer.code) == (401, "AUTH_UNAUTHORIZED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"


async def test_without_an_authorization_gate_every_route_refuses(platform: Start) -> None:
    async with platform(plugins=("directory", "apikeys", "wordllama", "pgvector", "documents")) as app:
        answer = await app.call("GET", "/v1/corpora", await app.key())
        assert (answer.status, answer.code) == (403, "AUTHZ_DENIED")


def test_an_unknown_enabled_plugin_stops_the_boot(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text('[kernel]\nplugins = ["rbca"]\n')
    broken = plugin_set.read(tmp_path, {})
    with pytest.raises(ConfigError, match="did you mean 'rbac'"):
        broken.require_whole()


def contribution(**fields: Any) -> Contribution:
    return Contribution(**fields)


@attrs.frozen
class NamedGate:
    name: str
    stage: str = "role"

    async def decide(self, *_: object) -> Allow:
        return Allow()

    async def narrow(self, _principal: object, _action: object, scope: Any) -> Any:
        return scope


def test_two_contributions_of_one_name_stop_the_boot_and_name_both_owners() -> None:
    gates = {"one": contribution(gates=(NamedGate("g"),)), "two": contribution(gates=(NamedGate("g"),))}
    with pytest.raises(ConfigError, match="both one and two"):
        contributions.freeze(gates, ())


def test_the_operator_orders_the_gates() -> None:
    gates = {"one": contribution(gates=(NamedGate("a"), NamedGate("b"), NamedGate("c")))}
    assert [g.name for g in contributions.freeze(gates, ("c", "b")).gates] == ["c", "b", "a"]


@pytest.mark.parametrize("wrong", [["a list"], ("not a route",), None])
def test_a_contribution_of_the_wrong_type_names_its_owner(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="'one'"):
        contributions.freeze({"one": contribution(routes=wrong)}, ())


def test_a_plugin_that_orders_its_hook_calls_is_refused() -> None:
    class Pushy:
        @hookimpl(tryfirst=True)
        def ragwork_info(self) -> PluginInfo:
            return PluginInfo(name="pushy", summary="")

    import pluggy
    from ragwork_hooks.plugin import PROJECT, PluginSpec

    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(PluginSpec)
    plugin = Pushy()
    manager.register(plugin, "pushy")
    with pytest.raises(ConfigError, match="tryfirst"):
        plugin_set._refuse_forbidden_forms(manager, plugin, "pushy")
