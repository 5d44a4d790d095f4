"""The whole platform with a corpus on Milvus: over HTTP, from the text to the passage and back to nothing."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

PLUGINS = ("directory", "apikeys", "rbac", "wordllama", "pgvector", "documents", "milvus")


async def until(found: Any, wanted: Any) -> None:
    """The index follows within moments: ask until ``found()`` is ``wanted``."""
    async with asyncio.timeout(15):
        while await found() != wanted:  # noqa: ASYNC110 -- over HTTP there is nothing to wait for
            await asyncio.sleep(0.05)


async def test_a_corpus_on_milvus_answers_and_follows_every_change(platform: Any, tmp_path: Path) -> None:
    settings = {"MILVUS_URI": str(tmp_path / "new folder" / "milvus.db"), "MILVUS_TIMEOUT_S": "30"}
    async with platform(plugins=PLUGINS, settings=settings) as app:
        admin, bob = await app.key(role="admin", user="ann"), await app.key(role="reader", user="bob")
        stranger = await app.key(tenant="t2", role="admin", user="eve")
        binding = {"retrieval": {"provider": "milvus", "top_k_default": 3}}
        for key in (admin, stranger):
            body = {"id": "c", "name": "c", "provider_config_json": binding}
            assert (await app.call("POST", "/v1/corpora", key, json=body)).status == 201

        async def found(key: str = admin) -> set[str]:
            answer = await app.call("POST", "/v1/retrieve", key, json={"corpus_id": "c", "query": "low tide"})
            assert answer.status == 200, answer.text
            return {p["text"] for p in answer.data["passages"]}

        async def ingest(text: str, **more: Any) -> None:
            body = {"corpus_id": "c", "document_id": "d", "text": text, **more}
            assert (await app.call("POST", "/v1/documents/text", admin, json=body)).status == 202

        await ingest("The gates close at low tide.")
        await until(found, {"The gates close at low tide."})
        assert await found(bob) == set()
        assert await found(stranger) == set()
        grant = {"principal_type": "user", "principal_id": "bob", "permission": "read"}
        path = "/v1/admin/authz/documents/d/permissions"
        given = await app.call("POST", path, admin, json=grant)
        assert given.status == 201
        await until(lambda: found(bob), {"The gates close at low tide."})
        assert (await app.call("DELETE", f"{path}/{given.data['id']}", admin)).status == 200
        assert await found(bob) == set()
        await ingest("The gates open at low tide.", overwrite=True)
        await until(found, {"The gates open at low tide."})
        console = await app.command("milvus", "sync", tenant="t1")
        assert console.results == [{"tenant_id": "t1", "documents": 1}]
        assert (await app.call("DELETE", "/v1/documents/d", admin)).status == 204
        assert await found() == set()


async def test_without_an_address_the_plugin_is_off_and_says_what_to_set(platform: Any) -> None:
    async with platform(plugins=PLUGINS) as app:
        assert "MILVUS_URI" in app.platform.off["milvus"]


def test_neither_the_plugin_nor_its_provider_imports_the_sdk() -> None:
    heavy = "{'pymilvus', 'milvus_lite', 'numpy', 'pandas', 'grpc'}"
    code = f"import sys, ragwork_milvus, ragwork_milvus.retriever; sys.exit(str({heavy} & set(sys.modules) or ''))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
