"""What one task of recover knows: customers, cases, bursts and fixed causes by key, packed as in its changelog."""

from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from msgspec import Struct

from npsflow.schemas import codec
from npsflow.schemas.cases import Case, TeamAction
from npsflow.schemas.events import Context
from npsflow.schemas.times import DAY
from npsflow.streams.recovery.agenda import Agenda
from npsflow.streams.recovery.case import is_open
from npsflow.streams.recovery.customers import Customer
from npsflow.streams.recovery.standing import StandingAlert

T = TypeVar("T")
_CUSTOMERS_AT_ONCE = 5_000  # are looked at in one step when customers are forgotten


class Burst(Struct, frozen=True, array_like=True):
    """Of a department: when its last alerts were appended (ms, the oldest first), and the case that bundles them."""

    times: list[int]
    case_id: str


class FixedCause(Struct, frozen=True, array_like=True):
    """A `fixed` action that has not reached all of its cases yet: those with an id greater than `after` are left."""

    action: TeamAction
    after: str


class CaseRecord(NamedTuple):
    """A case, and the context of its worst alert, or of the follow-up that opened it."""

    case: Case
    context: Context


def pack_case(record: CaseRecord) -> bytes:
    """One flat JSON object, as in `recovery-cases` and in events about the case."""
    return codec.joined(codec.encode(record.case), codec.encode(record.context))


_decode_case, _decode_context = codec.decoder(Case), codec.decoder(Context)


def unpack_case(packed: bytes) -> CaseRecord:
    """Read what `pack_case` wrote. Raises Undecodable for anything else."""
    return CaseRecord(_decode_case(packed), _decode_context(packed))


class Table(Generic[T]):
    """Values by key, kept as bytes: the garbage collector has nothing to walk through.

    Those that are read again and again can be kept at hand as they are, besides. `dirty` holds the keys that were put
    since the last checkpoint, in that order.
    """

    def __init__(self, pack: Callable[[T], bytes], unpack: Callable[[bytes], T]) -> None:
        self._pack, self._unpack = pack, unpack
        self._packed: dict[str, bytes] = {}
        self._at_hand: dict[str, T] = {}
        self.dirty: dict[str, None] = {}

    def get(self, key: str) -> T | None:
        """Give the value; None where there is none."""
        if (value := self._at_hand.get(key)) is not None:
            return value
        packed = self._packed.get(key)
        return None if packed is None else self._unpack(packed)

    def put(self, key: str, value: T | None, packed: bytes | None = None) -> None:
        """Replace the value; None deletes it. `packed`: the value, if it is packed already."""
        if value is None:
            self._packed.pop(key, None)
            self._at_hand.pop(key, None)
        else:
            self._packed[key] = packed or self._pack(value)
            if key in self._at_hand:
                self._at_hand[key] = value
        self.dirty[key] = None

    def keep_at_hand(self, key: str) -> None:
        """Keep a value unpacked, if there is one, until `put_away`."""
        if key not in self._at_hand and (value := self.get(key)) is not None:
            self._at_hand[key] = value

    def put_away(self, key: str) -> None:
        """Keep a value packed only."""
        self._at_hand.pop(key, None)

    def keys_containing(self, part: bytes) -> list[str]:
        """Keys of the values whose packed form contains these bytes."""
        return [key for key, packed in self._packed.items() if part in packed]

    def packed(self, key: str) -> bytes | None:
        """Give the value as it is kept."""
        return self._packed.get(key)

    def size(self, key: str) -> int:
        """Bytes of the packed value, 0 where there is none."""
        return len(self._packed.get(key, b""))

    def restore(self, key: str, packed: bytes) -> None:
        """Take back a packed value."""
        self._packed[key] = packed

    def items(self) -> Iterator[tuple[str, T]]:
        """Unpack all, one after the other."""
        return ((key, self._unpack(packed)) for key, packed in self._packed.items())

    def __contains__(self, key: str) -> bool:
        return key in self._packed

    def __len__(self) -> int:
        return len(self._packed)


