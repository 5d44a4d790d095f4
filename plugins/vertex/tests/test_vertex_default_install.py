"""A corpus can be bound to either cloud in the default install, and no vendor's SDK is imported for that."""

import subprocess
import sys
from typing import Any

import pytest

import ragwork

CLOUDS = {
    "aws_bedrock_kb": {"knowledge_base_id": "KB12345678", "region": "us-east-1"},
    "gcp_vertex": {"project": "p1", "location": "global", "resource_id": "d1"},
}
SDKS = ("boto3", "botocore", "google.genai", "google.cloud.discoveryengine", "grpc")


@pytest.mark.parametrize("cloud", CLOUDS)
async def test_a_corpus_of_the_default_install_moves_to_a_cloud(platform: Any, cloud: str) -> None:
    plugins = tuple(name for name in ragwork.DEFAULT_PLUGINS if name != "embedded")
    settings = {"PLAN_DEFAULT": "enterprise", "RATE_LIMIT_ENABLED": "false"}
    async with platform(plugins=plugins, settings=settings) as app:
        key = await app.key()
        made = await app.call("POST", "/v1/corpora", key, json={"id": "c1", "name": "c1"})
        assert made.status == 201, made.text
        config = {"retrieval": {"provider": cloud, "top_k_default": 5, **CLOUDS[cloud]}}
        moved = await app.call("PATCH", "/v1/corpora/c1", key, json={"provider_config_json": config})
        assert moved.status == 200, moved.text
        assert moved.data["provider_config_json"]["retrieval"]["provider"] == cloud
        health = (await app.call("GET", "/v1/health")).data
        assert health["status"] == "ok"
        assert "GOOGLE_CLOUD_PROJECT" in health["off"]["vertex"]
        assert "AWS_REGION" in health["off"]["bedrock"]


def test_the_assembly_and_the_check_of_a_binding_import_no_sdk() -> None:
    script = (
        "import sys; from ragwork_kernel.boot import plugin_set; from ragwork_kernel.base import discovery;"
        "plugin_set.read(environ={});"
        "[discovery.load('ragwork.retrieval', n) for n in ('aws_bedrock_kb', 'gcp_vertex')];"
        f"print([n for n in {SDKS} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
