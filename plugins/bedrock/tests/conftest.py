"""The server, and the services that the providers ask for, as the tests of this plugin see them."""

import pytest
import pytest_asyncio
from ragwork_testkit import aws_environment, bedrock_server
from ragwork_testkit.services import ProviderServices


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    aws_environment.clear(monkeypatch, tmp_path)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_server():
    async with bedrock_server.serving() as running:
        yield running


@pytest.fixture
def server(shared_server):
    """The module's server, as if new."""
    shared_server.reset()
    return shared_server


@pytest.fixture(scope="module")
def shared_services():
    return ProviderServices()


@pytest.fixture
def services(shared_services):
    """The module's services with the operator's credentials and nothing else."""
    shared_services.reset(
        {
            "AWS_ACCESS_KEY_ID": bedrock_server.ACCESS_KEY_ID,
            "AWS_SECRET_ACCESS_KEY": bedrock_server.SECRET_ACCESS_KEY,
            "AWS_REGION": bedrock_server.REGION,
        }
    )
    return shared_services
