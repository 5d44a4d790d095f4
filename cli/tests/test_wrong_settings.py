"""Each wrong setting is named by ``config check`` and by ``doctor`` before anybody meets it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from in_process import run
from ragwork_cli import unknown_names
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_kernel.data import migrations
from ragwork_testkit.database import FreshDatabase, PostgresServer

#: What is wrong → its settings, and words that must stand in the line. ``{…}`` is filled in by the test.
WRONG = {
    "a database that is no Postgres": ({"DATABASE_URL": "mysql://h/n"}, ("DATABASE_URL", "Postgres DSN")),
    "a database that is away": (
        {"DATABASE_URL": "postgresql://u:hunter2@127.0.0.1:1/n"},
        ("DATABASE_URL", "127.0.0.1:1"),
    ),
    "a wrong password": ({"DATABASE_URL": "{wrong_password}"}, ("DATABASE_URL", "password")),
    "a shared store that is away": ({"REDIS_URL": "redis://:hunter2@127.0.0.1:1/0"}, ("REDIS_URL",)),
    "a shared store of an unknown kind": ({"REDIS_URL": "nats://127.0.0.1"}, ("REDIS_URL", "ragwork-redis")),
    "a chat model that is mistyped": ({"LLM_PROVIDER": "opnai"}, ("LLM_PROVIDER", "opnai", "'openai'")),
    "an embedder that is mistyped": (
        {"EMBEDDING_PROVIDER": "minlm"},
        ("EMBEDDING_PROVIDER", "minlm", "'minilm'"),
    ),
    "a fallback that is mistyped": ({"LLM_FALLBACK": "fake,opnai"}, ("LLM_FALLBACK", "'openai'")),
    "a chat model without its key": ({"LLM_PROVIDER": "openai"}, ("LLM_PROVIDER", "OPENAI_API_KEY")),
    "a key with a line's end inside": (
        {"LLM_PROVIDER": "openai", "OPENAI_API_KEY": "sk-hunter2\nsk"},
        ("OPENAI_API_KEY", "'\\n'", "header"),
    ),
    "a plugin that is mistyped": ({"RAGWORK_PLUGINS": "directory,apikyes"}, ("apikyes", "'apikeys'")),
    "a plugin removed that is not there": (
        {"RAGWORK_PLUGINS_REMOVE": "sssso"},
        ("RAGWORK_PLUGINS_REMOVE", "'sso'"),
    ),
    "a proxy that is no network": ({"TRUSTED_PROXIES": "10.0.0.1/8"}, ("TRUSTED_PROXIES", "10.0.0.0/8")),
    "a duration with a unit": ({"REQUEST_TIMEOUT_SECONDS": "15s"}, ("REQUEST_TIMEOUT_SECONDS", "15s")),
    "a number out of bounds": ({"API_DB_POOL_SIZE": "0"}, ("API_DB_POOL_SIZE", "below 1")),
    "an address that is none": ({"OPENAI_BASE_URL": "api.example.com/v1"}, ("OPENAI_BASE_URL", "https://")),
    "a webhook without its key": (
        {"BILLING_WEBHOOK_ENABLED": "true", "BILLING_WEBHOOK_URL": "https://b.example.com"},
        ("BILLING_WEBHOOK_SECRET",),
    ),
    "a host that is an address": (
        {"SSO_ALLOWED_REDIRECT_HOSTS": "https://app.example.com"},
        ("SSO_ALLOWED_REDIRECT_HOSTS", "app.example.com"),
    ),
    "a pepper that is too short": ({"APIKEY_PEPPER": "short"}, ("APIKEY_PEPPER", "32")),
    "production without its pepper": ({"RAGWORK_PROFILE": "production"}, ("APIKEY_PEPPER", "/run/secrets")),
    "production without a database": ({"RAGWORK_PROFILE": "production"}, ("DATABASE_URL", "embedded")),
    "production whose issuer is not https": (
        {"RAGWORK_PROFILE": "production", "OAUTH_ISSUER": "http://api.example.com"},
        ("OAUTH_ISSUER", "https"),
    ),
    "production with the door open": (
        {"RAGWORK_PROFILE": "production", "AUTH_DEV_BYPASS": "true"},
        ("AUTH_DEV_BYPASS",),
    ),
    "a policy agent that is away": (
        {
            "AGENT_POLICY_ENGINE": "opa",
            "OPA_URL": "http://127.0.0.1:1",
            "EGRESS_ALLOW_PRIVATE": "127.0.0.1/32",
        },
        ("opa", "does not answer"),
    ),
    "a gate order of no gate": ({"RAGWORK_GATE_ORDER": "rbca"}, ("RAGWORK_GATE_ORDER", "'rbac'")),
}
#: Plugins that own the settings above, without those that take long to open.
PLUGINS = "directory,apikeys,rbac,billing,sso,extractive,fake,openai,resilience,audit,agent,redis"
_ANSWERS = ",wordllama,pgvector,documents"
MORE = {
    "a chat model that is mistyped": _ANSWERS,
    "a chat model without its key": _ANSWERS,
    "an embedder that is mistyped": ",minilm,pgvector,documents",
    "production whose issuer is not https": ",rego,agents",
    "a policy agent that is away": ",opa",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def database(postgres: PostgresServer) -> AsyncIterator[FreshDatabase]:
    """A database with the kernel's migrations alone."""
    async with postgres.database([migrations.KERNEL]) as fresh:
        yield fresh


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_is_named_by_config_check_and_doctor(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    database: FreshDatabase,
    what: str,
) -> None:
    settings, words = WRONG[what]
    base = {
        "EMBEDDING_PROVIDER": "wordllama",
        "RAGWORK_PLUGINS": PLUGINS + MORE.get(what, ""),
        "DATABASE_URL": database.admin,
    }
    monkeypatch.chdir(tmp_path)
    for name, value in {**base, **settings}.items():
        wrong_password = database.admin.replace("postgres:", "postgres:x", 1)
        monkeypatch.setenv(name, value.replace("{wrong_password}", wrong_password))
    if what == "production without a database":
        monkeypatch.delenv("DATABASE_URL")
    data = ["--data-dir", str(tmp_path / "data")]
    status, _, errors = run(monkeypatch, capsys, "config", "check", *data)
    assert status == 2
    told = [line for line in errors.splitlines() if all(word in line for word in words)]
    assert told, errors
    assert all(line.startswith("ragwork: ") and "Fix: " in line for line in told)
    status, examined, more = run(monkeypatch, capsys, "doctor", *data)
    assert status == 1
    lines = examined.replace("\n      fix: ", " Fix: ").splitlines()
    assert any(all(word in line for word in words) for line in lines if line.startswith("FAIL")), examined
    assert "hunter2" not in errors + examined + more


