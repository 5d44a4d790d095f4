"""docker-compose.yml is held to a strict schema of the Compose keys it uses, and to our promises about it."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
Service = Mapping[str, Any]

STRINGS = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
DURATION = {"type": "string", "pattern": r"^([0-9]+(ms|s|m|h))+$"}
SIZE = {"type": "string", "pattern": "^[0-9]+[kmg]$"}
NAMES = r"^[a-zA-Z0-9._-]+$"


def strict(required: list[str], properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }


def named(schema: object) -> dict[str, object]:
    return {"type": "object", "patternProperties": {NAMES: schema}, "additionalProperties": False}


HEALTHCHECK = {
    "oneOf": [
        strict(["disable"], {"disable": {"const": True}}),
        strict(
            ["test", "interval", "timeout", "retries", "start_period"],
            {
                "test": {"type": "array", "prefixItems": [{"enum": ["CMD", "CMD-SHELL"]}], "minItems": 2},
                "interval": DURATION,
                "timeout": DURATION,
                "retries": {"type": "integer", "minimum": 1},
                "start_period": DURATION,
            },
        ),
    ]
}
CONDITIONS = ["service_started", "service_healthy", "service_completed_successfully"]
LIMITS = strict(["memory", "cpus"], {"memory": SIZE, "cpus": {"type": "string", "pattern": r"^[0-9.]+$"}})
SERVICE = strict(
    ["image", "restart", "healthcheck", "mem_limit", "cpus", "deploy"],
    {
        "image": {"type": "string"},
        "build": {"type": "string"},
        "command": {"type": "array", "items": {"type": "string"}},
        "environment": named({"type": "string"}),
        "env_file": {
            "type": "array",
            "items": strict(["path"], {"path": {"type": "string"}, "required": {"type": "boolean"}}),
        },
        "secrets": STRINGS,
        "profiles": STRINGS,
        "volumes": STRINGS,
        "ports": STRINGS,
        "tmpfs": STRINGS,
        "cap_drop": STRINGS,
        "security_opt": STRINGS,
        "read_only": {"type": "boolean"},
        "shm_size": SIZE,
        "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
        "stop_grace_period": DURATION,
        "depends_on": named(strict(["condition"], {"condition": {"enum": CONDITIONS}})),
        "healthcheck": HEALTHCHECK,
        "mem_limit": SIZE,
        "cpus": {"type": "number", "exclusiveMinimum": 0},
        "deploy": strict(["resources"], {"resources": strict(["limits"], {"limits": LIMITS})}),
    },
)
COMPOSE = {
    "type": "object",
    "required": ["services"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "services": named(SERVICE),
        "secrets": named(strict(["file"], {"file": {"type": "string", "pattern": r"^\./secrets/"}})),
        "volumes": named({"type": "null"}),
    },
    "patternProperties": {"^x-": {}},
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def compose() -> Mapping[str, Any]:
    document = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="module")
def services(compose: Mapping[str, Any]) -> Mapping[str, Service]:
    found: Mapping[str, Service] = compose["services"]
    return found


def test_the_file_follows_the_schema(compose: Mapping[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(COMPOSE)
    jsonschema.validate(compose, COMPOSE, cls=jsonschema.Draft202012Validator)


def test_the_schema_refuses_a_misspelt_key(compose: Mapping[str, Any]) -> None:
    wrong = {**compose, "services": {"api": {**compose["services"]["api"], "memlimit": "1g"}}}
    with pytest.raises(jsonschema.ValidationError, match="memlimit"):
        jsonschema.validate(wrong, COMPOSE, cls=jsonschema.Draft202012Validator)


def test_the_production_shape_is_complete(services: Mapping[str, Service]) -> None:
    assert {name for name, s in services.items() if "profiles" not in s} == {
        "postgres",
        "redis",
        "migrate",
        "api",
        "worker",
    }
    assert services["postgres"]["image"].startswith("pgvector/pgvector:")
    assert "-pg18" in services["postgres"]["image"]
    assert services["redis"]["image"].startswith("redis:8.")
    assert services["api"]["command"][:3] == ["serve", "--host", "0.0.0.0"]
    assert services["worker"]["command"] == ["worker"]
    assert services["migrate"]["command"] == ["migrate"]


def test_every_image_of_others_is_named_by_its_whole_version_or_a_digest(
    services: Mapping[str, Service],
) -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    images = [service["image"] for service in services.values() if "build" not in service]
    assert bases
    for image in (*bases, *images):
        assert re.search(r":\d+\.\d+\.\d+(-[a-z0-9.-]+)?$|@sha256:[0-9a-f]{64}$", image), image


def test_what_the_image_installs_comes_with_hashes() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^.*pip install.*$", text, re.MULTILINE):
        assert re.search(r"--require-hashes|--verify-hashes", line), line
    ignored = (ROOT / ".dockerignore").read_text()
    for name in re.findall(r"requirements[a-z-]*\.txt", text):
        assert f"!{name}\n" in ignored, name


def test_redis_asks_for_a_password_that_no_process_list_shows(services: Mapping[str, Service]) -> None:
    redis = services["redis"]
    assert redis["secrets"] == ["redis_password"]
    script = redis["command"][-1]
    assert "requirepass" in script
    assert script.count("/run/secrets/redis_password") == 1
    assert "--requirepass" not in script
    assert "REDISCLI_AUTH" in redis["healthcheck"]["test"][1]


def test_the_policy_agent_is_a_sidecar_that_is_asked_for_and_not_published(
    services: Mapping[str, Service],
) -> None:
    assert services["opa"]["profiles"] == ["opa"]
    assert "ports" not in services["opa"]
    assert services["opa"]["read_only"] is True


def test_the_worker_s_check_is_light(services: Mapping[str, Service]) -> None:
    assert services["worker"]["healthcheck"]["test"] == ["CMD", "ragwork", "worker", "--check"]


def test_what_stays_up_is_checked_and_what_ends_is_not(services: Mapping[str, Service]) -> None:
    for name, service in services.items():
        assert ("test" in service["healthcheck"]) == (service["restart"] != "no"), name


def test_both_kinds_of_limits_say_the_same(services: Mapping[str, Service]) -> None:
    for name, service in services.items():
        limits = service["deploy"]["resources"]["limits"]
        assert limits["memory"] == service["mem_limit"], name
        assert float(limits["cpus"]) == service["cpus"], name


def test_nothing_serves_before_the_schema_is_there(services: Mapping[str, Service]) -> None:
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in ("api", "worker"):
        waits = services[name]["depends_on"]
        assert waits["migrate"]["condition"] == "service_completed_successfully"
        assert waits["redis"]["condition"] == "service_healthy"


def test_secrets_are_files_and_each_service_gets_only_its_own(
    compose: Mapping[str, Any], services: Mapping[str, Service]
) -> None:
    for name, source in compose["secrets"].items():
        assert source["file"] == f"./secrets/{name}"
    for name, service in services.items():
        assert set(service.get("secrets", [])) <= set(compose["secrets"]), name
        for variable, value in service.get("environment", {}).items():
            assert not re.search(r"(PASSWORD|SECRET|TOKEN|PEPPER|KEY|_URL)$", variable), (name, variable)
            assert "://" not in value, (name, variable)
    assert {name for name, s in services.items() if "database_owner_url" in s.get("secrets", [])} == {
        "migrate"
    }
    assert "database_dispatcher_url" not in services["api"]["secrets"]
    assert "secrets/" in (ROOT / ".gitignore").read_text().split()


def test_services_of_ours_run_in_the_production_profile_with_few_rights(
    services: Mapping[str, Service],
) -> None:
    for name in ("migrate", "api", "worker"):
        service = services[name]
        assert service["environment"]["RAGWORK_PROFILE"] == "production"
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
    assert "ports" not in services["postgres"]
    assert "ports" not in services["redis"]


def test_the_image_runs_as_an_ordinary_account_and_is_checked() -> None:
    text = (ROOT / "Dockerfile").read_text()
    last = text[text.rindex("\nFROM ") :]
    assert re.search(r"^USER [1-9][0-9]*$", last, re.MULTILINE)
    assert "HEALTHCHECK" in last
    assert "/v1/health" in last
    assert "--verify-hashes" in text


def test_the_example_environment_holds_no_secret() -> None:
    for line in (ROOT / ".env.example").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert re.fullmatch(r"[A-Z][A-Z0-9_]*", name), line
            assert not re.search(r"(PASSWORD|SECRET|TOKEN|PEPPER|KEY)$", name), line
            assert "://" not in value, line
