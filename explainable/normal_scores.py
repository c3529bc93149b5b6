"""Attributes as normal scores: the share of the training rows below a value, as a quantile of N(0, 1)."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ndtri

_MOST_KNOTS = 257


class NormalScores(NamedTuple):
    """A rising function from an attribute's values to its scores, straight between knots, constant beyond them.

    `values` and `scores`: float64 (n,) each, rising.
    """

    values: np.ndarray
    scores: np.ndarray

    @classmethod
    def of(cls, column: np.ndarray) -> "NormalScores":
        """From the values of training rows, (N,): a value's score is the quantile of the middle of its rows."""
        values, counts = np.unique(np.asarray(column, np.float64), return_counts=True)
        middles = (np.cumsum(counts) - counts / 2) / counts.sum()
        # Attributes take few values, but the interval jump: of many, those at equal distances in rank.
        knots = np.unique(np.searchsorted(middles, np.linspace(middles[0], middles[-1], _MOST_KNOTS)))
        return cls(values[knots], ndtri(middles[knots]))

    def __call__(self, column: np.ndarray) -> np.ndarray:
        """Scores of values, float32, of the same shape."""
        return np.interp(column, self.values, self.scores).astype(np.float32)

    def as_plain(self) -> dict[str, Any]:
        """For a weights file."""
        return {"values": self.values.tolist(), "scores": self.scores.tolist()}

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "NormalScores":
        """What `as_plain` gave."""
        return cls(np.asarray(plain["values"]), np.asarray(plain["scores"]))


def scores_of(scores: Sequence[NormalScores], attributes: np.ndarray) -> np.ndarray:
    """Normal scores of attributes (N, n), a function for each column: float32 (N, n)."""
    return np.stack([score(column) for score, column in zip(scores, attributes.T, strict=True)], axis=1)