def test_what_a_named_table_gives_is_told_and_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    tables = """[openai.eu]
base_url = "https://eu.example.com/v1"
api_key = "sk-hunter2"
model = "eu-1"

[openai.lab]
base_url = "http://127.0.0.1:9/v1"
"""
    (tmp_path / "ragwork.toml").write_text(tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory,openai")
    monkeypatch.setenv("OPENAI_LAB_API_KEY", "sk-hunter2")
    data = ["--offline", "--data-dir", str(tmp_path / "data")]
    status, out, err = run(monkeypatch, capsys, "config", "check", *data)
    assert status == 0, err
    assert "warning: [openai.lab] gives no provider: needs OPENAI_LAB_TTS_MODEL, which is unset" in err
    assert "OPENAI_LAB_API_KEY" not in err
    _, examined, _ = run(monkeypatch, capsys, "doctor", *data)
    assert "ok    openai.eu: gives llm openai.eu\n" in examined
    _, listed, _ = run(monkeypatch, capsys, "plugins")
    assert "also as openai.eu, openai.lab" in listed
    _, explained, _ = run(monkeypatch, capsys, "config", "explain", "openai.eu.api_key")
    assert explained.startswith("OPENAI_EU_API_KEY = ******** ")
    assert "hunter2" not in out + err + examined + listed + explained


@pytest.mark.parametrize("command", [("config", "check"), ("doctor",)])
def test_a_data_directory_that_can_t_be_written_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAGWORK_PLUGINS", "directory")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write everywhere
    status, out, err = run(monkeypatch, capsys, *command, "--offline", "--data-dir", str(tmp_path / "data"))
    assert status != 0
    assert "is not writable" in out + err


def test_everything_wrong_is_told_at_once_each_with_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "ragwork.toml").write_text(
        '[kernel]\nlog_level = "LOUD"\nlog_levle = 1\n\n[nosuch]\na = 1\n\n[fake]\ntokens = "many"\n'
    )
    (tmp_path / ".env").write_text("# ours\nAPI_DB_POOL_SIZE=0\nno assignment here\nLLM_PROVIDR=fake\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUSTED_PROXIES", "nonsense")
    monkeypatch.setenv("RL_FAILMODE", "closed")
    monkeypatch.setenv("LLM_PROVIDER", "nosuch")
    status, out, err = run(
        monkeypatch, capsys, "config", "check", "--offline", "--data-dir", str(tmp_path / "d")
    )
    assert status == 2
    places = {
        line.removeprefix("ragwork: ").partition(": ")[0]
        for line in err.splitlines()
        if "warning" not in line
    }
    assert places == {
        "ragwork.toml:2 [kernel] log_level",
        "ragwork.toml:3 [kernel] log_levle",
        "ragwork.toml:5 [nosuch]",
        "ragwork.toml:9 [fake] tokens",
        ".env:2 API_DB_POOL_SIZE",
        ".env:3",
        "TRUSTED_PROXIES",
        "LLM_PROVIDER",
    }
    warned = [line for line in err.splitlines() if line.startswith("ragwork: warning: ")]
    assert len(warned) == 2
    for line, words in zip(
        warned, (".env:4 LLM_PROVIDR 'LLM_PROVIDER'", "RL_FAILMODE 'RL_FAIL_MODE'"), strict=True
    ):
        assert all(word in line for word in words.split()), line
    assert f"{tmp_path}/ragwork.toml, {tmp_path}/.env, environment" in out


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("RAGWORK_PLUGIN", "RAGWORK_PLUGINS"),
        ("BILLING_WEBHOOK_URI", "BILLING_WEBHOOK_URL"),
        ("REDIS_URI", "REDIS_URL"),
        ("OPENAI_API_KEYS", "OPENAI_API_KEY"),
        ("LOG_LEVL", "LOG_LEVEL"),
        ("TIMEOUT_OPNAI_SECONDS", "openai"),
        ("APIKEY_PEPER_FILE", "APIKEY_PEPPER"),
    ],
)
def test_a_name_that_is_nearly_a_setting_is_warned_of(tmp_path: Path, name: str, nearest: str) -> None:
    [remark] = unknown_names.strange(assemblies.survey(tmp_path, {name: "x"}))
    assert remark.where == name
    assert f"'{nearest}'" in remark.fix


