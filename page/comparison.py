"""The chart that compares the sources: their audio distances, with those of real clips."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from evaluation.tables import of_all
from page.tables import show_number

REAL, TRAINING = "real clips", "training clips"
# Of ticks, from coarse to fine.
_DIGITS = ((1,), (1, 2, 5), range(1, 10), [k / 2 for k in range(2, 20)], [k / 10 for k in range(10, 100)])


@dataclass(frozen=True)
class Mark:
    """A value as text, and its place and the ends of its spread, in percent of the axis."""

    text: str
    place: float
    low: float
    high: float


@dataclass(frozen=True)
class Chart:
    """Distances by one embedder on a logarithmic axis, the same for all T.

    `ticks`: text and place. `bands`: for each T, from the floor to the training clips, in percent of the axis. `rows`:
    name, whether it is of real clips, and for each T the different values, in general one.
    """

    embedder: str
    seq_lens: list[int]
    ticks: list[tuple[str, float]]
    bands: list[tuple[float, float]]
    rows: list[tuple[str, bool, list[list[Mark]]]]


@dataclass(frozen=True)
class _Axis:
    """The logarithms, to base 10, of the ends of an axis."""

    low: float
    high: float

    @classmethod
    def fit(cls, values: Iterable[float]) -> "_Axis":
        """An axis for all positive `values`, with some room at both ends."""
        logs = [math.log10(value) for value in values if value > 0] or [0.0]
        room = 0.05 * (max(logs) - min(logs)) or 0.05
        return cls(min(logs) - room, max(logs) + room)

    def place(self, value: float) -> float:
        """Percent of the axis; what lies beyond an end is at the end."""
        share = (math.log10(value) - self.low) / (self.high - self.low) if value > 0 else 0.0
        return 100 * min(max(share, 0.0), 1.0)

    def ticks(self) -> list[tuple[str, float]]:
        """The coarsest of `_DIGITS` that give three, or else the finest."""
        powers = range(math.floor(self.low), math.ceil(self.high))
        for digits in _DIGITS:
            values = [digit * 10.0**power for power in powers for digit in digits]
            chosen = [value for value in values if self.low <= math.log10(value) <= self.high]
            if len(chosen) > 2:
                break
        return [(f"{value:g}", self.place(value)) for value in chosen]


def compare_sources(frame: pd.DataFrame) -> list[Chart]:
    """A chart for each embedder in rows of `evaluation.metrics.fad.FAD_TABLE`, of all genres together."""
    return [_chart(str(embedder), rows) for embedder, rows in of_all(frame).groupby("embedder", sort=False)]


def _chart(embedder: str, frame: pd.DataFrame) -> Chart:
    axis = _Axis.fit(frame[["FAD", "FAD_floor", "FAD_train"]].stack())
    lengths = dict(list(frame.assign(FAD_train_std=0.0).groupby("T")))

    def row(name: str, value: str, spread: str, origin: str | None = None) -> tuple[str, bool, list[list[Mark]]]:
        marks = []
        for rows in lengths.values():
            chosen = rows if origin is None else rows[rows["origin"] == origin]
            pairs = chosen[[value, spread]].fillna({spread: 0}).dropna().drop_duplicates().to_numpy(float)
            marks.append([Mark(show_number(at), *map(axis.place, (at, at - by, at + by))) for at, by in pairs])
        return name, origin is None, marks

    real = [rows[["FAD_floor", "FAD_train"]].stack() for rows in lengths.values()]
    return Chart(
        embedder,
        list(lengths),
        axis.ticks(),
        [(axis.place(values.min()), axis.place(values.max())) for values in real],
        [
            row(f"{REAL}: floor", "FAD_floor", "FAD_floor_std"),
            row(TRAINING, "FAD_train", "FAD_train_std"),
            *(row(origin, "FAD", "FAD_seeds_std", origin) for origin in frame["origin"].unique()),
        ],
    )
