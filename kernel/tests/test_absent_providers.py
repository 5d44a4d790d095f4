"""What plugins do for the kernel: nothing unless it is asked for, and a refusal where they are not installed."""

import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import pytest
from ragwork_hooks.errors import ConfigError, ProviderError
from ragwork_hooks.provider_kinds import KINDS
from ragwork_hooks.storage import Bucket
from ragwork_kernel.base import discovery
from ragwork_kernel.base.config import KernelConfig
from ragwork_kernel.base.tracing import NoTracer, make_tracer
from ragwork_kernel.boot.infrastructure import shared_state
from ragwork_kernel.data.blobs import blobs


async def test_without_an_endpoint_nothing_is_wrapped() -> None:
    tracer, database = make_tracer(KernelConfig()), object()
    assert isinstance(tracer, NoTracer)
    assert tracer.database(database) is database  # type: ignore[arg-type,comparison-overlap]
    assert tracer.provider_middleware(KINDS) == ()
    started = time.perf_counter()
    for _ in range(10_000):
        async with tracer.span("x"):
            pass
        with tracer.request("GET", "/x") as answered:
            answered(200)
    assert (time.perf_counter() - started) / 10_000 < 10e-6  # under 2 µs on a quiet machine


def test_without_an_endpoint_opentelemetry_is_not_imported() -> None:
    code = "import sys, ragwork_kernel.base.tracing; print([m for m in sys.modules if m.startswith('opentelemetry')])"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"


def test_an_endpoint_that_nothing_installed_exports_to_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "installed", lambda _group: {})
    with pytest.raises(ConfigError, match="OTEL_EXPORTER_OTLP_ENDPOINT: is set") as refused:
        make_tracer(KernelConfig(otlp_endpoint="http://collector:4318"))
    assert "ragwork-otlp" in refused.value.fix


def test_a_folder_that_nothing_installed_keeps_blobs_in_names_the_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(discovery, "installed", lambda _group: {})
    with pytest.raises(ConfigError, match="BLOB_DIR: is set") as refused:
        blobs("/srv/blobs")
    assert "ragwork-blobdir" in refused.value.fix


async def test_shared_state_that_nothing_installed_keeps_is_a_store_that_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(discovery, "installed", lambda _group: {})
    bucket = Bucket(key="b", rate=1, burst=1)
    async with shared_state(KernelConfig()) as (state, probes):
        assert (probes, "install ragwork-memory" in caplog.text) == ((), True)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: state.increment("s", "k"),
            lambda: state.take("s", [bucket], 1),
            lambda: state.put("s", "k", b"", 1),
            lambda: state.put_once("s", "k", b"", 1),
            lambda: state.get("s", "k"),
            lambda: state.pop("s", "k"),
            lambda: state.lock("s", "k", 1),
            lambda: state.unlock("s", "k", 1),
            lambda: state.publish("c", b""),
            lambda: anext(state.subscribe("c")),
        ]
        for call in calls:
            with pytest.raises(ProviderError, match="install ragwork-memory") as refused:
                await call()
            assert refused.value.code == "STATE_UNAVAILABLE"
