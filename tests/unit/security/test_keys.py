"""API keys: their form, their checksum, their hash."""

from __future__ import annotations

import random
import string
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.security.keys import (
    KEY_CHARS,
    MalformedKeyError,
    ParsedKey,
    hash_key,
    new_key,
    parse_key,
    same_hash,
)

PEPPER = bytes(range(32))
OTHER_PEPPER = bytes(32)


def mutated(text: str, dice: random.Random) -> str:
    """Damage a text in one of the ways that happen, by accident or not."""
    place, other = sorted(dice.sample(range(len(text)), 2))
    head, letter, tail = text[:place], text[place], text[place + 1 :]
    return dice.choice(
        [
            head + chr(ord(letter) ^ (1 << dice.randrange(8))) + tail,
            head,
            head + tail,
            text + dice.choice(["=", "==", " ", "\n", "\0", "A", text]),
            head + dice.choice("é٣Ａ\u200b\ud800😀") + tail,
            text.swapcase(),
            head + text[other] + text[place + 1 : other] + letter + text[other + 1 :],
            head + dice.choice(string.printable) + letter + tail,
            head + dice.choice(string.printable) + tail,
        ]
    )


def test_a_new_key_reads_back_as_itself() -> None:
    key = new_key()
    assert parse_key(key.text).key_id == key.key_id
    assert parse_key(key.text).text == key.text
    assert key.text.startswith(f"tk_{key.key_id}_")
    assert len(key.text) == KEY_CHARS == 63


def test_new_keys_differ_in_id_and_secret() -> None:
    keys = [new_key() for _ in range(1000)]
    assert len({key.key_id for key in keys}) == 1000
    assert len({key.text[14:57] for key in keys}) == 1000


def test_the_secret_uses_its_whole_alphabet_evenly() -> None:
    letters = Counter("".join(new_key().text[14:57] for _ in range(2000)))
    expected = 2000 * 43 / 62
    assert len(letters) == 62
    # A chi-square over 61 degrees of freedom stays below 121 but once in 200,000 runs.
    assert sum((count - expected) ** 2 / expected for count in letters.values()) < 121


def test_the_form_is_the_one_that_scanners_were_told() -> None:
    key = "tk_0123456789_ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq2s3JgM"
    assert parse_key(key).key_id == "0123456789"


@given(st.text())
def test_no_text_is_a_key_by_chance(text: str) -> None:
    with pytest.raises(MalformedKeyError):
        parse_key(text)


@given(st.integers(min_value=3, max_value=KEY_CHARS - 1), st.characters())
def test_a_single_wrong_character_is_a_typo(place: int, wrong: str) -> None:
    key = new_key().text
    if key[place] == wrong:
        return
    with pytest.raises(MalformedKeyError):
        parse_key(key[:place] + wrong + key[place + 1 :])


@given(st.integers(min_value=0, max_value=KEY_CHARS - 2))
def test_two_neighbours_swapped_are_a_typo(place: int) -> None:
    key = new_key().text
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    if swapped == key:
        return
    with pytest.raises(MalformedKeyError):
        parse_key(swapped)


@pytest.mark.parametrize("text", ["", "tk_", "tk__", "x" * 10_000_000, "😀" * KEY_CHARS, "\ud800"])
def test_absurd_input_is_malformed(text: str) -> None:
    with pytest.raises(MalformedKeyError):
        parse_key(text)


def test_the_error_does_not_repeat_the_key() -> None:
    key = new_key().text
    with pytest.raises(MalformedKeyError) as error:
        parse_key(key[:-1])
    assert key[:-1] not in str(error.value)


def test_the_representation_hides_the_secret() -> None:
    key = new_key()
    assert key.text not in repr(key)
    assert key.text[14:57] not in repr(key)


def test_the_hash_depends_on_every_part_of_the_key_and_on_the_pepper() -> None:
    key = new_key()
    assert hash_key(key, PEPPER) == hash_key(parse_key(key.text), PEPPER)
    assert hash_key(key, PEPPER) != hash_key(key, OTHER_PEPPER)
    assert hash_key(key, PEPPER) != hash_key(new_key(), PEPPER)
    assert len(hash_key(key, PEPPER)) == 32


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        hash_key(new_key(), b"short")


def test_equal_hashes_are_the_same_and_others_not() -> None:
    one = hash_key(new_key(), PEPPER)
    assert same_hash(one, bytes(one))
    assert not same_hash(one, hash_key(new_key(), PEPPER))
    assert not same_hash(one, one[:-1])


def accepted(text: str, stored: dict[str, bytes]) -> bool:
    """Decide as the exchange does: form first, then the hash in the store."""
    try:
        parsed: ParsedKey = parse_key(text)
    except MalformedKeyError:
        return False
    return same_hash(hash_key(parsed, PEPPER), stored.get(parsed.key_id, bytes(32)))


def try_mutations(count: int, seed: int) -> None:
    dice = random.Random(seed)
    keys = [new_key() for _ in range(20)]
    stored = {key.key_id: hash_key(key, PEPPER) for key in keys}
    texts = {key.text for key in keys}
    assert all(accepted(text, stored) for text in texts)
    tried = 0
    for _ in range(count):
        text = mutated(dice.choice(keys).text, dice)
        if text not in texts:
            tried += 1
            assert not accepted(text, stored)
    assert tried > count * 0.9


def test_no_mutated_key_is_accepted() -> None:
    try_mutations(5_000, seed=1)


@pytest.mark.slow
def test_none_of_a_million_mutated_keys_is_accepted() -> None:
    try_mutations(1_000_000, seed=2)


def test_a_forged_checksum_does_not_help() -> None:
    real, other = new_key(), new_key()
    stored = {real.key_id: hash_key(real, PEPPER)}
    # An attacker computes the checksum too: the id of one key and the secret of another.
    from ticker.security.keys import _checksum  # noqa: PLC0415 - only the attacker needs it

    body = f"tk_{real.key_id}_{other.text[14:57]}"
    assert parse_key(body + _checksum(body)).key_id == real.key_id
    assert not accepted(body + _checksum(body), stored)
