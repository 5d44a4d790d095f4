"""The server, and the services that the providers ask for, as the tests of this plugin see them."""

import pytest
import pytest_asyncio
from ragwork_testkit import bedrock_server
from ragwork_testkit.services import ProviderServices


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch, tmp_path):
    """Nothing of this machine's own AWS settings."""
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    for name in ("PROFILE", "REGION", "DEFAULT_REGION", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY"):
        monkeypatch.delenv(f"AWS_{name}", raising=False)


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
