"""Nothing secret survives a log line, whatever way it came in."""

import logging
import time
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_hooks.credentials import CredentialFormat
from ragwork_hooks.redaction import REDACTED, Redactor
from ragwork_kernel.base import redaction
from ragwork_kernel.base.redaction import MAX_TEXT
from ragwork_kernel.base.telemetry import JsonFormatter, request_id_var

FORMATS = [
    CredentialFormat(name="a key", prefix="nrgk_"),
    CredentialFormat(name="a session", prefix="nrgss_"),
    CredentialFormat(name="a SCIM token", prefix="nrgscim_"),
]
REDACTOR, FORMATTER = Redactor(), JsonFormatter()
REDACTOR.learn(FORMATS, ["a-configured-value"])
FORMATTER.redactor.learn(FORMATS, ["a-configured-value"])

KEY = "nrgk_AbCdEf0123456789_" + "s3cretPart" * 5
SECRETS = {
    f"token {KEY} used": "s3cretPart",
    "nrgss_abc_sessionsecret and nrgscim_abc_scimsecret": "secret",
    "Authorization: Bearer abc.def-ghi": "abc.def",
    "{'authorization': 'Basic dXNlcjpwYXNz'}": "dXNlcjpwYXNz",
    '{"Authorization": "Bearer abcdefgh"}': "abcdefgh",
    '{\\"Authorization\\": \\"Bearer abcdefgh\\"}': "abcdefgh",
    "bearer   tok-en_value123": "tok-en_value123",
    "mail from jane.doe+x@mail.example.co.uk today": "jane.doe",
    "postgresql://ragwork:hunter2@db:5432/x": "hunter2",
    "https://token@host/path": "token@",
    "password=hunter2&x=1": "hunter2",
    "redis://:hun/ter@2@cache:6379/0": "ter@2",
    "Basic dXNlcjpwYXNzd29yZA==": "dXNlcjpw",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": "MfKQ9r8G",
    "ours is a-configured-value, they say": "a-configured-value",
    "client_assertion=abc123": "abc123",
    "client_secret: 'abc123'": "abc123",
    "api-key=abc123": "abc123",
    "OPENAI sk-proj-abcdefghijklmnopqrstuvwx": "abcdefghijkl",
    "AKIAABCDEFGHIJKLMNOP": "ABCDEFGHIJKLMNOP",
    "jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln": "eyJzdWIi",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----": "MIIEow",
    "-----BEGIN PRIVATE KEY-----\nMIIEow cut off": "MIIEow",
}
HARMLESS = [
    "content_type application/json", "total_tokens 42", "GET /v1/corpora 200", "42 tokens were used",
    "the authorization plan is frozen", "no bearer was sent", "10:30 @ noon", "cache key t1/alice",
    "task-list-of-things", "basic authentication failed",
]  # fmt: skip


def redact(value: object) -> object:
    return redaction.redact(value, REDACTOR)


def redact_text(text: str) -> str:
    return redaction.redact_text(text, REDACTOR)


def line(message: str, *args: object, **extra: Any) -> dict[str, Any]:
    exc_info = extra.pop("exc_info", None)
    record = logging.getLogger("t").makeRecord(
        "t", logging.ERROR, "f", 1, message, args, exc_info, extra=extra
    )
    formatted: dict[str, Any] = orjson.loads(FORMATTER.format(record))
    return formatted


@pytest.mark.parametrize("text", SECRETS)
def test_secrets_go_by_their_shape(text: str) -> None:
    assert SECRETS[text] not in redact_text(text)
    assert SECRETS[text] not in str(line("it failed: %s", text))
    assert SECRETS[text] not in str(line("x", detail=[{"a": text}]))
    assert redact_text(redact_text(text)) == redact_text(text)


@pytest.mark.parametrize("text", HARMLESS)
def test_harmless_texts_stay(text: str) -> None:
    assert redact_text(text) == text


@pytest.mark.parametrize(
    "key",
    [
        "Authorization",
        "api_key",
        "API-Key",
        "clientSecret",
        "token",
        "Tokens",
        "secret",
        "Set-Cookie",
        "text",
        "content",
    ],
)
def test_secrets_go_by_exact_key(key: str) -> None:
    assert redact({key: "plain"}) == {key: REDACTED}
    assert redact([{"deep": [{key: {"a": "plain"}}]}]) == [{"deep": [{key: REDACTED}]}]


def test_keys_that_only_contain_a_word_stay_and_so_do_counts() -> None:
    kept = {"content_type": "text/plain", "total_tokens": 5, "tokens": 5, "secretary": "Kim", "context": "c"}
    assert redact(kept) == kept


def test_an_exceptions_text_can_not_smuggle_a_secret_out() -> None:
    try:
        try:
            raise ValueError(f"bad key {KEY}")
        except ValueError as cause:
            raise RuntimeError("login of jane@example.com with password=hunter2") from cause
    except RuntimeError as error:
        written = str(line("failed: %s", error, exc_info=(type(error), error, error.__traceback__)))
    assert "RuntimeError" in written
    for secret in ("s3cretPart", "jane@example.com", "hunter2"):
        assert secret not in written


def test_a_line_is_one_line_whatever_it_holds() -> None:
    class Odd:
        def __str__(self) -> str:
            return f"odd {KEY}"

    record = logging.getLogger("t").makeRecord(
        "t", 20, "f", 1, "a\nb %d", ("x",), None, extra={"odd": Odd(), "raw": b"\xff"}
    )
    text = FORMATTER.format(record)
    assert "\n" not in text
    assert "s3cretPart" not in text
    assert orjson.loads(text)["raw"] == "[1 bytes]"


def test_lines_carry_the_request_id_of_their_task() -> None:
    token = request_id_var.set("req-1")
    try:
        assert line("x")["request_id"] == "req-1"
    finally:
        request_id_var.reset(token)
    assert "request_id" not in line("x")


@given(
    st.recursive(
        st.none() | st.text() | st.binary() | st.floats(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_no_value_breaks_redaction(value: object) -> None:
    redact(value)


@pytest.mark.parametrize(
    "text",
    [
        "a@" * 50_000,
        "password=" * 20_000,
        "a." * 50_000 + "@",
        "://" + "x" * 99_999,
        "Authorization:" * 9_000,
        "-----BEGIN A" * 9_000,
    ],
)
def test_hostile_texts_cost_little_and_are_cut(text: str) -> None:
    started = time.perf_counter()
    assert len(redact_text(text)) < MAX_TEXT * 2
    assert time.perf_counter() - started < 0.5
