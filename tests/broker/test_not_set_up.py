"""On a broker without our topics every command ends by one sentence and status 2: a person has to make them first."""

from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker
from tests.agents.test_ends import COMMANDS, Words, assert_one_sentence, call

NEEDS_NONE = {
    "broker", "check", "completion", "demo", "import", "intake", "intake try", "notify try", "schemas export",
    "topics create", "topics list",
}  # fmt: skip
"""Commands that need no topic, wait for them, or report on them; an import sends nothing of an empty file."""

FETCHED = "[intake.shop]\nplatform = 'surveymonkey'\n"
NAMES = [pytest.param(words, id=" ".join(words)) for words in COMMANDS if " ".join(words) not in NEEDS_NONE]


@pytest.fixture
def without_topics(broker: Broker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text('{"key": "value"}\n')
    Path("npsflow.toml").write_text("[sealing]\nenabled = true\n[notify.desk]\nkind = 'console'\n" + FETCHED)
    monkeypatch.setenv("NPSFLOW_TOKEN_SHOP", "a-token-of-the-test")
    monkeypatch.setenv("NPSFLOW_BROKERS", broker.bootstrap)
    monkeypatch.setenv("NPSFLOW_PREFIX", "never-made.")
    monkeypatch.setenv("NPSFLOW_SECRET_BOARD", "a-token-that-is-long-enough-for-all-who-count-its-letters")


@pytest.mark.usefixtures("without_topics")
@pytest.mark.parametrize("words", NAMES)
def test_without_topics(words: Words) -> None:
    result = call(words)
    assert_one_sentence(result)
    assert "npsflow topics create" in result.stderr, result.stderr
