"""The lines of "Threats" in SECURITY.md that no other test proves: what a stolen secret allows, and what it does not.

Elsewhere: the token of the board, test_fuzzing.py and test_board.py; permissions, test_secured_acls.py and
test_secured_job.py; sealing on Kafka, test_sealing.py; who may send, test_door.py and test_limits.py; logins and TLS,
test_security.py and test_secured_refusals.py; what notifiers let through, conformance.py beside them.
"""

import dataclasses
import importlib
import json
import logging
import pkgutil
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner
from standardwebhooks import Webhook, WebhookVerificationError

import npsflow.agents
import npsflow.schemas
import npsflow.streams
from npsflow.agents.cli import main
from npsflow.agents.intake.endpoint import Endpoint, kept_delivery, signed, unsigned
from npsflow.agents.platforms.protocol import Delivery, Forged, Rejected
from npsflow.agents.sealing.cipher import Wrapping, new_key_id, new_secret, seal
from npsflow.agents.sealing.table import KeyTable
from npsflow.agents.web.signatures import standard_webhook
from npsflow.schemas import topics
from npsflow.schemas.customer_keys import StoredKey, record_key
from npsflow.schemas.errors import SettingsError
from npsflow.schemas.response import MAX_COMMENT
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings, parse
from npsflow.streams.engine.logs import JsonFormatter
from npsflow.streams.intake.entrance import pseudonym
from npsflow.streams.recovery.inputs import valid_action
from tests.agents.platforms.conformance import NOW, platform
from tests.agents.platforms.signing import SECRET, SIGN
from tests.broker.acls import table
from tests.streams.folding import Record, Task

from .test_ends import COMMANDS, NAMES, Words, call

OTHER = "whsec_YW5vdGhlciBvZiB0d2VudHktZm91ciBi"
ADDRESS, KEY = "someone@example.com", "a key of thirty-two characters!!"

# Entrances.

SHOP = """
[intake.shop]
platform = "generic"
verification = "bearer"
scores = [{ question = "score", metric = "nps" }]
[intake.till]
platform = "generic"
verification = "bearer"
scores = [{ question = "score", metric = "nps" }]
"""


def endpoints(toml: str = SHOP) -> dict[str, Endpoint]:
    return signed(parse(toml), {"NPSFLOW_SECRET_SHOP": SECRET, "NPSFLOW_SECRET_TILL": OTHER})


def bearing(secret: str, **fields: Any) -> Delivery:
    body = {"response_id": "1", "form": "f", "submitted_at": "2026-03-01T15:02:11Z", "score": 3} | fields
    return Delivery({"authorization": f"Bearer {secret}"}, json.dumps(body).encode())


def outcomes(endpoint: Endpoint, *deliveries: Delivery, now: float = NOW) -> list[str]:
    """What becomes of each, an hour apart."""
    task, found = Task(Classify(Settings().classify_settings("npsflow/", 1))), []
    for number, delivery in enumerate(deliveries):
        for made in endpoint.records(delivery, now + number * 3600):
            record = Record(made.key, made.value, number, int((now + number * 3600) * 1000))
            found.append(task.take(record).outcome)
    return found


@pytest.mark.parametrize("name", sorted(SIGN))
def test_the_secret_of_one_entrance_opens_no_other(name: str) -> None:
    under = platform(name)
    theirs = dataclasses.replace(under.endpoint, secrets=[OTHER])
    mine = dataclasses.replace(under.endpoint, secrets=[SECRET])
    mine.verify(under.delivery(under.good), NOW)
    with pytest.raises(Rejected):
        theirs.verify(under.delivery(under.good), NOW)


def test_of_the_same_source_it_corrects_what_came_by_the_other() -> None:
    """The weakness that SECURITY.md names, and its cure."""
    both = endpoints()
    with pytest.raises(Forged):
        both["till"].verify(bearing(SECRET), NOW)
    keys = {name: [r.key for r in endpoint.records(bearing(""), NOW)] for name, endpoint in both.items()}
    assert keys["shop"] == keys["till"]
    apart = endpoints(SHOP.replace("[intake.till]", '[intake.till]\nsource = "till"'))
    assert [r.key for r in apart["till"].records(bearing(""), NOW)] == [b"till/1"]


def test_an_entrance_writes_what_came_in_and_reads_nothing() -> None:
    reads = {acl.name for acl in table("")["intake"] if acl.operation == "READ"}
    assert reads == {topics.CUSTOMER_KEYS}


