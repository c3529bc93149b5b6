"""Measures whose attributes are to take given values: what is asked, how it is reached, and how near it came."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.errors import UserError
from evaluation.tables import BASELINE, LABEL, Column
from explainable.attributes import ATTRIBUTES, attribute_index, attributes
from explainable.tokens import TokenForm
from explainable.trained import TrainedVAE

# How far an attribute may be from what was asked to count as reached, in the order of `ATTRIBUTES`: about one onset of
# middling weight, two semitones, one onset of 24, one semitone.
TOLERANCES = (0.05, 2 / 26, 1 / 24, 1.0)
REPORT_COLUMNS = (
    Column("attribute", "attribute", LABEL),
    Column("before", "before", BASELINE),
    Column("asked", "asked"),
    Column("reached", "reached"),
    Column("within", "share within"),
    Column("tolerance", "of +-"),
)
# A dimension is tried at so many values, and these passes are made: twice over all of where z lies, because dimensions
# meddle with one another, then around the best so far.
_TRIED, _PASSES = 33, ((False, 4.0), (False, 4.0), (True, 0.25))
_LEAST_CHANGE = 1e-3  # weighs the way in z: of values that reach the same, the nearest is taken
_ROUNDING = 1e-6
_AT_ONCE = 1024  # rows that are moved together: each is decoded at all values tried
_CHANGE = re.compile(r"\s*(\w+)\s*=\s*([+-]?)(\d+\.?\d*|\.\d+)\s*")


@dataclass(frozen=True)
class Change:
    """An attribute asked for: its value, or by how much it is to differ from what it was (`is_relative`)."""

    name: str
    value: float
    is_relative: bool


def read_changes(texts: Sequence[str], trained: TrainedVAE) -> list[Change]:
    """Changes such as "note_density=0.6", or "note_density=+0.1" for one that is relative.

    Raises `UserError` for another text, an attribute that the model does not control, or one that is named twice.
    """
    changes = []
    for text in texts:
        found = _CHANGE.fullmatch(text)
        if found is None:
            raise UserError(f"cannot read {text!r}; write an attribute and a number, as in note_density=0.6 or =+0.1")
        name, sign, number = found.groups()
        trained.control_index(name)
        if name in (change.name for change in changes):
            raise UserError(f"{name} is asked for twice; ask for one value")
        changes.append(Change(name, float(sign + number), bool(sign)))
    return changes


def asked_values(changes: Sequence[Change], before: np.ndarray, form: TokenForm) -> np.ndarray:
    """What each row's attributes are to be, float32 (N, 4) in the order of `ATTRIBUTES`; NaN where nothing is asked.

    `before` (N, 4): the attributes as they are. Relative values end at 0 and at the largest there is. Raises
    `UserError` for a value that no measure has.
    """
    asked, largest = np.full(before.shape, np.nan, np.float32), largest_values(form)
    for change in changes:
        column = attribute_index(change.name)
        if not change.is_relative and change.value > largest[column] + _ROUNDING:
            raise UserError(f"{change.name} is between 0 and {largest[column]:.3g}, but {change.value:g} is asked for")
        wanted = before[:, column] + change.value if change.is_relative else change.value
        asked[:, column] = np.clip(wanted, 0, largest[column])
    return asked


def largest_values(form: TokenForm) -> np.ndarray:
    """The largest value of each attribute, float32 (4,): of an onset on every tick, as low and as high as can be."""
    return attributes(np.where(np.arange(form.length) % 2, form.rest - 1, 0)[None], form)[0]


def steer(trained: TrainedVAE, z: Tensor, own: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Tokens int64 (N, length) decoded from z (N, latent) so that their attributes are near `asked` (N, 4).

    A decoder that is told attributes is told those asked, and `own` (N, n controls) for the others. Else the dimensions
    of z that follow the attributes asked are moved, one after the other: each row is decoded at several values, and the
    one whose measure comes nearest is kept. So what is asked need not be reached.
    """
    columns = [column for column in trained.columns if not np.isnan(asked[:, column]).all()]
    if not trained.in_latent:
        wanted = asked[:, trained.columns]
        return trained.decode(z, np.where(np.isnan(wanted), own, wanted))
    parts = [slice(first, first + _AT_ONCE) for first in range(0, len(z), _AT_ONCE)]
    return np.concatenate([_move(trained, z[part], own[part], asked[part], columns) for part in parts])


def _move(
    trained: TrainedVAE, z: Tensor, own: np.ndarray, asked: np.ndarray, columns: Sequence[int]
) -> np.ndarray:
    """`steer` by dimensions of z, those that follow these columns of `asked`."""
    for is_around, half_width in _PASSES:
        offsets = torch.linspace(-half_width, half_width, _TRIED)
        for column in columns:
            k = trained.columns.index(column)
            values = offsets + z[:, k : k + 1] * is_around
            z = _nearest(trained, z, own, asked, k, values)
    return trained.decode(z, own)


def _nearest(trained: TrainedVAE, z: Tensor, own: np.ndarray, asked: np.ndarray, k: int, values: Tensor) -> Tensor:
    """z with dimension k where the decoded measure is nearest to `asked`: one of `values` (N, tried), or as it was."""
    now = z[:, k : k + 1]
    values = torch.cat([values.expand(len(z), -1), now], dim=1)
    n, tried = values.shape
    repeated = np.repeat(np.arange(n), tried)
    moved, told = trained.set_control(z[repeated], own[repeated], k, values.flatten())
    distance = distances(attributes(trained.decode(moved, told), trained.form), asked[repeated])
    cost = np.nansum(distance, axis=1).reshape(n, tried) + _LEAST_CHANGE * (values - now).abs().numpy()
    best = torch.from_numpy(cost.argmin(axis=1))
    z = z.clone()
    z[:, k] = values[torch.arange(n), best]
    return z


def distances(reached: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """How far attributes (N, 4) are from those asked, as multiples of their tolerance; NaN where nothing is asked."""
    return np.abs(reached - asked) / np.array(TOLERANCES)


def report(before: np.ndarray, asked: np.ndarray, reached: np.ndarray) -> pd.DataFrame:
    """A row for each attribute: means over all measures, and the share of these that came within its tolerance.

    All (N, 4) in the order of `ATTRIBUTES`. Where nothing was asked, `asked` and `within` are NaN.
    """
    near = distances(reached, asked) <= 1 + _ROUNDING
    is_asked = ~np.isnan(asked).all(axis=0)
    return pd.DataFrame(
        {
            "attribute": ATTRIBUTES,
            "before": before.mean(axis=0, dtype=float),
            "asked": np.where(is_asked, asked.mean(axis=0, dtype=float), np.nan),
            "reached": reached.mean(axis=0, dtype=float),
            "within": np.where(is_asked, near.mean(axis=0), np.nan),
            "tolerance": np.where(is_asked, TOLERANCES, np.nan),
        }
    )
