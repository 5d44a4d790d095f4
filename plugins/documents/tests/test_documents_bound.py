"""A server does not serve corpora that are bound to a provider which nobody offers any more."""

from pathlib import Path

import pytest
from ragwork_cli import configuration_checks
from ragwork_hooks.errors import ConfigError
from ragwork_kernel.boot import plugin_set as assemblies
from ragwork_testkit.database import PostgresServer
from ragwork_testkit.platform import DEFAULT_PLUGINS, running

OTHERS = tuple("minilm" if name == "wordllama" else name for name in DEFAULT_PLUGINS)


async def test_a_corpus_of_a_provider_that_is_gone_stops_the_boot_and_is_named(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    async with postgres.database([]) as fresh:
        await bind(postgres, fresh.admin)
        settings = {"EMBEDDING_PROVIDER": "minilm", "LLM_PROVIDER": "fake"}
        with pytest.raises(ConfigError) as refused:
            async with running(postgres, OTHERS, settings, database_url=fresh.admin):
                raise AssertionError("it must not boot")
        environ = {**settings, "RAGWORK_PLUGINS": ",".join(OTHERS), "DATABASE_URL": fresh.admin}
        found = await configuration_checks.live(assemblies.read(tmp_path, environ), tmp_path, offline=False)
    assert refused.value.where == "corpus 'c1' of tenant 't1', and 1 more"
    assert "embedding provider 'wordllama'" in refused.value.message
    assert "there are: minilm" in refused.value.message
    assert "ragwork plugins enable wordllama" in refused.value.fix
    [stored] = [finding for finding in found if finding.check == "stored bindings"]
    assert (stored.state, "'wordllama'" in stored.detail) == ("fail", True)


async def bind(postgres: PostgresServer, url: str) -> None:
    """Two corpora of one embedder, one of another."""
    async with running(postgres, (*DEFAULT_PLUGINS, "minilm"), database_url=url) as app:
        key = await app.key("t1")
        for name, retrieval in (("c1", {}), ("c2", {}), ("c3", {"embedder": "minilm"})):
            body = {"id": name, "name": name, "provider_config_json": {"retrieval": retrieval}}
            assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201
