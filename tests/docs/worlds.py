"""What how-to pages presuppose, for the walker: the services of others that a page names, started on this machine."""

import asyncio
import os
import shutil
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import attrs
import wheels
from page import ROOT
from ragwork_testkit import anthropic_server, bedrock_server, openai_server
from ragwork_testkit.valkey import ValkeyServer, free_port
from replicated import replicated


@attrs.frozen(kw_only=True)
class World:
    """``replace`` maps what a page calls a thing to what that is here; ``environ`` is set before its commands."""

    replace: dict[str, str] = attrs.field(factory=dict)
    environ: dict[str, str] = attrs.field(factory=dict)


Opened: TypeAlias = Callable[[Path], AbstractAsyncContextManager[World]]


@asynccontextmanager
async def nothing(_folder: Path) -> AsyncIterator[World]:
    """Most pages need Ragwork alone."""
    yield World()


@asynccontextmanager
async def model_server(_folder: Path) -> AsyncIterator[World]:
    """A server that speaks OpenAI's wire where the page has one of the reader's own."""
    async with openai_server.serving() as server:
        yield World(
            replace={
                "http://localhost:11434/v1": server.base_url,
                "OPENAI_API_KEY=none": f"OPENAI_API_KEY={openai_server.KEY}",
            }
        )


@asynccontextmanager
async def messages_server(_folder: Path) -> AsyncIterator[World]:
    """A server that speaks the Messages API in place of the vendor's."""
    async with anthropic_server.serving() as server:
        yield World(
            replace={"sk-ant-of-yours": anthropic_server.KEY},
            environ={"ANTHROPIC_BASE_URL": server.base_url},
        )


@asynccontextmanager
async def recorded_vendor(_folder: Path) -> AsyncIterator[World]:
    """The same in place of a vendor with a key."""
    async with openai_server.serving() as server:
        yield World(
            replace={"https://api.vendor.example/v1": server.base_url, "sk-of-yours": openai_server.KEY}
        )


@asynccontextmanager
async def port_of_a_receiver(_folder: Path) -> AsyncIterator[World]:
    """The page's own receiver listens on a port that is free."""
    yield World(replace={"9099": str(free_port())})


@asynccontextmanager
async def identity_provider(_folder: Path) -> AsyncIterator[World]:
    """``oidc-provider-mock``, which knows Ann; the browsers' way to the server is the local one."""
    person = {"email": "ann@example.com", "name": "Ann", "groups": ["Writers"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import oidc_provider_mock

        ann = oidc_provider_mock.User(sub="ann", claims=person)
        with oidc_provider_mock.run_server_in_thread(require_nonce=True, user_claims=[ann]) as server:
            here = f"http://localhost:{server.server_port}"
            yield World(
                replace={"https://id.example.com": here, "https://rag.example.com": "http://127.0.0.1:8000"},
                environ={"EGRESS_ALLOW_PRIVATE": "127.0.0.0/8,::1/128"},
            )


@asynccontextmanager
async def knowledge_base(_folder: Path) -> AsyncIterator[World]:
    """A server that speaks Bedrock's wire and has one page, for the operator's key."""
    async with bedrock_server.serving() as server:
        server.secrets = {"AKIAOPERATOR": "operators-secret"}
        text = "Every employee has 30 days of paid leave a year."
        server.bases["KB12345678"] = [bedrock_server.result("leave", text, 0.9)]
        yield World(
            environ={"AWS_EC2_METADATA_DISABLED": "true", "BEDROCK_AGENT_ENDPOINT_URL": server.base_url}
        )


@asynccontextmanager
async def several_machines(folder: Path) -> AsyncIterator[World]:
    """A Postgres with a replica, and a Valkey."""
    valkey = ValkeyServer(folder=folder, password="password").start()
    try:
        async with replicated(folder) as (primary, replica):
            yield World(
                replace={
                    "@db:5432/": f"@127.0.0.1:{primary}/",
                    "@replica:5432/": f"@127.0.0.1:{replica}/",
                    "@redis:6379/": f"@127.0.0.1:{valkey.port}/",
                },
                # The usual burst, and a second that lasts a hundred: this machine may be slow.
                environ={"RL_KEY_RUN_BURST": "5", "RL_KEY_RUN_RPS": "0.01"},
            )
    finally:
        valkey.kill()


@asynccontextmanager
async def clone(folder: Path) -> AsyncIterator[World]:
    """A clone with its wheels built, and no network."""
    environ = await asyncio.to_thread(wheels.built, folder)
    path = f"{folder}:{wheels.UV.parent}:{os.environ['PATH']}"
    yield World(replace=wheels.VENV, environ={**environ, "PATH": path, "UV_NO_BUILD_ISOLATION": "1"})


@asynccontextmanager
async def no_containers(folder: Path) -> AsyncIterator[World]:
    """The folder of a clone; what is run inside a container is run here."""
    shutil.copy(ROOT / ".env.example", folder)
    yield World(replace={"docker compose exec api ": "", "docker compose exec worker ": ""})


@asynccontextmanager
async def long_seconds(_folder: Path) -> AsyncIterator[World]:
    """A second of the limit of runs lasts a hundred: this machine may be slow."""
    yield World(replace={'"run-key";q=2;w=6,': '"run-key";q=2;w=600,'}, environ={"RL_KEY_RUN_RPS": "0.01"})


#: By page; the argument is a folder for what they keep.
WORLDS: dict[str, Opened] = {
    "publish-a-plugin.md": clone,
    "receive-billing-webhooks.md": port_of_a_receiver,
    "run-in-production.md": no_containers,
    "run-several-processes.md": several_machines,
    "set-limits-and-plans.md": long_seconds,
    "share-cloud-stores.md": knowledge_base,
    "sign-in-with-openid-connect.md": identity_provider,
    "test-against-a-recorded-vendor.md": recorded_vendor,
    "use-an-openai-compatible-model.md": model_server,
    "use-anthropic.md": messages_server,
}
