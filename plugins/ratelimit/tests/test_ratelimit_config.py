"""Defaults are the README's, and a limit that nothing could pass or that is no number stops the boot."""

import math

import attrs
import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_hooks.settings import settings_of
from ragwork_kernel.base.config import Settings
from ragwork_kernel.base.layers import SettingsLayers
from ragwork_ratelimit.config import RateLimitConfig

NUMBERS = [
    info.env for info in settings_of(RateLimitConfig).values() if info.env.endswith(("_RPS", "_BURST"))
]


def configured(tmp_path, **environ):
    layers = SettingsLayers.read(tmp_path, environ)
    return Settings(layers, {"ratelimit": RateLimitConfig}).section("ratelimit")


def test_defaults_are_those_of_the_readme(tmp_path):
    config = configured(tmp_path)
    table = {
        name: (c.key.rate, c.key.burst, c.tenant.rate, c.tenant.burst, c.cost)
        for name, c in config.classes.items()
    }
    assert table == {
        "run": (1, 5, 3, 15, 3),
        "mutation": (2, 10, 5, 25, 1),
        "read": (5, 20, 15, 60, 1),
        "ops": (2, 10, 4, 20, 1),
    }
    assert (config.enabled, config.fail_mode, config.prefix) == (True, "open", "ragwork:rl")
    assert attrs.astuple(config.address_public) == (20, 100)
    assert attrs.astuple(config.address_failures) == (5, 100)


@pytest.mark.parametrize("name", ["run", "mutation", "read", "ops"])
def test_every_limit_has_its_own_name(tmp_path, name):
    given = {
        f"RL_{whose}_{name.upper()}_{what}": value
        for whose, what, value in (
            ("KEY", "RPS", "0.5"),
            ("KEY", "BURST", "7"),
            ("TENANT", "RPS", "8.25"),
            ("TENANT", "BURST", "9"),
        )
    }
    before, after = configured(tmp_path).classes, configured(tmp_path, **given).classes
    assert {n for n in after if after[n] != before[n]} == {name}
    assert (attrs.astuple(after[name].key), attrs.astuple(after[name].tenant)) == ((0.5, 7), (8.25, 9))


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "-inf", "null", "1e999", "99999999"])
@pytest.mark.parametrize("env", NUMBERS)
def test_a_limit_that_is_no_limit_stops_the_boot_by_name(tmp_path, env, value):
    with pytest.raises(ConfigError, match=env):
        configured(tmp_path, **{env: value})


@pytest.mark.parametrize("value", [math.nan, math.inf, -0.1, 1e-9])
def test_no_way_around_the_environment_takes_a_number_that_is_none(value):
    with pytest.raises(ConfigError, match="RL_KEY_READ_RPS"):
        RateLimitConfig(key_read_rps=value)


@pytest.mark.parametrize("env", ["RL_KEY_RUN_BURST", "RL_TENANT_RUN_BURST"])
@pytest.mark.parametrize("burst", ["1", "2"])
def test_a_burst_that_no_run_could_pass_stops_the_boot(tmp_path, env, burst):
    with pytest.raises(ConfigError, match=f"{env}.*3 or more"):
        configured(tmp_path, **{env: burst})


@pytest.mark.parametrize(
    "closing",
    [{"RL_KEY_RUN_BURST": "0"}, {"RL_KEY_RUN_RPS": "0"}, {"RL_KEY_RUN_RPS": "0", "RL_KEY_RUN_BURST": "1"}],
)
def test_a_limit_of_zero_closes_and_boots(tmp_path, closing):
    assert configured(tmp_path, **closing).classes["run"].key.closed


@pytest.mark.parametrize("env", ["RL_ADDRESS_FAILURES_RPS", "RL_ADDRESS_FAILURES_BURST"])
def test_failures_that_would_shut_everybody_out_stop_the_boot(tmp_path, env):
    with pytest.raises(ConfigError, match=env):
        configured(tmp_path, **{env: "0"})


def test_an_unknown_fail_mode_stops_the_boot(tmp_path):
    with pytest.raises(ConfigError, match="RL_FAIL_MODE"):
        configured(tmp_path, RL_FAIL_MODE="ajar")
