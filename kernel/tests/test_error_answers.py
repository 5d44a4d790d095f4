"""What clients hear of a failure, in an answer and in a stream, and what only the operator hears."""

import asyncpg
import pytest
from ragwork_hooks.errors import Problem, ProviderError
from ragwork_kernel.base.error_answers import UNEXPECTED, cause, classify, told


@pytest.mark.parametrize("of", ["request", "stream"])
def test_what_somebody_meant_users_to_read_is_what_they_read(of: str) -> None:
    assert classify(Problem("CONFLICT", "taken"), of) == ("CONFLICT", "taken", 409)  # type: ignore[arg-type]
    assert classify(ProviderError("TTS_ERROR", "mute"), of) == ("TTS_ERROR", "mute", 503)  # type: ignore[arg-type]


def test_what_nobody_foresaw_goes_to_the_log_and_no_word_of_it_to_clients(
    caplog: pytest.LogCaptureFixture,
) -> None:
    error = ValueError("secret-1")
    assert classify(error) == ("INTERNAL_ERROR", UNEXPECTED, 500)
    assert classify(error, of="stream")[:2] == ("UNKNOWN_ERROR", UNEXPECTED)
    refused = classify(asyncpg.UniqueViolationError("secret-2"), of="stream")
    assert (refused.code, refused.status) == ("DB_ERROR", 500)
    assert "secret" not in refused.message
    assert caplog.text.count("secret-1") == 2
    assert "secret-2" in caplog.text


def test_a_stream_that_took_too_long_says_so() -> None:
    assert classify(TimeoutError(), of="stream").code == "INTEGRATION_UNAVAILABLE"


def test_a_cause_is_for_the_operator_and_only_sentences_are_told() -> None:
    assert told(cause(Problem("CONFLICT", "taken"))) == "CONFLICT: taken"
    assert cause(KeyError("secret")) == "unexpected failure: KeyError: 'secret'"
    assert told(cause(KeyError("secret"))) == UNEXPECTED
