"""`memory`: bytes per remembered response in the store alone, at one million, as the process grows by them."""

import resource
import time
from dataclasses import dataclass, field
from pathlib import Path

from npsflow.schemas.headers import Headers
from npsflow.schemas.topics import RESPONSES
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.stage import Classify
from npsflow.streams.config.settings import Settings
from npsflow.streams.engine.installation import Installation
from tests.bench import data
from tests.bench.common import measured, report, say, scaled, tell

_COUNT, _WARM_UP = scaled(1_000_000), 200_000
_LIMIT = 250
_STATM = Path("/proc/self/statm")


def run(_: Installation) -> None:
    if not _STATM.exists():
        say("memory: not measured, this system has no /proc/self/statm")
        return
    say(f"memory: {_COUNT:,} responses are remembered")
    found = measured("memory")
    report("memory", found["grown"] / _COUNT, "bytes/response", _LIMIT, by="growth of RSS", packed=found["packed"])


@dataclass(slots=True)
class Received:
    """A record as the stage sees it."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    topic: str = RESPONSES
    partition: int = 0
    headers: Headers = field(default_factory=list)


def main() -> None:
    settings = Settings().classify_settings("npsflow/", 2)
    memory, before, packed = RememberedResponses(settings.horizon), 0, 0
    arrived = int(time.time() * 1000) + 1
    fold = Classify(settings).open(0, 4, lambda *_: None)
    for offset, response in enumerate(data.responses(data.steady(_WARM_UP + _COUNT))):
        if offset == _WARM_UP:
            before = _resident()  # with all that the stage itself keeps: names, caches, encoders
        key, value = data.encode(response)
        change = fold.read(Received(offset, arrived, key, value))
        if offset >= _WARM_UP:
            memory.remember(change.id, change.packed, change.submitted)
            if offset % 1000 == 0:
                memory.dump()  # as a commit does
            packed += len(change.packed)
    assert len(memory) == _COUNT
    tell(grown=_resident() - before, packed=packed / _COUNT)


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * resource.getpagesize()


if __name__ == "__main__":
    main()
