"""Both seeds' names work, and a contradiction stops the boot."""

import pytest
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.base.config import Settings
from ragwork_kernel.base.layers import SettingsLayers
from ragwork_resilience.config import ResilienceConfig


def configured(tmp_path, **environ):
    layers = SettingsLayers.read(tmp_path, environ)
    return Settings(layers, {"resilience": ResilienceConfig}).section("resilience")


def test_defaults_are_those_of_the_platform_seed(tmp_path):
    config = configured(tmp_path)
    policy, breaker = config.policy("tts", "any"), config.breaker("tts", "any")
    assert (policy.timeout_s, policy.budget_s, policy.attempts, policy.backoff_s) == (8.0, 10.0, 2, 0.2)
    assert (breaker.threshold, breaker.window_s, breaker.open_s, breaker.trials) == (5, 60, 30, 2)
    assert (config.run_concurrency, config.run_wait_ms, config.cb_prefix) == (10, 2000, "ragwork:cb")


@pytest.mark.parametrize(
    ("name", "value", "read", "expected"),
    [
        ("EXT_CALL_TIMEOUT_MS", "1500", lambda c: c.policy("tts", "p").timeout_s, 1.5),
        ("PROVIDER_TIMEOUT_DEFAULT_SECONDS", "3", lambda c: c.policy("tts", "p").timeout_s, 3),
        ("TIMEOUT_P_SECONDS", "2.5", lambda c: c.policy("tts", "p").timeout_s, 2.5),
        ("TIMEOUT_OTHER_SECONDS", "2.5", lambda c: c.policy("tts", "p").timeout_s, 8),
        ("PROVIDER_TOTAL_BUDGET_SECONDS", "4", lambda c: c.policy("tts", "p").budget_s, 4),
        ("TIMEOUT_P_SECONDS", "30", lambda c: c.policy("tts", "p").budget_s, 30),
        ("EXT_RETRY_MAX_ATTEMPTS", "4", lambda c: c.policy("tts", "p").attempts, 4),
        ("RETRY_MAX_ATTEMPTS", "3", lambda c: c.policy("tts", "p").attempts, 3),
        ("EXT_RETRY_BACKOFF_MS", "50", lambda c: c.policy("tts", "p").backoff_s, 0.05),
        ("RETRY_BASE_SECONDS", "0.5", lambda c: c.policy("tts", "p").backoff_s, 0.5),
        ("CB_FAILURE_THRESHOLD", "7", lambda c: c.breaker("tts", "p").threshold, 7),
        ("CB_MAX_FAILURES", "9", lambda c: c.breaker("tts", "p").threshold, 9),
        ("CB_WINDOW_SECONDS", "5", lambda c: c.breaker("tts", "p").window_s, 5),
        ("CB_OPEN_SECONDS", "6", lambda c: c.breaker("tts", "p").open_s, 6),
        ("CB_HALF_OPEN_TRIALS", "3", lambda c: c.breaker("tts", "p").trials, 3),
        ("CB_REDIS_PREFIX", "other", lambda c: c.cb_prefix, "other"),
        ("RUN_MAX_CONCURRENCY", "12", lambda c: c.run_concurrency, 12),
        ("RUN_BULKHEAD_MAX_CONCURRENCY", "3", lambda c: c.run_concurrency, 3),
        ("RUN_BULKHEAD_WAIT_MS", "10", lambda c: c.run_wait_ms, 10),
        ("LLM_FALLBACK", "a, b", lambda c: c.llm_fallback, ("a", "b")),
    ],
)
def test_each_name_has_its_effect(tmp_path, name, value, read, expected):
    assert read(configured(tmp_path, **{name: value})) == expected


@pytest.mark.parametrize(
    "environ",
    [
        {"EXT_CALL_TIMEOUT_MS": "8000", "PROVIDER_TIMEOUT_DEFAULT_SECONDS": "5"},
        {"EXT_RETRY_MAX_ATTEMPTS": "2", "RETRY_MAX_ATTEMPTS": "3"},
        {"EXT_RETRY_BACKOFF_MS": "200", "RETRY_BASE_SECONDS": "0.5"},
        {"CB_FAILURE_THRESHOLD": "5", "CB_MAX_FAILURES": "6"},
        {"TIMEOUT_P_SECONDS": "0"},
    ],
)
def test_a_contradiction_is_named(tmp_path, environ):
    with pytest.raises(ConfigError) as raised:
        configured(tmp_path, **environ)
    assert all(name in str(raised.value) for name in environ)


@pytest.mark.parametrize(
    ("environ", "silence_s", "first_piece_s"),
    [
        ({}, 60, 60),
        ({"TIMEOUT_P_SECONDS": "90"}, 90, 90),
        ({"TIMEOUT_P_SECONDS": "3"}, 3, 10),
        ({"EXT_CALL_TIMEOUT_MS": "5000"}, 5, 10),
        ({"PROVIDER_TOTAL_BUDGET_SECONDS": "20"}, 60, 20),
    ],
)
def test_a_chat_model_may_think_as_long_as_its_adapter_lets_it(tmp_path, environ, silence_s, first_piece_s):
    config = configured(tmp_path, **environ)
    policy = config.policy("llm", "p")
    assert (policy.timeout_s, policy.budget_s) == (silence_s, first_piece_s)
    assert config.breaker("llm", "p").lease_s > policy.timeout_s


def test_both_names_may_say_the_same(tmp_path):
    same = {"EXT_CALL_TIMEOUT_MS": "5000", "PROVIDER_TIMEOUT_DEFAULT_SECONDS": "5"}
    assert configured(tmp_path, **same).policy("tts", "p").timeout_s == 5
