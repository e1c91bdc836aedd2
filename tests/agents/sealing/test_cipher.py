"""Texts and keys sealed and opened."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.sealing.cipher import NotOpened, Wrapping, new_key_id, new_secret, open_content, seal
from npsflow.schemas.customer_keys import StoredKey, parse_record_key, record_key
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.response import MAX_COMMENT
from npsflow.schemas.sealed import MAX_TOKEN, is_sealed

KEY, ID = new_secret(), new_key_id()


def content(token: str) -> str:
    return token.rpartition(":")[2]


@given(st.binary(min_size=1))
def test_what_is_sealed_opens_with_its_key_alone(text: bytes) -> None:
    token = seal(text, ID, KEY)
    assert is_sealed(token)
    assert token == seal(text, ID, KEY)  # sent again it says nothing new
    assert open_content(content(token), KEY) == text
    with pytest.raises(NotOpened):
        open_content(content(token), new_secret())


@given(st.binary(min_size=1), st.data())
def test_what_was_changed_does_not_open(text: bytes, data: st.DataObject) -> None:
    sealed = content(seal(text, ID, KEY))
    at = data.draw(st.integers(0, len(sealed) - 2))  # the last character may hold bits that are not used
    other = data.draw(st.sampled_from("AQgw_").filter(lambda c: c != sealed[at]))
    with pytest.raises(NotOpened):
        open_content(sealed[:at] + other + sealed[at + 1 :], KEY)
    with pytest.raises(NotOpened):
        open_content(sealed[:10], KEY)


def test_the_longest_comment_is_a_token_and_nothing_longer() -> None:
    longest = seal(("\N{PILE OF POO}" * MAX_COMMENT).encode(), ID, KEY)
    assert len(longest) <= MAX_TOKEN
    assert is_sealed(longest)
    assert not is_sealed(longest + "A" * 8)
    assert not is_sealed(f"said: {longest}")


def test_ids_are_unlike() -> None:
    assert len({new_key_id() for _ in range(1000)}) == 1000


@given(st.text(st.characters(codec="utf-8")), st.just(ID))
def test_the_record_of_a_key_names_customer_and_key(customer: str, key_id: str) -> None:
    assert parse_record_key(record_key(customer, key_id)) == (customer, key_id)


def test_wrapped_keys_open_with_the_secret_in_their_own_record() -> None:
    old, new = "o" * 32, "n" * 32
    record = record_key("C-1", ID)
    bare, wrapped = Wrapping([]).wrap(KEY, record), Wrapping([old]).wrap(KEY, record)
    assert bare == StoredKey(KEY)
    assert KEY not in wrapped.secret
    assert Wrapping([old]).unwrap(bare, record) == KEY
    assert Wrapping([old, new]).unwrap(wrapped, record) == KEY
    assert Wrapping([old, new]).wrap(KEY, record).wrapped_by == Wrapping([new]).newest
    assert Wrapping([new]).unwrap(wrapped, record) is None
    assert Wrapping([]).unwrap(wrapped, record) is None
    assert Wrapping([old]).unwrap(wrapped, record_key("C-2", ID)) is None


def test_a_secret_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(SettingsError, match="NPSFLOW_SECRET_KEYS is shorter than 32 characters") as error:
        Wrapping(["hunter2"])
    assert "hunter2" not in str(error.value)
