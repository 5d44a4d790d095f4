"""Metric names of the seed, bounded labels, one registry per kernel."""

import logging

import pytest
from prometheus_client.parser import text_string_to_metric_families
from ragwork_kernel.base.telemetry import MAX_SERIES, Telemetry, TextFormatter


def samples(telemetry: Telemetry) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    families = text_string_to_metric_families(telemetry.expose().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}


def finish(telemetry: Telemetry, method: str = "GET", path: str = "/v1/corpora", status: int = 200) -> None:
    telemetry.end(
        method=method, path=path, status=status, seconds=0.02, request_id="r", client_id="c", tenant="t1"
    )


def test_the_seeds_names_and_labels() -> None:
    telemetry = Telemetry("ragwork")
    finish(telemetry)
    finish(telemetry)
    telemetry.error("validation")
    telemetry.dependency("postgres", up=True)
    found = samples(telemetry)
    request = (("method", "GET"), ("path", "/v1/corpora"), ("status", "200"))
    assert found["ragwork_http_requests_total", request] == 2
    assert found["ragwork_http_request_duration_seconds_count", request[:2]] == 2
    assert found["ragwork_http_errors_total", (("type", "validation"),)] == 1
    assert found["ragwork_dependency_up", (("component", "postgres"),)] == 1


@pytest.mark.parametrize(
    ("name", "prefix"), [("my-app 2", "my_app_2"), ("9lives", "_9lives"), ("", "ragwork")]
)
def test_the_service_name_is_made_fit(name: str, prefix: str) -> None:
    telemetry = Telemetry(name)
    telemetry.count("x_total", "x")
    assert (f"{prefix}_x_total", ()) in samples(telemetry)


def test_methods_that_clients_invent_make_no_series() -> None:
    telemetry = Telemetry("ragwork")
    for n in range(50):
        finish(telemetry, method=f"M{n}")
    requests = [key for key in samples(telemetry) if key[0] == "ragwork_http_requests_total"]
    assert requests == [
        ("ragwork_http_requests_total", (("method", "other"), ("path", "/v1/corpora"), ("status", "200")))
    ]


def test_a_plugins_labels_are_bounded_and_nothing_is_lost() -> None:
    telemetry = Telemetry("ragwork")
    for n in range(MAX_SERIES + 100):
        telemetry.count("seen_total", "seen", user=f"u{n}")
    series = {key: value for key, value in samples(telemetry).items() if key[0] == "ragwork_seen_total"}
    assert len(series) == MAX_SERIES + 1
    assert series["ragwork_seen_total", (("user", "other"),)] == 100


def test_kinds_and_names_of_plugins() -> None:
    telemetry = Telemetry("ragwork")
    telemetry.observe("wait_seconds", "w", 0.2, queue="a")
    telemetry.gauge("depth", "d", 3)
    telemetry.gauge("depth", "d", 4)
    telemetry.count("ragwork_own_total", "o")
    found = samples(telemetry)
    assert found["ragwork_wait_seconds_sum", (("queue", "a"),)] == 0.2
    assert found["ragwork_depth", ()] == 4
    assert ("ragwork_own_total", ()) in found
    with pytest.raises(ValueError, match="is a Gauge"):
        telemetry.count("depth", "d")


def test_two_kernels_in_one_process_do_not_mix() -> None:
    one, two = Telemetry("ragwork"), Telemetry("ragwork")
    finish(one)
    assert (
        "ragwork_http_requests_total",
        (("method", "GET"), ("path", "/v1/corpora"), ("status", "200")),
    ) not in samples(two)


def test_a_person_at_a_terminal_reads_text_with_the_same_secrets_taken_out() -> None:
    record = logging.makeLogRecord(
        {"msg": "call with Bearer %s", "args": ("nrgk_" + "a" * 60,), "levelname": "WARNING", "tenant": "t1"}
    )
    line = TextFormatter().format(record)
    assert line.endswith("tenant=t1")
    assert " WARNING call with " in line
    assert "nrgk_aaaa" not in line
    assert not line.startswith("{")
