"""On a broker without our topics every command ends by one sentence and status 2: a person has to make them first."""

from pathlib import Path

import pytest

from npsflow.agents.broker.embedded import Broker
from npsflow.agents.kafka import clients
from npsflow.streams.engine.admin import Wanted, create, partition_counts, partition_counts_of
from npsflow.streams.engine.installation import Installation
from tests.agents.test_ends import COMMANDS, Words, assert_one_sentence, call
from tests.support.waiting import eventually

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


async def test_topics_are_asked_for_by_name(broker: Broker) -> None:
    """A cluster may have thousands, of which a worker needs a dozen; asking for one that is not there makes none."""
    installation = Installation(broker.bootstrap, "by-name.")
    async with clients.admin(installation) as admin, clients.client(installation) as client:
        wanted = [Wanted(installation.topic(name), count, 1, {}) for name, count in (("a", 3), ("b", 1))]
        await create(admin, wanted)
        names = [installation.topic(name) for name in ("a", "absent")]

        async def listed() -> bool:
            return await partition_counts_of(client, names) == {installation.topic("a"): 3}

        await eventually(listed)
        assert installation.topic("absent") not in await partition_counts(admin)
