"""The server, and the services that the providers ask for, as the tests of this plugin see them."""

import json

import pytest
import pytest_asyncio
from ragwork_testkit import google_server
from ragwork_testkit.services import ProviderServices
from ragwork_vertex.config import VertexConfig


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """Nothing of this machine's own Google settings."""
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path))
    for name in ("GOOGLE_APPLICATION_CREDENTIALS", "GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_LOCATION",
                 "GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server():
    async with google_server.serving() as running:
        yield running


@pytest.fixture
def server(shared_server):
    """The module's server, as if new, with the operator's account."""
    shared_server.reset()
    shared_server.account()
    return shared_server


@pytest.fixture(scope="module")
def shared_services():
    return ProviderServices()


@pytest.fixture
def services(shared_services):
    shared_services.reset()
    return shared_services


@pytest.fixture(scope="module")
def operators_file(shared_server, tmp_path_factory):
    """The operator's credentials as a file."""
    path = tmp_path_factory.mktemp("google") / "operator.json"
    path.write_text(json.dumps(shared_server.account()))
    return str(path)


@pytest.fixture(scope="module")
def configured(shared_server, operators_file):
    """Makes settings that lead to the local server."""

    def make(**more):
        return VertexConfig(
            **{
                "project": google_server.PROJECT,
                "location": google_server.LOCATION,
                "credentials_file": operators_file,
                "gemini_endpoint_url": shared_server.base_url,
                "search_endpoint_url": shared_server.base_url,
                "search_max_concurrency": 4,
                "search_timeout_s": 2.0,
                **more,
            }
        )

    return make
