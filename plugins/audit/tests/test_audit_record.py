"""What is written holds no secret, is bounded, and hashes the same after Postgres had it."""

import base64
import json
from typing import Any

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_audit.log import record, redaction
from ragwork_audit.log.redaction import MAX_METADATA
from ragwork_hooks.audit import AuditEvent, Origin
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.redaction import REDACTED, Redactor

REDACTOR = Redactor()
REDACTOR.learn([CredentialFormat(name="API key", prefix="nrgk_")])
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = (
    "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg\n-----END PRIVATE KEY-----"
)
KEY = "nrgk_0123456789abcdef_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMN"
AWS = "AKIA" + "IOSFODNN7EXAMPLE"


def clean(value: object) -> object:
    return redaction.clean(value, REDACTOR)


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "Authorization",
        "TOKEN",
        "Tokens",
        "secret",
        "Password",
        "text",
        "content",
        "apiKey",
        "x-api-key",
    ],
)
def test_values_under_a_secrets_name_are_not_stored(name: str) -> None:
    assert clean({name: "hunter2"}) == {name: REDACTED}
    assert clean({"a": [{"b": [{name: ["hunter2", {"c": "hunter2"}]}]}]}) == {
        "a": [{"b": [{name: REDACTED}]}]
    }


def test_counts_and_types_survive() -> None:
    kept = {
        "content_type": "text/plain",
        "total_tokens": 512,
        "tokens": 7,
        "context": "c1",
        "secretary": "ann",
        "n": 1.5,
    }
    assert clean(kept) == kept
    assert clean({"password": 1234}) == {"password": REDACTED}


@pytest.mark.parametrize(
    "secret", [KEY, JWT, PEM, AWS, "Bearer abcdef123456", "Basic dXNlcjpwYXNz", "sk-abcdefghijklmnop1234"]
)
@pytest.mark.parametrize("around", ["{}", "failed with {} today", "url=https://u:{}@h/"])
def test_values_that_look_like_secrets_are_not_stored(secret: str, around: str) -> None:
    text = around.format(secret)
    found = json.dumps([clean({"note": [text]}), redaction.clean_text(text, REDACTOR), clean({text: 1})])
    assert secret not in found
    assert secret.split()[-1][-12:] not in found


def test_client_supplied_fields_are_bounded_and_lose_control_characters() -> None:
    origin = Origin(
        request_id="r1",
        echo_id="theirs",
        peer="::1",
        user_agent="a\r\nSet-Cookie: x\x00\u202e" + "b" * 10_000,
    )
    row = record.columns(
        AuditEvent(type="run.invoked", outcome="success", actor_type="api_key", origin=origin), 0, REDACTOR
    )
    agent = row["user_agent"]
    assert isinstance(agent, str)
    assert len(agent) <= 256
    assert agent.isprintable()
    assert (row["request_id"], row["client_request_id"]) == ("r1", "theirs")


def test_a_megabyte_of_metadata_becomes_a_note_of_it() -> None:
    metadata = {f"key{n}": "x" * 1000 for n in range(1000)}
    event = AuditEvent(type="e", outcome="success", actor_type="system", metadata=metadata)
    text = record.columns(event, 0, REDACTOR)["metadata"]
    assert isinstance(text, str)
    assert len(text) <= MAX_METADATA
    assert json.loads(text)["too_large_bytes"] > MAX_METADATA


def test_deep_endless_and_huge_values_are_cut() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert (
        len(json.dumps(clean({"deep": deep, "big": 10**5000, "nan": float("nan"), "raw": b"secret"}))) < 2000
    )


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary()
    | st.datetimes(),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(), max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@pytest.fixture(scope="module")
def text_column(postgres: Any) -> Any:
    """Stores a record's columns as the log's table would and reads them back."""
    import asyncio

    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(postgres.admin))
        types = ["int" if name == "repeats" else "text" for name in record.WRITTEN]
        columns = ", ".join(f"{name} {kind}" for name, kind in zip(record.WRITTEN, types, strict=True))
        runner.run(
            connection.execute(
                f"CREATE TEMP TABLE stored ({columns}, at timestamptz DEFAULT clock_timestamp())"
            )
        )
        places = ", ".join(f"${n}" for n in range(1, len(types) + 1))

        def through(row: dict[str, Any]) -> tuple[dict[str, Any], Any]:
            async def there_and_back() -> Any:
                sql = f"INSERT INTO stored ({', '.join(record.WRITTEN)}) VALUES ({places}) RETURNING *, at"
                return await connection.fetchrow(sql, *(row[name] for name in record.WRITTEN))

            back = dict(runner.run(there_and_back()))
            return back, back.pop("at")

        yield through
        runner.run(connection.close())


@given(
    st.dictionaries(st.text(st.characters()), VALUES, max_size=5),
    st.text(st.characters()),
    st.text(st.characters()),
)
def test_the_hash_is_the_same_before_and_after_storage(
    text_column: Any, metadata: dict[str, Any], resource: str, agent: str
) -> None:
    event = AuditEvent(
        type="documents.deleted", outcome="success", actor_type="api_key", resource_id=resource, metadata=metadata,
        origin=Origin(request_id="r", echo_id="e", peer="p", user_agent=agent),
    )  # fmt: skip
    written = record.columns(event, 3, REDACTOR)
    back, at = text_column(written)
    own = {"id": 1, "xid": "9", "occurred_at": at, "voucher": b"v"}
    assert record.leaf("t1", {**written, **own}) == record.leaf("t1", {**back, **own})
    assert record.content("t1", {**written, **own}) == record.content("t1", {**back, **own})


def test_fields_cannot_flow_into_each_other() -> None:
    base: dict[str, Any] = dict.fromkeys(record.HASHED)
    one = record.leaf("t1", {**base, "actor_id": "a", "actor_role": None})
    other = record.leaf("t1", {**base, "actor_id": None, "actor_role": "a"})
    assert one != other
    assert record.leaf("t1", base) != record.leaf("t2", base)
    assert base64.b64encode(record.leaf("t1", base))
