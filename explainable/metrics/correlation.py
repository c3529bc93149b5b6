"""Correlations of each latent dimension, or control, with each attribute."""

import numpy as np
from scipy.special import stdtr
from scipy.stats import rankdata

# The R^2 of one random predictor is 1 / (N - 1) in expectation: more than .1 for fewer rows.
MIN_ROWS = 10


def pearson(z: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Pearson's r of z (N, D) and attributes (N, K), float64 (D, K) in [-1, 1].

    0 for a constant dimension. NaN for a constant attribute, a column with a non-finite value, and for fewer than
    `MIN_ROWS` rows.
    """
    if len(z) < MIN_ROWS:
        return np.full((z.shape[1], attributes.shape[1]), np.nan)
    known, unknown = finite_columns(z), finite_columns(attributes)
    with np.errstate(invalid="ignore"):
        r = np.clip(_unit_columns(known).T @ _unit_columns(unknown), -1, 1)
    r[is_constant(known)] = 0
    r[:, ~varies(unknown)] = np.nan
    return r


def spearman(z: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """Spearman's rho, float64 (D, K): Pearson's r of the ranks; ties get their mean rank."""
    return pearson(rankdata(finite_columns(z), axis=0), rankdata(finite_columns(attributes), axis=0))


def p_value(r: np.ndarray, n_rows: int) -> np.ndarray:
    """Two-sided p of correlations under independence: t = r sqrt((N - 2) / (1 - r^2)) has N - 2 degrees of freedom.

    An approximation for Spearman's rho, good from a few dozen rows. NaN stays NaN.
    """
    with np.errstate(divide="ignore"):
        t = np.abs(r) * np.sqrt((n_rows - 2) / (1 - np.square(r)))
    return 2 * stdtr(n_rows - 2, -t)


def finite_columns(values: np.ndarray) -> np.ndarray:
    """Columns (N, K) as float64; a column with a non-finite value becomes NaN."""
    values = np.asarray(values, np.float64)
    return np.where(np.isfinite(values).all(0), values, np.nan)


def is_constant(values: np.ndarray) -> np.ndarray:
    """Which columns (N, K) hold a single value, bool (K,); true for all columns if N = 0."""
    return (values == values[:1]).all(0)


def varies(values: np.ndarray) -> np.ndarray:
    """Which columns (N, K) are finite and not constant, bool (K,)."""
    return np.isfinite(values).all(0) & ~is_constant(values)


def _unit_columns(values: np.ndarray) -> np.ndarray:
    """Columns centred and scaled to length 1; the result for constant columns is arbitrary."""
    centred = values - values.mean(0)
    # Scaled by the maximum first: squares of tiny numbers would underflow.
    for norm in (np.inf, 2):
        length = np.linalg.norm(centred, norm, axis=0)
        centred = centred / np.where(length == 0, 1, length)
    return centred