def test_names_of_others_are_left_alone(tmp_path: Path) -> None:
    others = (
        "PATH",
        "HOME",
        "LOGNAME",
        "REDIS_HOST",
        "DATABASE_NAME",
        "APP_ENV",
        "OPENAI_ORG_ID",
        "AWS_REGION",
    )
    more = ("OTEL_SERVICE_NAME", "SSO_CLIENT_SECRET_OKTA", "TIMEOUT_OPENAI_SECONDS", "RAGWORK_DATA_DIR")
    assert unknown_names.strange(assemblies.survey(tmp_path, dict.fromkeys((*others, *more), "x"))) == []


def test_what_does_nothing_says_why(tmp_path: Path) -> None:
    settings = {
        "IDEMPOTENCY_TTL_SECONDS": "600",
        "SERVICE_API_KEY": "k",
        "OPA_URL": "http://127.0.0.1:8181",
        "KILL_NOTIFICATIONS": "true",
    }
    remarks = {each.where: each for each in unknown_names.strange(assemblies.survey(tmp_path, settings))}
    assert "IDEMPOTENCY_TTL_HOURS" in remarks["IDEMPOTENCY_TTL_SECONDS"].message
    assert "ragwork keys create" in remarks["SERVICE_API_KEY"].message
    assert "BILLING_WEBHOOK_ENABLED" in remarks["KILL_NOTIFICATIONS"].message
    assert "ragwork plugins enable opa" in remarks["OPA_URL"].fix


def test_a_setting_of_the_file_that_does_nothing_says_why_and_where(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text("[rollouts]\nkill_run = true\nkill_notifications = true\n")
    (remark,) = unknown_names.strange(assemblies.survey(tmp_path, {}))
    assert remark.where == f"{tmp_path / 'ragwork.toml'}:3 [rollouts] kill_notifications"
    assert "BILLING_WEBHOOK_ENABLED" in remark.message


def test_values_are_trimmed_in_every_layer(tmp_path: Path) -> None:
    (tmp_path / "ragwork.toml").write_text('[kernel]\napp_name = " toml "\n')
    (tmp_path / ".env").write_text('LOG_LEVEL=" DEBUG\n"\n')
    key = tmp_path / "key"
    key.write_text("\n sk-1 \n\n")
    read = assemblies.read(
        tmp_path, {"OPENAI_MODEL": "m1\r\n", "OPENAI_API_KEY_FILE": str(key), "LLM_PROVIDER": " "}
    )
    assert (read.kernel.app_name, read.kernel.log_level) == ("toml", "DEBUG")
    config = read.configuration.section("openai")
    assert (config.api_key, config.model) == ("sk-1", "m1")