def test_a_recorded_webhook_counts_once() -> None:
    shop = endpoints()["shop"]
    first, second = bearing(SECRET), bearing(SECRET, score=9, updated_at="2026-03-01T16:00:00Z")
    assert outcomes(shop, first, first, second, first) == ["counted", "repeated", "counted", "superseded"]
    same_time = bearing(SECRET, score=9)
    assert outcomes(shop, first, same_time, first) == ["counted", "counted", "counted"]
    arrival = endpoints(SHOP.replace("[intake.till]", "time_of_arrival = true\n[intake.till]", 1))["shop"]
    first, second = (bearing(SECRET, score=score, submitted_at=None) for score in (3, 9))
    assert outcomes(arrival, first, second, first) == ["counted", "counted", "counted"]


def test_a_replay_believes_what_is_a_dead_letter() -> None:
    """So who may write there is who may send, whatever the secret."""
    letter = kept_delivery(bearing("").body, [])
    (record,) = unsigned(parse(SHOP), {})["shop"].records(letter, NOW)
    assert record.key == b"generic/1"


# The network.


def test_nothing_listens_beyond_this_machine_unless_an_option_says_so() -> None:
    hosts = [p.default for command in COMMANDS.values() for p in command.params if p.name and p.name.endswith("host")]
    assert len(hosts) >= 5
    assert {*hosts} == {"127.0.0.1"}


@pytest.mark.parametrize("api", ["http://example.com", "http://127.0.0.1@example.com", "https://a@example.com"])
def test_a_token_goes_to_no_address_without_tls(api: str) -> None:
    toml = SHOP.replace('"generic"\nverification = "bearer"', f'"qualtrics"\napi = "{api}"')
    with pytest.raises(SettingsError, match="api is no https"):
        parse(toml)


# Actions.


def test_who_may_write_actions_may_forget_in_any_name() -> None:
    fields = {"action": "forget", "action_id": "x", "by": "somebody else"}
    assert valid_action(b"C-1", json.dumps(fields).encode()).by == "somebody else"
    assert {acl.name for acl in table("")["board"] if acl.operation == "WRITE"} >= {topics.ACTIONS}


# Pseudonyms.


def test_a_pseudonym_cannot_be_made_without_its_key_and_shows_nothing() -> None:
    made = pseudonym(ADDRESS, KEY)
    assert re.fullmatch("e-[0-9a-f]{32}", made)
    assert made == pseudonym(f" {ADDRESS.upper()} ", KEY)
    assert made not in {pseudonym(ADDRESS, other) for other in ("", KEY[:-1], KEY + " ", ADDRESS)}
    near = pseudonym("someonf@example.com", KEY)
    assert sum(a == b for a, b in zip(made[2:], near[2:], strict=True)) < 16  # of 32: by chance two


def test_without_its_key_there_is_no_pseudonym() -> None:
    toml = SHOP.replace("[intake.till]", 'fields = { "customer.email" = "mail" }\n[intake.till]')
    made = [
        json.loads(record.value or b"")
        for environment in ({}, {"NPSFLOW_SECRET_CUSTOMERS": KEY})
        for record in unsigned(parse(toml), environment)["shop"].records(bearing("", mail=ADDRESS), NOW)
    ]
    assert [one["customer"].get("id") for one in made] == [None, pseudonym(ADDRESS, KEY)]


def test_a_short_key_of_pseudonyms_is_a_warning_without_it(caplog: pytest.LogCaptureFixture) -> None:
    secrets = {"NPSFLOW_SECRET_SHOP": SECRET, "NPSFLOW_SECRET_TILL": OTHER}
    for key, count in ((KEY, 0), ("qwzx", 1)):
        caplog.clear()
        signed(parse(SHOP), secrets | {"NPSFLOW_SECRET_CUSTOMERS": key})
        assert [vars(record)["variable"] for record in caplog.records] == ["NPSFLOW_SECRET_CUSTOMERS"] * count
        assert "qwzx" not in str([vars(record) for record in caplog.records])


# Keys of customers.


def test_texts_of_two_customers_have_nothing_in_common_and_of_one_their_equality_shows() -> None:
    (one, first), (other, second) = ((new_key_id(), new_secret()) for _ in range(2))
    content = [seal(b"late again", *pair).rpartition(":")[2] for pair in ((one, first), (one, first), (other, second))]
    assert content[0] == content[1] != content[2]
    longer = seal(b"x" * MAX_COMMENT, one, first)
    assert len(longer) > len(seal(b"x", one, first)) + MAX_COMMENT  # and so does their length


