"""What a task of recover keeps: its customers and its cases, packed, by key."""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

from msgspec import Struct

from npsflow.schemas import codec
from npsflow.schemas.cases import Case, TeamAction
from npsflow.schemas.events import Context, Severity
from npsflow.schemas.times import to_ms

T = TypeVar("T")
_MOST_SEEN = 100  # alerts and follow-ups of a customer
_KEPT = 2  # answers of a customer to one metric: the last, and the one before that


class Answered(Struct, frozen=True, array_like=True):
    """One answer; `response` is source/response_id, `at` when it was submitted, in ms; `unhappy`: an alert said so."""

    response: str
    score: int
    category: str
    at: int
    unhappy: bool = False

    @classmethod
    def of(cls, context: Context, *, unhappy: bool) -> "Answered":
        response = f"{context.source}/{context.response_id}"
        return cls(response, context.score, context.category, to_ms(context.submitted_at), unhappy)


class Seen(Struct, frozen=True, array_like=True):
    """An alert or follow-up: the last revision heard of it, and its case, or why there is none.

    `at`: when that revision was appended, in ms. `began`: the case that it has begun itself.
    """

    revision: int
    severity: Severity | None
    case_id: str
    reason: str = ""
    at: int = 0
    began: str = ""


class Customer(Struct, frozen=True, array_like=True):
    """What is known under one Kafka key. `last_case`: the one its next alert may join; `asked`: when last, in ms."""

    answers: dict[str, list[Answered]] = {}
    seen: dict[str, Seen] = {}
    last_case: str = ""
    asked: int = 0
    touched: int = 0

    def before(self, metric: str, answer: Answered) -> Answered | None:
        """The answer before this one, of another response."""
        older = (a for a in self.answers.get(metric, ()) if a.response != answer.response and a.at <= answer.at)
        return max(older, key=lambda a: a.at, default=None)

    def with_answer(self, metric: str, answer: Answered) -> dict[str, list[Answered]]:
        others = [a for a in self.answers.get(metric, ()) if a.response != answer.response]
        return self.answers | {metric: sorted([*others, answer], key=lambda a: a.at)[-_KEPT:]}

    def alerts_in(self, case_id: str) -> set[str]:
        """Ids of the alerts (or the follow-up) of this customer that a case is about."""
        return {name for name, seen in self.seen.items() if seen.case_id == case_id}

    def without_answer(self, response: str, *, unhappy: bool) -> dict[str, list[Answered]]:
        """An alert takes back what an alert has said; a follow-up of the same response may have come before that."""
        return {
            metric: [a for a in of if a.response != response or a.unhappy != unhappy]
            for metric, of in self.answers.items()
        }

    def with_seen(self, name: str, seen: Seen) -> dict[str, Seen]:
        """The newest at the end; who answers all the time is not remembered without bound."""
        others = [(other, was) for other, was in self.seen.items() if other != name]
        return dict([*others[-_MOST_SEEN:], (name, seen)])


class Burst(Struct, frozen=True, array_like=True):
    """Of a department: when its latest alerts came, in ms, and the case they are bundled in."""

    times: list[int]
    bundle: str


class Fixing(Struct, frozen=True, array_like=True):
    """A cause was mended, and not all who are to be told of it have been assigned: those after this case are left."""

    action: TeamAction
    after: str


class CaseRecord(NamedTuple):
    """A case, and what the alert or follow-up said that it began with."""

    case: Case
    context: Context


def pack_file(file: CaseRecord) -> bytes:
    """One flat JSON object, as it stands on `recovery-cases` and in events."""
    return codec.encode(file.case)[:-1] + b"," + codec.encode(file.context)[1:]


_case, _context = codec.decoder(Case), codec.decoder(Context)


def unpack_file(packed: bytes) -> CaseRecord:
    """Back from it."""
    return CaseRecord(_case(packed), _context(packed))


class Table(Generic[T]):
    """Values by key, kept as bytes: nothing for the garbage collector to walk. `dirty` since the last checkpoint,
    in the order in which they became so."""

    def __init__(self, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]) -> None:
        self._pack, self._unpack = pack, unpack
        self._packed: dict[str, bytes] = {}
        self.dirty: dict[str, None] = {}

    def get(self, key: str) -> T | None:
        packed = self._packed.get(key)
        return None if packed is None else self._unpack(packed)

    def put(self, key: str, value: T | None) -> None:
        """None forgets it."""
        if value is None:
            self._packed.pop(key, None)
        else:
            self._packed[key] = self._pack(value)
        self.dirty[key] = None

    def holding(self, part: bytes) -> list[str]:
        """Keys of the values that hold these bytes, packed."""
        return [key for key, packed in self._packed.items() if part in packed]

    def packed(self, key: str) -> bytes | None:
        return self._packed.get(key)

    def size(self, key: str) -> int:
        """Bytes of a value; of none 0."""
        return len(self._packed.get(key, b""))

    def restore(self, key: str, packed: bytes) -> None:
        self._packed[key] = packed

    def items(self) -> Iterator[tuple[str, T]]:
        return ((key, self._unpack(packed)) for key, packed in self._packed.items())

    def __contains__(self, key: str) -> bool:
        return key in self._packed

    def __len__(self) -> int:
        return len(self._packed)
