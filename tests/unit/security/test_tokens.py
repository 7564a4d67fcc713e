"""Tokens: one spelling each, signed, verified before anything else is asked."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
import secrets
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.security.tokens import TOKEN_CHARS, InvalidTokenError, TokenSigner, token_id

KEY = b"k" * 32
OTHER_KEY = b"o" * 32
URLSAFE = string.ascii_letters + string.digits + "-_"


def refusal(signer: TokenSigner, token: str) -> str:
    """Tell why a token is refused."""
    with pytest.raises(InvalidTokenError) as error:
        signer.verify(token)
    assert str(error.value) == "invalid token"
    return error.value.reason


def test_an_issued_token_verifies_to_its_random_bytes() -> None:
    signer = TokenSigner([KEY])
    nonce = signer.verify(signer.issue()[0])
    assert len(nonce) == 32


def test_a_token_is_exactly_what_the_contract_says() -> None:
    nonce_part, _, signature_part = TokenSigner([KEY]).issue()[0].partition(".")
    nonce = base64.urlsafe_b64decode(nonce_part + "=")
    signature = base64.urlsafe_b64decode(signature_part + "=")
    assert len(nonce) == 32
    # The standard library's HMAC agrees with the one we use.
    assert signature == hmac.digest(KEY, nonce, hashlib.sha256)


def test_tokens_never_repeat() -> None:
    signer = TokenSigner([KEY])
    assert len({signer.issue()[0] for _ in range(1000)}) == 1000


def test_another_keys_signature_is_forged() -> None:
    assert refusal(TokenSigner([KEY]), TokenSigner([OTHER_KEY]).issue()[0]) == "forged"


def test_rotation_logs_no_user_out() -> None:
    before = TokenSigner([KEY])
    during = TokenSigner([OTHER_KEY, KEY])
    after = TokenSigner([OTHER_KEY])
    old, new = before.issue()[0], during.issue()[0]
    assert during.verify(old)
    assert during.verify(new)
    assert after.verify(new)
    assert refusal(after, old) == "forged"
    assert refusal(before, new) == "forged"


@pytest.mark.parametrize("keys", [[], [b""], [KEY, b""], [KEY] * 9])
def test_a_signer_without_proper_keys_is_refused(keys: list[bytes]) -> None:
    with pytest.raises(ValueError, match="token keys"):
        TokenSigner(keys)


def test_the_representation_shows_no_key() -> None:
    assert repr(TokenSigner([KEY, OTHER_KEY])) == "<TokenSigner with 2 keys>"


def test_the_spare_bits_of_the_last_character_must_be_zero() -> None:
    signer = TokenSigner([KEY])
    token = signer.issue()[0]
    for end in (42, TOKEN_CHARS - 1):
        value = URLSAFE_ORDER.index(token[end])
        for spare in (1, 2, 3):
            twin = token[:end] + URLSAFE_ORDER[value + spare] + token[end + 1 :]
            # A forgiving decoder reads the same bytes, so it would be a second spelling.
            part = slice(0, 43) if end == 42 else slice(44, 87)
            assert base64.urlsafe_b64decode(twin[part] + "=") == base64.urlsafe_b64decode(
                token[part] + "="
            )
            assert refusal(signer, twin) == "malformed"


URLSAFE_ORDER = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token + "=",
        lambda token: token.replace(".", "=."),
        lambda token: token + "\n",
        lambda token: " " + token,
        lambda token: token.replace(".", ""),
        lambda token: token.replace(".", ".."),
        lambda token: token[:-1],
        lambda token: token[1:],
        lambda token: token.replace(".", ","),
        lambda token: token[:5] + "٣" + token[6:],
        lambda token: token[:5] + "\ud800" + token[6:],
        lambda token: token[:5] + "+" + token[6:],
        lambda token: token[:5] + "/" + token[6:],
        lambda token: token.split(".")[1] + "." + token.split(".")[0] + ".",
        lambda token: token * 100_000,
        lambda _: "",
        lambda _: ".",
    ],
)
def test_other_spellings_are_malformed(change: object) -> None:
    signer = TokenSigner([KEY])
    assert callable(change)
    assert refusal(signer, change(signer.issue()[0])) == "malformed"


@given(st.text(alphabet=URLSAFE + ".", min_size=TOKEN_CHARS, max_size=TOKEN_CHARS) | st.text())
def test_no_text_is_a_token_by_chance(text: str) -> None:
    assert refusal(TokenSigner([KEY, OTHER_KEY]), text) in {"malformed", "forged"}


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_no_signature_fits_by_chance(nonce: bytes, signature: bytes) -> None:
    parts = (base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in (nonce, signature))
    assert refusal(TokenSigner([KEY]), ".".join(parts)) == "forged"


def test_the_id_is_a_hash_that_every_process_agrees_on() -> None:
    assert token_id(bytes(32)) == hashlib.sha256(bytes(32)).hexdigest()[:32]
    assert len({token_id(secrets.token_bytes(32)) for _ in range(1000)}) == 1000


def try_mutations(count: int, seed: int) -> None:
    dice = random.Random(seed)
    signer = TokenSigner([KEY, OTHER_KEY])
    foreign = TokenSigner([b"f" * 32])
    tokens = {signer.issue()[0] for _ in range(20)}
    pool = sorted(tokens)
    tried = 0
    for _ in range(count):
        kind = dice.randrange(4)
        if kind == 0:  # its random bytes, another key's signature
            token = dice.choice(pool)[:44] + foreign.issue()[0][44:]
        elif kind == 1:  # another token's signature
            token = dice.choice(pool)[:44] + dice.choice(pool)[44:]
        else:
            token = damaged(dice.choice(pool), dice)
        if token in tokens:
            continue
        tried += 1
        with pytest.raises(InvalidTokenError):
            signer.verify(token)
    assert tried > count * 0.9


def damaged(token: str, dice: random.Random) -> str:
    """Flip a bit, cut, pad, or put in something foreign."""
    place = dice.randrange(len(token))
    head, letter, tail = token[:place], token[place], token[place + 1 :]
    return dice.choice(
        [
            head + chr(ord(letter) ^ (1 << dice.randrange(8))) + tail,
            head + dice.choice(URLSAFE.replace(letter, "")) + tail,
            head,
            tail,
            token + dice.choice(["=", "==", "\n", ".", "A"]),
            head + dice.choice("é٣Ａ\u200b\ud800😀") + tail,
            head + letter + letter + tail,
            head + tail,
        ]
    )


def test_no_mutated_token_is_accepted() -> None:
    try_mutations(5_000, seed=1)


@pytest.mark.slow
def test_none_of_a_million_mutated_tokens_is_accepted() -> None:
    try_mutations(1_000_000, seed=2)