def test_a_copy_of_customer_keys_opens_nothing_without_its_secret() -> None:
    """Nor with another one, nor when a key is moved; after a rotation with both, then with the new one."""
    id_, secret, old, new = new_key_id(), new_secret(), "o" * 32, "n" * 32
    record = record_key("C-1", id_)
    copied = Wrapping([old]).wrap(secret, record)
    for secrets in ([], [new], [old + "o"]):
        assert Wrapping(secrets).unwrap(copied, record) is None
    assert Wrapping([old]).unwrap(copied, record_key("C-2", id_)) is None
    rotated = Wrapping([old, new]).wrap(secret, record)
    assert [Wrapping([one]).unwrap(rotated, record) for one in (old, new)] == [None, secret]
    assert Wrapping([old]).unwrap(copied, record) == secret  # so a copy from before stays open


def test_who_may_write_keys_may_choose_what_seals_next() -> None:
    """The weakness that SECURITY.md names: a bare key is taken, whatever the secret."""
    record, chosen = record_key("C-1", "-" * 16), new_secret()
    keys = KeyTable()
    keys.put("C-1", "A" * 16, new_secret(), 0)
    keys.put("C-1", "-" * 16, Wrapping(["o" * 32]).unwrap(StoredKey(chosen), record), 1)
    found = keys.find("C-1")
    assert found is not None
    assert found.secret == chosen


# Webhooks out.


def test_a_receiver_tells_forged_changed_and_late_messages() -> None:
    body, now = b'{"type":"npsflow.case.opened.v1"}', str(int(time.time()))

    def headers(secret: str = SECRET, stamp: str = now, id_: str = "c-1.1") -> dict[str, str]:
        signature = standard_webhook(secret, id_, stamp, body)
        return {"webhook-id": id_, "webhook-timestamp": stamp, "webhook-signature": signature}

    receiver = Webhook(SECRET)
    receiver.verify(body, headers())
    for forged, sent in (
        (body, headers(OTHER)),
        (body.replace(b"opened", b"closed"), headers()),
        (body, headers() | {"webhook-id": "c-2.1"}),  # so a repeated one is known by its id
        (body, headers() | {"webhook-timestamp": str(int(now) + 1)}),
        (body, headers(stamp=str(int(now) - 600))),
    ):
        with pytest.raises(WebhookVerificationError):
            receiver.verify(forged, sent)


# The text form of objects.

_SECRET_FIELDS = re.compile(r"secrets?|(access_|refresh_)?tokens?|.*password|customers_key")
_NOT_SECRET = {"Kind", "Options", "Answers", "Table"}
"""Classes whose fields of such a name are a description, the name of a file, or a function."""


def classes() -> Iterator[type]:
    for package in (npsflow.schemas, npsflow.streams, npsflow.agents):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if found.name.startswith("npsflow.agents.demo") or found.name.endswith(("__main__", ".entry")):
                continue
            module = importlib.import_module(found.name)
            yield from (one for one in vars(module).values() if isinstance(one, type) and one.__module__ == found.name)


def with_secrets(kind: type) -> Any:
    """An object of a class that keeps its fields and shows them, with a secret wherever one belongs; None of others."""
    names = list(getattr(kind, "__annotations__", {}))
    if kind.__name__ in _NOT_SECRET or not any(map(_SECRET_FIELDS.fullmatch, names)):
        return None
    values = {name: SECRET if _SECRET_FIELDS.fullmatch(name) else "x" for name in names}
    if issubclass(kind, tuple | msgspec.Struct):
        return kind(**values)
    if dataclasses.is_dataclass(kind):
        made = object.__new__(kind)
        for name, value in values.items():
            object.__setattr__(made, name, value)
        return made
    return None


def test_no_object_shows_a_secret() -> None:
    made = {kind.__name__: one for kind in classes() if (one := with_secrets(kind)) is not None}
    assert made.keys() >= {"Endpoint", "Entrance", "Key", "StoredKey", "Client"}
    shown = {name: repr(one) for name, one in made.items() if name != "Security"}
    assert [name for name, text in shown.items() if SECRET in text or SECRET[6:] in text] == []
    delivery = Delivery({"authorization": SECRET}, SECRET.encode(), {"token": SECRET}, SECRET)
    assert SECRET not in repr(delivery)


# Whatever is set wrongly.

