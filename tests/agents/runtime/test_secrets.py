"""Secrets from the environment."""

import logging

import pytest

from npsflow.agents.runtime.secrets import read_secrets
from npsflow.schemas.errors import SettingsError

X = "NPSFLOW_SECRET_X"


@pytest.mark.parametrize(
    ("values", "secrets"),
    [
        ({}, []),
        ({X: ""}, []),
        ({X: "Basic dXNlcjpwYXNz"}, ["Basic dXNlcjpwYXNz"]),
        ({X: " three  words within\n"}, ["three  words within"]),
        ({X: "old secret", f"{X}_NEXT": "new secret"}, ["old secret", "new secret"]),
        ({X: "old secret", f"{X}_NEXT": ""}, ["old secret"]),
    ],
)
def test_a_secret_is_one_secret(values: dict[str, str], secrets: list[str]) -> None:
    assert read_secrets(X, values) == secrets


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({X: " \t"}, f"{X} is blank"),
        ({X: "old secret", f"{X}_NEXT": " "}, f"{X}_NEXT is blank"),
        ({X: "Basic"}, f"{X} holds the word for a kind of login"),
        ({X: " bearer "}, f"{X} holds the word for a kind of login"),
        ({X: "old secret", f"{X}_NEXT": "Token"}, f"{X}_NEXT holds the word for a kind of login"),
        ({f"{X}_NEXT": "hunter22 and more"}, f"{X}_NEXT is set without {X}"),
    ],
)
def test_what_is_no_secret_is_refused_and_not_shown(values: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError) as refused:
        read_secrets(X, values)
    assert str(refused.value).startswith(message)
    assert "hunter22" not in str(refused.value)


def test_a_short_secret_of_our_own_choice_is_refused_and_not_shown() -> None:
    assert read_secrets(X, {X: "qwzxqwzx"}, ours=True) == ["qwzxqwzx"]
    for values in ({X: "qwzxqwz"}, {X: "a secret of words", f"{X}_NEXT": "qwzx"}):
        with pytest.raises(SettingsError, match="can be guessed: set at least 8 characters") as refused:
            read_secrets(X, values, ours=True)
        assert "qwzx" not in str(refused.value)


def test_a_short_secret_is_a_warning_without_it(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert read_secrets(X, {X: "qwzx"}) == ["qwzx"]
    (record,) = caplog.records
    assert (record.levelname, vars(record)["variable"]) == ("WARNING", X)
    assert "qwzx" not in str(vars(record) | {"message": record.getMessage()})
