"""Attributes as normal scores: the N(0, 1) quantile of the share of training rows below a value."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

_MOST_KNOTS = 257


class NormalScores(NamedTuple):
    """The map from values of an attribute to scores: linear between knots, constant beyond them.

    `values` and `scores` of the knots: float64 (n,), ascending.
    """

    values: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> "NormalScores":
        """Fit to training values (N,). A value's score is the quantile of the middle of its rows."""
        values, counts = np.unique(np.asarray(column, np.float64), return_counts=True)
        middles = (np.cumsum(counts) - counts / 2) / counts.sum()
        # The interval jump takes many values; knots at equal distances in rank suffice.
        knots = np.unique(np.searchsorted(middles, np.linspace(middles[0], middles[-1], _MOST_KNOTS)))
        return cls(values[knots], ndtri(middles[knots]))

    def __call__(self, column: np.ndarray) -> np.ndarray:
        """Scores of values, float32, same shape."""
        return np.interp(column, self.values, self.scores).astype(np.float32)

    def as_plain(self) -> dict[str, Any]:
        """Plain data for a weights file."""
        return {"values": self.values.tolist(), "scores": self.scores.tolist()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "NormalScores":
        """The inverse of `as_plain`."""
        return cls(np.asarray(plain["values"]), np.asarray(plain["scores"]))


def scores_of(scores: Sequence[NormalScores], attributes: np.ndarray) -> np.ndarray:
    """Normal scores of attributes (N, n), one `NormalScores` per column: float32 (N, n)."""
    return np.stack([score(column) for score, column in zip(scores, attributes.T, strict=True)], axis=1)