class RecoveryState:
    """The tables of one task, and the indexes that are derived from them.

    `customers` by Kafka key; `cases`, and the `alerts` in them or suppressed by the cooldown, by id; `bursts` by
    normalised department, `fixed_causes` by `action_id`. Cases and customers are put with the methods of this class,
    which keep the indexes.
    """

    def __init__(self) -> None:
        self.customers: Table[Customer] = Table(codec.pack, codec.unpacker(Customer))
        self.cases: Table[CaseRecord] = Table(pack_case, unpack_case)
        self.alerts: Table[StandingAlert] = Table(codec.pack, codec.unpacker(StandingAlert))
        self.bursts: Table[Burst] = Table(codec.pack, codec.unpacker(Burst))
        self.fixed_causes: Table[FixedCause] = Table(codec.pack, codec.unpacker(FixedCause))
        self.agenda = Agenda()
        self._tables: dict[bytes, Table[Any]] = {
            b"case": self.cases,
            b"alert": self.alerts,
            b"customer": self.customers,
            b"burst": self.bursts,
            b"fixing": self.fixed_causes,
        }
        self._keys_by_day: dict[int, set[str]] = {}  # customers by the day of their last update; a key may be outdated

    def put_case(self, case_id: str, before: CaseRecord | None, after: CaseRecord | None, packed: bytes | None) -> None:
        """Replace a case, or delete it with its alerts (None). `before`: as it is until now; `packed`: `after`."""
        old, new = before and before.case, after and after.case
        for alert_id in sorted(set(old.alert_ids).difference(new.alert_ids if new else ())) if old else ():
            self._forget_alert(alert_id, case_id)
        self.cases.put(case_id, after, packed)
        self._keep_at_hand(case_id, _all_at_hand(old), _all_at_hand(new))
        self.agenda.update(old, new)

    def _keep_at_hand(self, case_id: str, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """Keep a case at hand while these of its alerts are, too."""
        for alert_id in set(after).difference(before):
            self.alerts.keep_at_hand(alert_id)
        for alert_id in set(before).difference(after):
            self.alerts.put_away(alert_id)
        if after and not before:
            self.cases.keep_at_hand(case_id)
        elif before and not after:
            self.cases.put_away(case_id)

    def _forget_alert(self, alert_id: str, case_id: str) -> None:
        """Delete an alert that is in a case no more, unless it is in another one."""
        alert = self.alerts.get(alert_id)
        if alert is not None and alert.case_id == case_id:
            self.alerts.put(alert_id, None)

    def put_customer(self, key: str, before: Customer | None, customer: Customer | None) -> None:
        """Replace what is known under a key, `before` until now, or delete it (None)."""
        self._replace_customer(key, before, customer)
        if customer is not None:
            self._keys_by_day.setdefault(customer.updated_at // DAY, set()).add(key)
        else:
            for keys in self._keys_by_day.values():
                keys.discard(key)

    def _replace_customer(self, key: str, before: Customer | None, customer: Customer | None) -> None:
        """Of suppressed alerts those are kept that the customer names."""
        self.customers.put(key, customer)
        kept = customer.suppressed() if customer is not None else ()
        for alert_id in sorted(set(before.suppressed()).difference(kept)) if before is not None else ():
            self._forget_alert(alert_id, "")

    def forget_bursts(self, until: int) -> bool:
        """Delete the bursts of departments without an alert since `until` (ms); give whether there were any."""
        if not self.bursts:
            return False
        over = [department for department, burst in self.bursts.items() if burst.times[-1] <= until]
        for department in over:
            self.bursts.put(department, None)
        return bool(over)

    def forget_customers(self, until: int) -> bool:
        """Delete customers last updated before the day of `until` (ms) who have no open case, some thousands at a time.

        Gives whether there were any.
        """
        first_kept, forgotten, room = until // DAY, False, _CUSTOMERS_AT_ONCE
        for day in sorted([day for day in self._keys_by_day if day < first_kept]):
            keys = self._keys_by_day[day]
            while keys and room > 0:
                key, room = keys.pop(), room - 1
                customer = self.customers.get(key)
                if customer is None or customer.updated_at // DAY >= first_kept:
                    continue
                if self._has_open_case(customer):
                    self._keys_by_day.setdefault(first_kept, set()).add(key)  # looked at again a day later
                    continue
                self._replace_customer(key, customer, None)
                forgotten = True
            if not keys:
                del self._keys_by_day[day]
        return forgotten

    def _has_open_case(self, customer: Customer) -> bool:
        last = self.cases.get(customer.last_case)
        return last is not None and is_open(last.case)

    def take_changes(self) -> list[tuple[bytes, bytes | None]]:
        """Give keys and values for the changelog that have changed since the last call; None for a deleted one."""
        changes: list[tuple[bytes, bytes | None]] = []
        for kind, table in self._tables.items():
            changes += [(b"%b:%b" % (kind, key.encode()), table.packed(key)) for key in table.dirty]
            table.dirty.clear()
        return changes

    def restore(self, key: bytes, value: bytes) -> None:
        """Take back one record of the changelog. Raises KeyError for a key that `take_changes` does not write."""
        kind, _, name = key.partition(b":")
        self._tables[kind].restore(name.decode(), value)

    def rebuild_indexes(self) -> None:
        """All records are back: make the indexes from them."""
        for _, record in self.cases.items():
            self.agenda.update(None, record.case)
            self._keep_at_hand(record.case.case_id, (), _all_at_hand(record.case))
        for key, customer in self.customers.items():
            self._keys_by_day.setdefault(customer.updated_at // DAY, set()).add(key)


def _all_at_hand(case: Case | None) -> tuple[str, ...]:
    """The alerts of a case that are kept at hand: all of an open case of several, as each change looks at all."""
    several = case is not None and len(case.alert_ids) > 1 and is_open(case)
    return case.alert_ids if several and case is not None else ()
