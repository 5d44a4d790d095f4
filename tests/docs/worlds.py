"""What how-to pages presuppose, for the walker: the services of others that a page names, started on this machine."""

import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TypeAlias

import attrs
from ragwork_testkit import openai_server
from ragwork_testkit.valkey import free_port


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


#: By page; the argument is a folder for what they keep.
WORLDS: dict[str, Opened] = {
    "receive-billing-webhooks.md": port_of_a_receiver,
    "sign-in-with-openid-connect.md": identity_provider,
    "use-an-openai-compatible-model.md": model_server,
}
