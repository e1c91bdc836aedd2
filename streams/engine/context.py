"""What the parts of a running stage share."""

from dataclasses import dataclass

from npsflow.streams.engine.installation import Installation
from npsflow.streams.engine.observer import Observer, TaskId
from npsflow.streams.stage import Stage


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """How the engine works; the defaults are those of every worker."""

    name: str | None = None
    """One that lasts makes membership static: a worker back within the session keeps its partitions."""
    rebuilding: bool = False
    """Whether the input is replayed: state that is not whole is accepted and left behind."""
    accept_loss: bool = False
    """Whether a task goes on where records of its input were deleted before it read them."""
    records_per_batch: int = 250
    """At most. A batch holds up commits, and each of them needs some thirty turns of the event loop."""
    commits_per_second: float = 40.0
    """At most, of all stages of a worker."""
    normal_wait: float = 1.0
    """Seconds that a commit may wait."""
    urgent_wait: float = 0.02
    """The same where an urgent record has just arrived, and the last commit is long enough ago: others come with it."""
    commit_timeout: float = 30.0
    """Seconds for a commit: the broker has given it up before, and aiokafka asks for a missing topic for ever."""


@dataclass(frozen=True, slots=True)
class Context:
    """A stage in its installation, how it is worked on, and who watches."""

    stage: Stage
    installation: Installation
    settings: EngineSettings
    observer: Observer

    def task(self, partition: int) -> TaskId:
        """The id of the task of this partition."""
        return TaskId(self.stage.name, partition)
