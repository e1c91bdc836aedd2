"""How far all tasks of classify have come: what is older is known from each of them, in whatever order."""

from npsflow.schemas import codec
from npsflow.schemas.deltas import TaskAt

_KEY = b"task-at:"


class Watermark:
    """The least hour (number since 1970) of all tasks. They stand in the changelog under `task-at:TASK`."""

    def __init__(self) -> None:
        self._hours: dict[int, int] = {}
        self._tasks = 0
        self._touched: set[int] = set()

    def note(self, at: TaskAt) -> bool:
        """A task has come to an hour; gives whether that is news."""
        if at.hour <= self._hours.get(at.task, 0) and at.tasks == self._tasks:
            return False
        self._tasks = at.tasks
        self._hours[at.task] = max(at.hour, self._hours.get(at.task, 0))
        self._touched.add(at.task)
        return True

    @property
    def hour(self) -> int | None:
        """None where no task says its name: those of an earlier version. 0 while one of them was not heard of."""
        if not self._tasks:
            return None
        return min(self._hours.get(task, 0) for task in range(self._tasks))

    def dump(self) -> list[tuple[bytes, bytes]]:
        """Changelog records (key, value) of what is new since the last call."""
        records = [
            (_KEY + b"%d" % task, codec.pack([self._hours[task], self._tasks])) for task in sorted(self._touched)
        ]
        self._touched.clear()
        return records

    def restore(self, key: bytes, value: bytes) -> bool:
        """Take back a record of the changelog, in any order; False where it is not one of `dump`."""
        if not key.startswith(_KEY):
            return False
        hour, tasks = codec.unpack(value)
        self._hours[int(key.removeprefix(_KEY))] = hour
        self._tasks = max(tasks, self._tasks)
        return True
