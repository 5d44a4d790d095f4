"""The token's form: what is refused without asking anybody."""

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ragwork_toolkit.bearer_tokens.format import TokenFormat, digest

KEY = TokenFormat("nrgk_")


def test_minted_tokens_are_recognised_and_carry_at_least_256_random_bits() -> None:
    key_id, token = KEY.mint()
    assert KEY.id_of(token) == key_id
    assert token.startswith(f"nrgk_{key_id}_")
    assert KEY.shown(key_id) == token[:12]
    secret = token.rpartition("_")[2]
    assert 62 ** (len(secret) - 6) >= 2**256
    assert len({KEY.mint()[1] for _ in range(1000)}) == 1000


@given(st.integers(0, 70), st.sampled_from("0Aa_-é\x00\ud800 "))
def test_one_changed_character_is_refused(at: int, other: str) -> None:
    _, token = KEY.mint()
    changed = token[:at] + other + token[at + 1 :]
    assert changed == token or KEY.id_of(changed) is None


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert KEY.id_of(text) is None
    assert KEY.id_of("nrgk_" + text) is None


@pytest.mark.parametrize("tail", ["\n", " ", "\x00", "x", "x" * 1_000_000])
def test_anything_appended_is_refused(tail: str) -> None:
    assert KEY.id_of(KEY.mint()[1] + tail) is None


def test_digest_is_keyed() -> None:
    assert digest(b"a" * 32, "t") == hmac.new(b"a" * 32, b"t", hashlib.sha256).digest()
    assert digest(b"a" * 32, "t") != digest(b"b" * 32, "t")
