"""Loss curves of a training log as SVG paths: one plot for each loss, with training and validation."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError

_TOP, _BOTTOM = 4, 96  # of the lines in a plot that is 100 high


class Phase(NamedTuple):
    """A phase of `epochs` epochs, from epoch `first` of the whole training, counted from 0."""

    name: str
    first: int
    epochs: int


@dataclass(frozen=True)
class LossPlot:
    """A loss over all epochs: its bounds, its last values, and paths in a box n_epochs wide and 100 high.

    None where the loss was not measured.
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
    """All losses of a training stage."""

    n_epochs: int
    phases: list[Phase]
    plots: list[LossPlot]
    kind: str = "curves"


def read_curves(log: Path) -> Curves:
    """Read the epochs.jsonl of a training run. Raises `UserError` if it is something else."""
    try:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
        # A run that was killed may leave an incomplete line.
        epochs = [json.loads(line) for line in lines if line.endswith("\n")]
        phases = []
        for name, members in groupby(epochs, lambda epoch: str(epoch["phase"])):
            phases.append(Phase(name, sum(phase.epochs for phase in phases), len(list(members))))
        names = dict.fromkeys(name for group in ("train", "val") for epoch in epochs for name in epoch[group])
        return Curves(len(epochs), phases, [_plot(name, epochs, phases) for name in names])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{log}: not the log of a training run; name another folder with --runs") from error


def _plot(name: str, epochs: Sequence[dict[str, Any]], phases: Sequence[Phase]) -> LossPlot:
    train, val = ([epoch[group].get(name) for epoch in epochs] for group in ("train", "val"))
    values = [value for value in (*train, *val) if value is not None]
    low, high = min(values), max(values)
    return LossPlot(name, low, high, train[-1], val[-1], _path(train, phases, low, high), _path(val, phases, low, high))


def _path(values: Sequence[float | None], phases: Sequence[Phase], low: float, high: float) -> str | None:
    """A line for each phase, because losses of different phases do not compare; points at the middle of epochs."""
    lines = []
    for _, first, n in phases:
        points = [
            (epoch + 0.5, _BOTTOM - (value - low) / (high - low) * (_BOTTOM - _TOP) if high > low else 50)
            for epoch, value in enumerate(values[first : first + n], start=first)
            if value is not None
        ]
        if len(points) == 1:  # a dash, because a point cannot be seen
            points = [(points[0][0] + shift, points[0][1]) for shift in (-0.2, 0.2)]
        lines += ["M" + "L".join(f"{x:g} {y:.1f}" for x, y in points)] if points else []
    return "".join(lines) or None
