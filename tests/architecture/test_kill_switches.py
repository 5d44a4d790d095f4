"""Each kill switch stops something, or whoever sets it is told that it does not."""

from ragwork_rollouts import plugin
from ragwork_rollouts.gates import control_of
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import ALL_PLUGINS, running

SWITCHES = "/v1/admin/rollouts/killswitches"


async def test_every_kill_switch_stops_something_or_is_explained(postgres: PostgresServer) -> None:
    plugins = dict.fromkeys((*ALL_PLUGINS, "plans"))
    async with running(postgres, plugins=tuple(plugins)) as app:
        key = await app.key(platform=True)
        names = (await app.call("GET", SWITCHES, key)).data["kill_switches"]
        features = (await app.call("GET", "/v1/admin/plans", key)).data
        routes = {route.switch for route in app.platform.routes}
    listening = routes | {
        control_of(each["feature_key"].removeprefix("feature.")) for each in features[-1]["features"]
    }
    explained = plugin.ragwork_info().explained
    inert = [name for name in names if name.removeprefix("kill.") not in listening]
    assert [name.replace(".", "_").upper() for name in inert] == [*explained]