MARK = "qzqz"
TOML = """
[intake.shop]
platform = "surveymonkey"
scores = [{ question = "answers.1", metric = "nps" }]
[notify.desk]
kind = "webhook"
to = { "*" = "https://example.com/hook" }
[notify.mail]
kind = "email"
to = { "*" = "desk@example.com" }
options = { host = "smtp.example.com", sender = "npsflow@example.com", user = "npsflow" }
[notify.tickets]
kind = "zendesk"
options = { url = "https://example.zendesk.com", user = "npsflow@example.com" }
"""
ALL = {
    name: f"{MARK}-{number}-{'x' * 40}"
    for number, name in enumerate((
        "NPSFLOW_SECRET_SHOP", "NPSFLOW_SECRET_SHOP_NEXT", "NPSFLOW_SECRET_BOARD", "NPSFLOW_SECRET_BOARD_NEXT",
        "NPSFLOW_SECRET_KEYS", "NPSFLOW_SECRET_KEYS_NEXT", "NPSFLOW_SECRET_CUSTOMERS", "NPSFLOW_TOKEN_SHOP",
        "NPSFLOW_SECRET_NOTIFY_DESK", "NPSFLOW_SECRET_NOTIFY_MAIL", "NPSFLOW_SECRET_NOTIFY_MAIL_NEXT",
        "NPSFLOW_SECRET_NOTIFY_TICKETS", "NPSFLOW_SASL_PASSWORD", "NPSFLOW_TLS_KEY_PASSWORD",
    ))
}  # fmt: skip
LOGIN = {"NPSFLOW_SASL_USERNAME": "npsflow"}
WRONG: dict[str, dict[str, str]] = {
    "no user": {},
    "another name": LOGIN | {"NPSFLOW_SASL_PASSWROD": f"{MARK}-typed"},
    "no authority": LOGIN | {"NPSFLOW_TLS_CA": "file"},
    "a key without its certificate": LOGIN | {"NPSFLOW_TLS_KEY": "file"},
    "no mechanism": LOGIN | {"NPSFLOW_SASL_MECHANISM": f"{MARK}-pasted"},
    "no protocol": LOGIN | {"NPSFLOW_SECURITY_PROTOCOL": f"{MARK}-pasted"},
    "tokens in the clear": LOGIN | {"NPSFLOW_SASL_TOKEN_URL": f"http://127.0.0.1:1@{MARK}.example.com"},
    "in the file": LOGIN,
}


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("words", NAMES)
def test_no_command_shows_a_secret_whatever_is_wrong(
    words: Words, wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("{}\n")
    toml = TOML.replace('user = "npsflow"', f'password = "{MARK}"') if wrong == "in the file" else TOML
    Path("npsflow.toml").write_text(toml + (f'[intake.till]\nsecret = "{MARK}"\n' if wrong == "in the file" else ""))
    monkeypatch.setenv("NPSFLOW_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("NPSFLOW_BROKERS", "127.0.0.1:1")
    for name, value in (ALL | WRONG[wrong]).items():
        monkeypatch.setenv(name, value)
    with caplog.at_level(logging.DEBUG):
        result = call(words)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert MARK not in result.output
    assert MARK not in "".join(JsonFormatter().format(record) for record in caplog.records)


@pytest.mark.parametrize(
    ("words", "wrong", "message"),
    [
        (("notify", "desk"), {}, "NPSFLOW_SECRET_NOTIFY_DESK has to be whsec_"),
        (("notify", "try", "desk"), {}, "NPSFLOW_SECRET_NOTIFY_DESK has to be whsec_"),
        (("notify", "mail"), {}, "NPSFLOW_SECRET_NOTIFY_MAIL_NEXT has no effect"),
        (("board",), {"NPSFLOW_SECRET_BOARD": f"{MARK}-1"}, "NPSFLOW_SECRET_BOARD can be guessed"),
        (("board",), {"NPSFLOW_SECRET_BOARD": ""}, "NPSFLOW_SECRET_BOARD_NEXT is set without"),
        (("board",), {"NPSFLOW_TLS_KEY_PASSWORD": ""}, "127.0.0.1:1"),
        (("intake",), {"NPSFLOW_SECRET_KEYS": f"{MARK}-1"}, "NPSFLOW_SECRET_KEYS is shorter"),
        (("cases",), {"NPSFLOW_SECRET_KEYS": f"{MARK}-1"}, "NPSFLOW_SECRET_KEYS is shorter"),
        (("intake",), {"NPSFLOW_SECRET_SHOP": ""}, "NPSFLOW_SECRET_SHOP_NEXT is set without"),
        (("fetch",), {"NPSFLOW_TOKEN_SHOP": ""}, "set NPSFLOW_TOKEN_SHOP"),
    ],
)
def test_a_secret_that_cannot_be_used_is_named_and_not_shown(
    words: Words, wrong: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("npsflow.toml").write_text(TOML)
    environment = ALL | LOGIN | {"NPSFLOW_BROKERS": "127.0.0.1:1", "NPSFLOW_TLS_KEY_PASSWORD": ""} | wrong
    result = CliRunner().invoke(main, words, env=environment)
    assert result.exit_code in (1, 2)
    assert message in result.output
    assert MARK not in result.output
