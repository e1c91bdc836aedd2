"""Keys in memory, and values with tokens in them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from npsflow.agents.sealing.cipher import new_key_id, new_secret, seal
from npsflow.agents.sealing.table import KeyTable, alone, has_tokens, key_ids
from npsflow.schemas.errors import SettingsError

texts = st.text(st.characters(codec="utf-8"), min_size=1)


def made(*customers: str) -> tuple[KeyTable, dict[str, str]]:
    table, ids = KeyTable(), {customer: new_key_id() for customer in customers}
    for customer, key_id in ids.items():
        table.put(customer, key_id, new_secret(), 7)
    return table, ids


def token(table: KeyTable, customer: str, text: str) -> str:
    key = table.find(customer)
    assert key is not None
    return seal(text.encode(), key.id, key.secret)


@given(texts, texts, texts)
def test_json_is_as_it_was(first: str, second: str, plain: str) -> None:
    table, _ = made("C-1", "C-2")
    fields = {"a": token(table, "C-1", first), plain: [plain, {"b": token(table, "C-2", second)}]}
    written = json.dumps(fields).encode()
    assert json.loads(table.open(written)) == {"a": first, plain: [plain, {"b": second}]}
    assert has_tokens(written)


@given(st.binary(min_size=1))
def test_a_token_alone_is_any_bytes(body: bytes) -> None:
    table, ids = KeyTable(), new_key_id()
    secret = new_secret()
    table.put("", ids, secret, 0)
    whole = seal(body, ids, secret).encode()
    assert (table.open(whole), alone(whole), table.ids("")) == (body, ids, ())
    table.remove("", ids)
    assert table.open(whole) == b"erased"


def test_a_token_without_its_key_is_erased_and_others_are_not() -> None:
    table, ids = made("C-1", "C-2")
    written = json.dumps([token(table, "C-1", 'her "own" words'), token(table, "C-2", "his")]).encode()
    assert list(key_ids(written)) == [ids["C-1"], ids["C-2"]]
    table.remove("C-1", ids["C-1"])
    assert json.loads(table.open(written)) == ["erased", "his"]
    assert table.find("C-1") is None


def test_what_only_looks_like_a_token() -> None:
    table, ids = made("C-1")
    written = json.dumps([f"npsflow.sealed.1:{ids['C-1']}:{'A' * 30}", "npsflow.sealed.1:x:y"]).encode()
    assert json.loads(table.open(written)) == ["erased", "npsflow.sealed.1:x:y"]
    assert alone(b"npsflow.sealed.1:x:y") is None
    assert alone(None) is None


def test_a_text_that_was_a_token_is_not_opened_twice() -> None:
    table, _ = made("C-1")
    inner = token(table, "C-1", "secret")
    assert json.loads(table.open(json.dumps([token(table, "C-1", inner)]).encode())) == [inner]


def test_of_two_keys_the_same_one_seals_whatever_came_first() -> None:
    for order in ("A" * 16, "B" * 16), ("B" * 16, "A" * 16):
        table = KeyTable()
        for key_id in order:
            table.put("C-1", key_id, new_secret(), 0)
            table.put("C-1", key_id, new_secret(), 1)  # written again
        key = table.find("C-1")
        assert key is not None
        assert (key.id, key.at, table.ids("C-1"), len(table)) == ("A" * 16, 1, ("A" * 16, "B" * 16), 2)
        table.remove("C-1", "A" * 16)
        assert table.ids("C-1") == ("B" * 16,)
        table.remove("C-1", "unknown")
        assert [(customer, key.id) for customer, key in table.all_keys()] == [("C-1", "B" * 16)]


def test_a_key_that_is_wrapped_by_another_secret_stops_who_needs_it() -> None:
    table, ids = made("C-2")
    table.put("C-1", "L" * 16, None, 0)
    assert table.open(b'"%b"' % token(table, "C-2", "hers").encode()) == b'"hers"'
    locked = seal(b"x", "L" * 16, new_secret()).encode()
    for needs in (lambda: table.find("C-1"), lambda: table.open(locked), table.all_keys):
        with pytest.raises(SettingsError, match="set NPSFLOW_SECRET_KEYS"):
            needs()
    assert table.has(ids["C-2"])
