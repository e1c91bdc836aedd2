"""What one record, or one deadline, is about to change: collected apart from the tables, applied as a whole or not."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from hashlib import blake2b

from msgspec import Struct

from npsflow.schemas import codec, topics
from npsflow.schemas.cases import Case, Happening, event_type
from npsflow.schemas.events import Context
from npsflow.schemas.headers import CloudEvents
from npsflow.schemas.times import rfc3339
from npsflow.streams.recovery.case import ended
from npsflow.streams.recovery.counters import CASE
from npsflow.streams.recovery.state import Burst, CaseRecord, Customer, Fixing, Seen, Table, pack_file, unpack_file
from npsflow.streams.stage import CounterKey, Output


@dataclass(slots=True)
class Memory:
    """All that a task knows: by Kafka key, case, department, and `action_id` of what concerns very many cases."""

    customers: Table[Customer] = field(default_factory=lambda: Table(codec.pack, codec.unpacker(Customer)))
    cases: Table[CaseRecord] = field(default_factory=lambda: Table(pack_file, unpack_file))
    bursts: Table[Burst] = field(default_factory=lambda: Table(codec.pack, codec.unpacker(Burst)))
    fixing: Table[Fixing] = field(default_factory=lambda: Table(codec.pack, codec.unpacker(Fixing)))
    causes: dict[str, set[str]] = field(default_factory=dict)
    """Ids of the cases that were resolved with a root cause and whose customer has not been told."""


class UnitOfWork:
    """Reads through to the memory, writes beside it. `at`: when what causes it was appended, or fell due; ms."""

    def __init__(self, memory: Memory, sender: CloudEvents, partition: int, at: int) -> None:
        self._memory, self._sender, self._partition, self.at = memory, sender, partition, at
        self.customers: dict[str, Customer | None] = {}
        self.files: dict[str, CaseRecord | None] = {}
        self.bursts: dict[str, Burst] = {}
        self.fixing: dict[str, Fixing | None] = {}
        self.outputs: list[Output] = []
        self.counts: Counter[CounterKey] = Counter()
        self.urgent = False

    def customer(self, key: str) -> Customer:
        if key in self.customers:
            return self.customers[key] or Customer()
        return self._memory.customers.get(key) or Customer()

    def file(self, case_id: str) -> CaseRecord | None:
        """None where there is no such case, or it was forgotten."""
        return self.files[case_id] if case_id in self.files else self._memory.cases.get(case_id)

    def open_case(self, customer: Customer) -> CaseRecord | None:
        """What has to be done for this customer, if there is anything."""
        file = self.file(customer.last_case)
        return None if file is None or ended(file.case) else file

    def case_id(self, prefix: str, name: str, revision: int, key: str, seen: Seen | None) -> str:
        """Of the case that an alert or follow-up begins, or begins again while that one is kept.

        No id is ever used twice: a response that moves to another customer begins another case there, which is another
        partition's business as a rule, and after a case was forgotten another begins.
        """
        if seen is None or not seen.began:
            return digest(prefix, name, key)
        return seen.began if self.file(seen.began) is not None else digest(prefix, f"{name}.{revision}", key)

    def burst(self, department: str) -> Burst:
        return self.bursts.get(department) or self._memory.bursts.get(department) or Burst([], "")

    def resolved_with(self, cause: str, after: str) -> Iterable[str]:
        """Ids of cases, in their order."""
        return sorted(case_id for case_id in self._memory.causes.get(cause, ()) if case_id > after)

    def size(self, case_id: str) -> int:
        """Bytes of a case as it was before."""
        return self._memory.cases.size(case_id)

    def write(self, case: Case, context: Context) -> CaseRecord:
        """The case as it stands now."""
        file = self.files[case.case_id] = CaseRecord(case, context)
        return file

    def keep(self, case: Case, context: Context, what: Happening) -> CaseRecord:
        """The case has taken a step: it is written as it stands, and an event says so."""
        file = self.write(case, context)
        self._send(what, case.key, case.case_id, case.revision, pack_file(file))
        self.urgent = self.urgent or case.kind != "ask"
        return file

    def say(self, what: Happening, key: str, subject: str, name: int | str, *parts: Struct) -> None:
        """An event that is not the whole case; `name` makes its id unique for the subject."""
        value = b",".join(codec.encode(part)[1:-1] for part in parts)
        self._send(what, key, subject, name, b"{" + value + b"}")

    def _send(self, what: Happening, key: str, subject: str, revision: int | str, value: bytes) -> None:
        headers = self._sender.headers(event_type(what), subject, revision, rfc3339(self.at))
        self.outputs.append(Output(topics.SERVICE_RECOVERY, self._partition, key.encode(), value, headers))
        self.counts[CASE, what] += 1


def digest(prefix: str, name: str, key: str) -> str:
    """An id for what an alert or follow-up begins under this Kafka key."""
    return prefix + blake2b(f"{name} {key}".encode(), digest_size=16).hexdigest()
