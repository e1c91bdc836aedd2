"""The common case of classify in one go: a good, live response never seen before, where it belongs and in its time.

`StraightFold` only reads until it is sure of a record, and then does everything. The first that is anything else it
leaves to the `Classifier`, which could have taken all of them: tests/streams/classify/test_straight.py compares what
the two make of the same records, byte by byte.

Why the loop is one function: most of what a response costs in CPython are calls of functions and the objects that carry
values from one to the next. What is decided is decided elsewhere, by functions that the `Classifier` calls too.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from itertools import islice

from npsflow.schemas import codec
from npsflow.schemas.deltas import PANE
from npsflow.schemas.headers import Headers
from npsflow.schemas.partitioner import partitions_of
from npsflow.schemas.response import Response
from npsflow.schemas.times import to_ms
from npsflow.streams.classify.classifier import AHEAD, Classifier, accepted
from npsflow.streams.classify.content import digest
from npsflow.streams.classify.counters import RESPONSE
from npsflow.streams.classify.deltas import PaneCounts
from npsflow.streams.classify.events import ALERT, EventBuilder, EventFamily
from npsflow.streams.classify.memory import RememberedResponses
from npsflow.streams.classify.parsing import read
from npsflow.streams.classify.stored import ID, pack_first, place
from npsflow.streams.classify.templates import FirstEvents
from npsflow.streams.scoring.scores import Scale
from npsflow.streams.stage import CounterKey, Emit, Progress, Record, make_output

_Event = tuple[str, bytes, bytes, bytes, Headers]
"""Topic, key of the customer, key of the response, value and headers."""
_Tally = defaultdict[tuple[str, Scale, int], int]
"""Source, scale and rank of responses to how many there were."""


class _Kinds(dict[Scale, list[tuple[EventFamily | None, str]]]):
    """By scale and rank what there is about a response, and its category."""

    def __init__(self, events: EventBuilder) -> None:
        super().__init__()
        self._events = events

    def __missing__(self, scale: Scale) -> list[tuple[EventFamily | None, str]]:
        self[scale] = [(self._events.family(scale, rank), word) for rank, word in enumerate(scale.words)]
        return self[scale]


class StraightFold:
    """Folds what is common of a batch into the parts of a `ClassifyFold`."""

    def __init__(
        self, classifier: Classifier, memory: RememberedResponses, pane_counts: PaneCounts, emit: Emit
    ) -> None:
        self._classifier, self._memory, self._pane_counts, self._emit = classifier, memory, pane_counts, emit
        self._first_events, self._kinds = FirstEvents(classifier.events), _Kinds(classifier.events)

    def fold(self, records: Sequence[Record], progress: Progress) -> Mapping[CounterKey, int]:  # noqa: C901 see above
        """Fold records from `progress.count` on, up to the first that is not common. Give what to count."""
        shared, memory, counts, tally = self._classifier, self._memory, self._pane_counts, _Tally(int)
        panes = counts.plus
        kinds, known = self._kinds, self._memory.packed
        scales, partition, latest, belongs = shared.scales, shared.partition, shared.latest, shared.prepared.get
        find, events, make, encode = shared.segmenter.find, shared.events, self._first_events.make, codec.encode
        emitted: list[_Event] = []
        for record in islice(records, progress.count, None):
            key, appended = record.key, record.timestamp
            if key is None or record.headers or belongs(key) != partition or appended > latest:
                break
            try:
                response, scale, warnings = read(record.value, scales)
                if scale is None or warnings or not isinstance(response, Response) or _is_rare(response):
                    break
                if f"{response.source}/{response.response_id}".encode() != key:
                    break
                submitted, score, customer = to_ms(response.submitted_at), response.score, response.customer
                name = blake2b(key, digest_size=16).digest()
                id_ = name[:ID]
                if id_ in known or submitted < counts.open_from or not memory.oldest <= submitted <= appended + AHEAD:
                    break
                segments, new = find(response, scale)
                if new:
                    break
                encoded, rank, fields, context = encode(response), scale.ranks[score - scale.low], b"", 0
                customer_key = b"" if customer is None or customer.id is None else customer.id.encode()
                family, category = kinds[scale][rank]
                if family is not None:
                    body = events.context(response, encoded, category)
                    context = digest(body)
                    value, headers = make(
                        family, response, scale, appended, appended - submitted, name.hex().encode(), body
                    )
                    if family is ALERT:
                        fields = events.fingerprint(response, category)
            except Exception:  # the classifier meets it again: it refuses the record, or crashes where that is reported
                break
            # It is common: from here on everything is done, and nothing can fail on what was read.
            if submitted > memory.stream_time:
                memory.advance(submitted)
                if submitted >= counts.turn:
                    counts.advance(submitted)
            live = 0 if family is None else family.live
            packed = pack_first(
                live, rank, score, submitted, appended, place(partition, record.offset), digest(encoded), context,
                segments, customer_key, fields,
            )  # fmt: skip
            memory.remember(id_, packed, submitted)
            panes[submitted // PANE, score].append(segments)
            tally[response.source, scale, rank] += 1
            if family is not None:
                emitted.append((family.topic, customer_key, key, value, headers))
                if family is ALERT and progress.urgent is None:
                    progress.urgent = appended
        progress.count += sum(tally.values())
        self._send(emitted)
        return self._counts(tally)

    def _send(self, emitted: Sequence[_Event]) -> None:
        """Emit events, each to the partition of its customer; the partitions of all are computed at once."""
        emit, own = self._emit, self._classifier.partition
        partitions = partitions_of([customer for _, customer, _, _, _ in emitted], self._classifier.partitions)
        for partition, (topic, customer, key, value, headers) in zip(partitions, emitted, strict=True):
            if customer:
                emit(make_output((topic, partition, customer, value, headers)))
            else:
                emit(make_output((topic, own, key, value, headers)))

    def _counts(self, tally: _Tally) -> Mapping[CounterKey, int]:
        """Counters to raise, and by how much."""
        counts: Counter[CounterKey] = Counter()
        for (source, scale, rank), count in tally.items():
            family, _ = self._kinds[scale][rank]
            begun = () if family is None else family.counts["started"]
            for key in (("", "counted"), *accepted(source, RESPONSE, scale, rank), *begun):
                counts[key] += count
        return counts


def _is_rare(response: Response) -> bool:
    """Whether it is a later version, or counts nowhere."""
    return response.updated_at is not None or response.test is True or response.internal is True
