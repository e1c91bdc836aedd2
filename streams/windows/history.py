"""History: the counts of each hour and day on `nps-history`, of what changed and no more often than readers need.

A closed pane is published with the checkpoint after each change. An open one is when a tick begins another minute, as
it is at that tick: so what readers end up with does not depend on where commits cut.
"""

from collections.abc import Callable, Collection, Mapping

from npsflow.schemas import codec, topics
from npsflow.schemas.history import Counts, Resolution, history_key
from npsflow.schemas.times import DAY, HOUR, rfc3339_seconds
from npsflow.streams.scoring.scores import Scale
from npsflow.streams.scoring.segments import Names, Segment
from npsflow.streams.stage import Emit, Output
from npsflow.streams.windows.panes import Cell, Histogram, PaneStore, pane_code

_DAY = pane_code(DAY)
_RESOLUTIONS: dict[int, tuple[Resolution, int]] = {pane_code(HOUR): ("1h", HOUR), _DAY: ("1d", DAY)}
"""By the code of a pane size its name, and ms."""


def kept_for_history(horizon_days: int) -> dict[int, int]:
    """Sizes of panes, ms, and how many are kept at least: hours of a week, days that can still be corrected."""
    return {HOUR: 7 * 24, DAY: horizon_days + 2}  # what is at the horizon can be of two days before the open one


class History:
    """What of the panes is to be published. `scale_of` a segment, `shown`: its spelling, `fewest`: answers it needs.

    Panes that are open and not published as they are have a mark in the changelog: whether they are not there at all.
    """

    def __init__(
        self,
        panes: PaneStore,
        names: Names,
        scale_of: Callable[[int], Scale | None],
        shown: Callable[[Segment], dict[str, str]],
        fewest: Callable[[int], int],
    ) -> None:
        self._panes, self._names = panes, names
        self._scale_of, self._shown, self._fewest = scale_of, shown, fewest
        self._behind: set[Cell] = set()
        self._absent: set[Cell] = set()
        self._due: dict[Cell, Histogram] = {}

    @property
    def is_behind(self) -> bool:
        """Whether an open pane is not published as it is."""
        return bool(self._behind)

    def take(self) -> None:
        """What is open is to be published as it is now."""
        self._behind |= self._touched()
        self._due |= {cell: dict(self._panes.histogram(cell)) for cell in self._behind}
        self._panes.touched |= self._behind
        self._behind.clear()

    def publish(self, partition: int, emit: Emit) -> bool:
        """Emit what is to be published, and each closed pane that changed; gives whether there was anything."""
        for cell in self._touched() - self._behind:
            histogram = self._panes.histogram(cell)
            if not self._panes.is_open(cell):
                self._due[cell] = dict(histogram)
            elif self._due.get(cell) != histogram:
                self._behind.add(cell)
        due, self._due = self._due, {}
        for cell in sorted(due):
            self._publish(cell, due[cell], partition, emit)
        return bool(due)

    def _touched(self) -> set[Cell]:
        """The hours and days that changed; those that were empty before, and are not waiting, are not published yet.

        A day that has expired stays as it was published, until the topic's retention.
        """
        self._absent |= {cell for cell in self._panes.created if cell[0] in _RESOLUTIONS} - self._behind
        return {
            cell
            for cell in self._panes.touched
            if cell[0] in _RESOLUTIONS and not (cell[0] == _DAY and self._panes.is_expired(cell))
        }

    def _publish(self, cell: Cell, histogram: Histogram, partition: int, emit: Emit) -> None:
        key, value = self._record(cell, histogram)
        if value is not None or cell not in self._absent:
            emit(Output(topics.HISTORY, partition, key, value, []))
        if value is None and self._panes.histogram(cell):
            self._absent.add(cell)
        else:
            self._absent.discard(cell)

    def _record(self, cell: Cell, histogram: Mapping[int, int]) -> tuple[bytes, bytes | None]:
        code, segment, index = cell
        resolution, length = _RESOLUTIONS[code]
        metric, scale_name, pairs = self._names.by_number[segment]
        scale, n, start = self._scale_of(segment), sum(histogram.values()), rfc3339_seconds(index * length)
        key = history_key(metric, scale_name, dict(pairs), resolution, start)
        if scale is None or n < self._fewest(segment):
            return key, None
        worst, middle, best = scale.count(histogram) if scale.formula == "net" else (None, None, None)
        counts = Counts(
            metric=metric,
            scale=scale_name,
            segment=self._shown(pairs),
            resolution=resolution,
            start=start,
            end=rfc3339_seconds((index + 1) * length),
            n=n,
            histogram={str(answer): histogram[answer] for answer in sorted(histogram)},
            promoters=best,
            passives=middle,
            detractors=worst,
        )
        return key, codec.encode(counts)

    def show_anew(self, segments: Collection[int]) -> None:
        """Publish all that is kept of what has another spelling now."""
        self._touched()
        for cell in [cell for code in _RESOLUTIONS for cell in self._panes.cells(code) if cell[1] in segments]:
            if self._panes.is_open(cell):
                self._behind.add(cell)
                self._panes.touched.add(cell)
            else:
                self._due[cell] = dict(self._panes.histogram(cell))

    def dump(self) -> list[tuple[bytes, bytes | None]]:
        """Changelog records of the panes that changed, with their marks."""
        return self._panes.take_touched(self._behind, self._absent)

    def restore(self, cell: Cell, mark: bool | None) -> None:
        """Take back the mark of a pane."""
        if mark is not None:
            self._behind.add(cell)
        if mark:
            self._absent.add(cell)

    def restored(self) -> None:
        """End the restoring: find the panes that too few answered for them to be published."""
        numbers = range(len(self._names.by_number))
        few = {segment: fewest for segment in numbers if (fewest := self._fewest(segment)) > 1}
        for cell in (cell for code in _RESOLUTIONS if few for cell in self._panes.cells(code) if cell[1] in few):
            if cell not in self._behind and sum(self._panes.histogram(cell).values()) < few[cell[1]]:
                self._absent.add(cell)
