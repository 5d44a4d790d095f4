"""Every command of the tutorial's page runs, in order, and says what the page says."""

import json
import socket
from pathlib import Path

import pytest
from page import DOCS, Environment, fences

PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


# Slow: a fresh instance, from its start to an answer.
@pytest.mark.program("curl")
def test_the_commands_of_the_page_lead_to_a_cited_answer(tmp_path: Path) -> None:
    environment = Environment.make(tmp_path / "env", with_pip=False)
    stop_even_on_failure = "trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT\n"
    script = "".join(fences(PAGE, "sh")).replace("8000", str(free_port()))
    said = environment.run(stop_even_on_failure + "set -m\n" + script, tmp_path)
    lines = said.splitlines()
    answers = [json.loads(line) for line in lines if line.startswith("{")]
    created, queued = answers[:2]
    assert created["data"]["provider_config_json"]["retrieval"]["provider"] == "local_pgvector"
    assert queued["data"]["status_url"] == "/v1/documents/leave"
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert events[0]["type"] == "request.accepted"
    (final,) = (event["data"] for event in events if event["type"] == "message.final")
    assert final["text"] == "Every employee has 30 days of paid leave a year. [1]"
    assert final["citations"][0]["quote"] == "Every employee has 30 days of paid leave a year."
    assert events[-1]["type"] == "done"
    answered, retrieved, refused = answers[-3:]
    assert answered["data"]["text"] == "Two days a week may be worked from home. [1]"
    assert "[1] leave (leave.md): “Every employee has 30 days of paid leave a year.”" in lines
    assert retrieved["data"]["passages"][0]["document_id"] == "leave"
    assert refused["error"]["code"] == "AUTHZ_DENIED"
