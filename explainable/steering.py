"""Steer attributes of decoded measures towards targets: read the targets, search z, report the result."""

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

# The largest error of a target that counts as reached, in the order of `ATTRIBUTES`: about one onset of medium weight,
# two semitones, one onset of 24, one semitone.
TOLERANCES = (0.05, 2 / 26, 1 / 24, 1.0)
REPORT_COLUMNS = (
    Column("attribute", "attribute", LABEL),
    Column("before", "before", BASELINE),
    Column("target", "target"),
    Column("reached", "reached"),
    Column("within", "share within"),
    Column("tolerance", "tolerance"),
)
# Passes over the dimensions, and half the width of each: two over the range of z, because dimensions influence one
# another, and one around the best values (`is_around`). Each tries this number of values.
_PASSES, _TRIED = ((False, 4.0), (False, 4.0), (True, 0.25)), 33
_COST_OF_DISTANCE = 1e-3  # in z: of values with the same error, the nearest is taken
_ROUNDING = 1e-6
_ROWS_AT_ONCE = 1024  # each is decoded with all values tried
_CHANGE = re.compile(r"\s*(\w+)\s*=\s*([+-]?)(\d+\.?\d*|\.\d+)\s*")


@dataclass(frozen=True)
class Change:
    """The target of an attribute: a value, or the difference from the value before (`is_relative`)."""

    name: str
    value: float
    is_relative: bool


def read_changes(texts: Sequence[str], trained: TrainedVAE) -> list[Change]:
    """Read changes such as "note_density=0.6", or "note_density=+0.1" for a relative one.

    Raises `UserError` for any other text, an attribute that the model does not control, or a repeated attribute.
    """
    changes: list[Change] = []
    for text in texts:
        found = _CHANGE.fullmatch(text)
        if found is None:
            raise UserError(f"cannot read {text!r}; write an attribute and a number, as in note_density=0.6 or =+0.1")
        name, sign, number = found.groups()
        if name not in trained.attributes:
            problem = f"{trained.run} does not control {name}" if name in ATTRIBUTES else f"unknown attribute {name!r}"
            known = f"known are {', '.join(ATTRIBUTES)}; {trained.run} controls {', '.join(trained.attributes)}"
            raise UserError(f"{problem}; {known}")
        if name in (change.name for change in changes):
            raise UserError(f"{name} has two values; give one")
        changes.append(Change(name, float(sign + number), bool(sign)))
    return changes


def target_values(changes: Sequence[Change], before: np.ndarray, form: TokenForm) -> np.ndarray:
    """The targets of all attributes, float32 (N, 4) in the order of `ATTRIBUTES`; NaN without a target.

    `before` (N, 4): the attributes of each row. Relative targets are clipped to the possible values. Raises `UserError`
    for a value that no measure can have.
    """
    targets, largest = np.full(before.shape, np.nan, np.float32), largest_values(form)
    for change in changes:
        column = attribute_index(change.name)
        if not change.is_relative and change.value > largest[column] + _ROUNDING:
            raise UserError(f"{change.name} must be between 0 and {largest[column]:.3g}, but is {change.value:g}")
        target = before[:, column] + change.value if change.is_relative else change.value
        targets[:, column] = np.clip(target, 0, largest[column])
    return targets


def largest_values(form: TokenForm) -> np.ndarray:
    """The largest possible value of each attribute, float32 (4,): an onset on every tick, alternately low and high."""
    return attributes(np.where(np.arange(form.length) % 2, form.rest - 1, 0)[None], form)[0]


def steer(trained: TrainedVAE, z: Tensor, controls: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Decode z (N, latent) to tokens int64 (N, length) with attributes near `targets` (N, 4).

    If the decoder takes attributes, it receives the targets, and `controls` (N, n) for attributes without a target.
    Otherwise their dimensions are searched: each row keeps the value with the smallest error. Targets may be missed.
    """
    if not trained.in_latent:
        wanted = targets[:, trained.columns]
        return trained.decode(z, np.where(np.isnan(wanted), controls, wanted))
    parts = [slice(first, first + _ROWS_AT_ONCE) for first in range(0, len(z), _ROWS_AT_ONCE)]
    return np.concatenate([_search(trained, z[part], controls[part], targets[part]) for part in parts])


def _search(trained: TrainedVAE, z: Tensor, controls: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """`steer` by dimensions of z."""
    z, n = z.clone(), len(z)
    row = np.repeat(np.arange(n), _TRIED + 1)
    for is_around, half_width in _PASSES:
        offsets = torch.linspace(-half_width, half_width, _TRIED)
        for k, column in enumerate(trained.columns):
            if np.isnan(targets[:, column]).all():
                continue
            now = z[:, k : k + 1]
            values = torch.cat([offsets + now * is_around, now], dim=1)
            decoded = trained.decode(*trained.set_control(z[row], controls[row], k, values.flatten()))
            error = np.nansum(errors(attributes(decoded, trained.form), targets[row]), axis=1).reshape(n, -1)
            cost = error + _COST_OF_DISTANCE * (values - now).abs().numpy()
            z[:, k] = values[torch.arange(n), torch.from_numpy(cost.argmin(axis=1))]
    return trained.decode(z, controls)


def errors(reached: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """|reached - target| of attributes (N, 4) in tolerances; NaN without a target."""
    return np.abs(reached - targets) / np.array(TOLERANCES)


def report(before: np.ndarray, targets: np.ndarray, reached: np.ndarray) -> pd.DataFrame:
    """A row for each attribute: means over all measures, and the share of measures within the tolerance.

    All arrays are (N, 4) in the order of `ATTRIBUTES`. Without a target, `target`, `within` and `tolerance` are NaN.
    """
    is_within = errors(reached, targets) <= 1 + _ROUNDING
    has_target = ~np.isnan(targets).all(axis=0)
    return pd.DataFrame(
        {
            "attribute": ATTRIBUTES,
            "before": before.mean(axis=0, dtype=float),
            "target": np.where(has_target, targets.mean(axis=0, dtype=float), np.nan),
            "reached": reached.mean(axis=0, dtype=float),
            "within": np.where(has_target, is_within.mean(axis=0), np.nan),
            "tolerance": np.where(has_target, TOLERANCES, np.nan),
        }
    )
