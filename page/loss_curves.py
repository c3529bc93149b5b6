"""Loss curves from a run's log as SVG paths: a plot for each loss, training and validation, by phases."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from common.errors import UserError

# Inside of a panel, for lines that stay off its edges.
_TOP, _BOTTOM = 4, 96


@dataclass(frozen=True)
class EpochSpan:
    """The epochs of a phase, from the epoch `first` of all phases together, counted from 0."""

    phase: str
    first: int
    epochs: int


@dataclass(frozen=True)
class LossPlot:
    """A loss over the epochs: paths in a box `n_epochs` wide and 100 high, None where it was not measured.

    `low` and `high` are its bounds, `train` and `val` the values of the last epoch.
    """

    name: str
    low: float
    high: float
    train: float | None
    val: float | None
    train_path: str | None
    val_path: str | None


@dataclass(frozen=True)
class Curves:
    """All losses of a stage."""

    n_epochs: int
    spans: list[EpochSpan]
    plots: list[LossPlot]
    kind: str = "curves"


def read_curves(log: Path) -> Curves:
    """Curves from the epochs.jsonl that `training.loop` writes. Raises `UserError` where it holds something else."""
    try:
        text = log.read_text(encoding="utf-8")
        # A line without its end is what a run that was killed leaves.
        epochs = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return _curves(epochs)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{log}: not the log of a training run; name another folder with --runs") from error


def _curves(epochs: Sequence[dict[str, Any]]) -> Curves:
    spans, first = [], 0
    for phase, members in groupby(epochs, lambda epoch: str(epoch["phase"])):
        spans.append(EpochSpan(phase, first, len(list(members))))
        first = spans[-1].first + spans[-1].epochs
    names = dict.fromkeys(name for group in ("train", "val") for epoch in epochs for name in epoch[group])
    return Curves(len(epochs), spans, [_plot(name, epochs, spans) for name in names])


def _plot(name: str, epochs: Sequence[dict[str, Any]], spans: Sequence[EpochSpan]) -> LossPlot:
    series = {group: [epoch[group].get(name) for epoch in epochs] for group in ("train", "val")}
    values = [value for one in series.values() for value in one if value is not None]
    low, high = min(values), max(values)
    paths = {group: _path(one, spans, low, high) for group, one in series.items()}
    return LossPlot(name, low, high, series["train"][-1], series["val"][-1], paths["train"], paths["val"])


def _path(values: Sequence[float | None], spans: Sequence[EpochSpan], low: float, high: float) -> str | None:
    """A line for each phase (losses of another phase do not compare), through the middles of its epochs."""
    lines = []
    for span in spans:
        places = range(span.first, span.first + span.epochs)
        points = [(place + 0.5, _height(values[place], low, high)) for place in places if values[place] is not None]
        if len(points) == 1:  # a point is too small to see
            points = [(points[0][0] + move, points[0][1]) for move in (-0.2, 0.2)]
        lines += ["M" + "L".join(f"{x:g} {y:.1f}" for x, y in points)] if points else []
    return "".join(lines) or None


def _height(value: float, low: float, high: float) -> float:
    return _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP) if high > low else (_TOP + _BOTTOM) / 2
