"""What a vendor's service answers becomes the contract's errors, and tells who may try again."""

import pytest
from ragwork_toolkit.vendor.errors import (
    VendorErrorCodes,
    connection_failed,
    not_understood,
    status_error,
    timed_out,
    unavailable,
)

CODES = VendorErrorCodes(auth="A", refused="R", timeout="T", unavailable="U", check="THE_KEY", service="Acme")


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        *((status, "A", False) for status in (401, 403)),
        *((status, "R", False) for status in (0, 400, 404, 418, 422, 499)),
        *((status, "U", True) for status in (None, 408, 409, 429, 500, 503, 599)),
    ],
)
def test_a_status_says_whose_fault_it_is(status: int | None, code: str, retryable: bool) -> None:
    error = status_error(CODES, status, 7.0, f"Acme answered {status}")
    assert (error.code, error.retryable) == (code, retryable)
    # Advice to wait is for who may come again.
    assert error.retry_after_s == (7.0 if retryable else None)
    assert str(status) in str(error)
    assert ("check THE_KEY" in str(error)) is (code == "A")


def test_no_answer_may_be_asked_for_again() -> None:
    errors = {
        "U: half": unavailable(CODES, "half"),
        "T: Acme did not answer in time": timed_out(CODES),
        "U: the connection to Acme failed": connection_failed(CODES),
        "U: Acme's answer could not be understood": not_understood(CODES),
    }
    for text, error in errors.items():
        assert (str(error), error.retryable, error.retry_after_s) == (text, True, None)


def test_what_a_contract_does_not_tell_apart_is_its_refusal() -> None:
    codes = VendorErrorCodes(auth="A", refused="R", check="THE_KEY")
    assert (codes.timeout, codes.unavailable) == ("R", "R")
