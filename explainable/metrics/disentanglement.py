"""How a latent space is ordered by attributes: mutual information and the scores that are made of it.

Everywhere z is float (N, D), one encoded measure a row, and attributes float (N, K). A score has one value for each
attribute (modularity: for each dimension), and the published figure is the mean of these. What becomes of degenerate
data is said at the head of `explainable.metrics`.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from explainable.metrics.correlation import (
    MIN_ROWS,
    finite_columns,
    has_spread,
    is_constant,
    p_value,
    pearson,
    spearman,
    subsample,
)

NEIGHBOURS = 3
SIGNIFICANT = 0.05


def mutual_information(
    z: np.ndarray, attributes: np.ndarray, *, max_rows: int | None = None, seed: int = 0
) -> np.ndarray:
    """Mutual information of each dimension with each attribute in nats, float64 (D, K), at least 0.

    Estimated from the distances to the third nearest neighbour (Kraskov, Stögbauer and Grassberger 2004), so that it
    needs no bins, and does not change where a dimension is mapped monotonically, but for the error of estimation.
    `max_rows` rows drawn by `seed` are used, or all; time grows with their number, D and K. On independent data it is
    about 0, half of the time a little above.
    """
    rows = subsample(len(z), max_rows, seed)
    z, attributes = finite_columns(z[rows]), finite_columns(attributes[rows])
    information = np.full((z.shape[1], attributes.shape[1]), np.nan)
    if len(rows) < MIN_ROWS:
        return information
    information[is_constant(z)] = 0
    moving = has_spread(z)
    for k in np.flatnonzero(has_spread(attributes)):
        if moving.any():
            information[moving, k] = _by_neighbours(z[:, moving], attributes[:, k], seed)
    information[:, ~has_spread(attributes)] = np.nan
    return information


def self_information(attributes: np.ndarray, *, max_rows: int | None = None, seed: int = 0) -> np.ndarray:
    """Information of each attribute with itself in nats, float64 (K,): that of a dimension which tells all of it.

    By the same estimator and rows as `mutual_information`, so that the errors of both go together and their ratio ends
    near 1. It adds other noise of relative size 1e-10 to each of the two copies. For an attribute of few values, such
    as a count of notes, that makes equal values neighbours, and the estimate is close to the entropy of the values. An
    attribute of as many values as rows has no finite information with itself: the estimate then follows N, about
    log N - .9, and scores divided by it can be compared for the same N only.
    """
    rows = subsample(len(attributes), max_rows, seed)
    attributes = finite_columns(attributes[rows])
    information = np.full(attributes.shape[1], np.nan)
    if len(rows) >= MIN_ROWS:
        for k in np.flatnonzero(has_spread(attributes)):
            information[k] = _by_neighbours(attributes[:, [k]], attributes[:, k], seed)[0]
    return information


class Interpretability(NamedTuple):
    """`dimension`: the one that tells most of each attribute, r*; float64 (K,), NaN where there is none.

    `r_squared`: of the line from that dimension to the attribute, float64 (K,).
    """

    dimension: np.ndarray
    r_squared: np.ndarray


def interpretability(z: np.ndarray, attributes: np.ndarray, information: np.ndarray) -> Interpretability:
    """R^2 of a line from the dimension r* = argmax_r I(z_r, a) to attribute a (Adel, Ghahramani and Weller 2018).

    `information` is that of `mutual_information`. The line is fitted and scored on the same rows, held out from the
    training of the model; with one predictor the gain from that is 1 / (N - 1). Where the controls of a model lie
    outside z, a high score is no merit: z tells what it should not.
    """
    known = ~np.isnan(information).any(0)
    best = np.where(known, information.argmax(0), 0)
    found = r_squared_at(z, attributes, [int(r) if ok else None for r, ok in zip(best, known, strict=True)])
    return Interpretability(np.where(known, best, np.nan), found)


def r_squared_at(z: np.ndarray, attributes: np.ndarray, designated: Sequence[int | None]) -> np.ndarray:
    """R^2 of a line from the dimension designated for each attribute to it, float64 (K,); NaN where that is None.

    Fitted and scored on the same rows, where it is the square of Pearson's r.
    """
    squared = np.square(pearson(z, attributes))
    pairs = zip(designated, squared.T, strict=True)
    return np.array([np.nan if r is None else of_attribute[r] for r, of_attribute in pairs])


def mutual_information_gap(information: np.ndarray, of_itself: np.ndarray) -> np.ndarray:
    """MIG (Chen et al. 2018): (highest - second highest I(z_r, a) over r) / I(a, a), float64 (K,); NaN for D = 1.

    `information` (D, K) and `of_itself` (K,) are those of `mutual_information` and `self_information` on equal rows.
    1 where one dimension tells an attribute wholly and no other tells of it, 0 where two tell as much. The errors of
    estimation can carry it a little above 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        gap = _gap(information) / of_itself
    return np.where(np.isfinite(gap), gap, np.nan)


def separated_predictability(z: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """SAP (Kumar, Sattigeri and Balakrishnan 2018): highest - second highest r^2 over dimensions, float64 (K,).

    r is Pearson's. NaN for D = 1.
    """
    return _gap(np.square(pearson(z, attributes)))


def modularity(information: np.ndarray) -> np.ndarray:
    """1 - (sum_k I_rk^2 - max_k I_rk^2) / ((K - 1) max_k I_rk^2) of each dimension (Ridgeway and Mozer 2018), (D,).

    1 where a dimension tells of one attribute only, 0 where of all alike or of none. NaN for K = 1. Free dimensions
    count as much as regularised ones, and what the estimate finds in them by chance has a modularity, too: figures of
    different D do not compare.
    """
    squared = np.square(information)
    n_attributes = squared.shape[1]
    if n_attributes < 2:
        return np.full(len(squared), np.nan)
    highest = squared.max(1)
    ratio = (squared.sum(1) - highest) / ((n_attributes - 1) * np.where(highest == 0, 1, highest))
    return np.where(highest == 0, 0, 1 - ratio)


def spearman_score(z: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """SCC: the highest |rho| of Spearman over dimensions, float64 (K,), with rho taken as 0 where p > .05.

    As Pati and Lerch (2020) report it. One of many free dimensions passes that test by chance: on independent data the
    score is 0 for few dimensions and small, not 0, for many.
    """
    rho = np.abs(spearman(z, attributes))
    return np.where(p_value(rho, len(z)) > SIGNIFICANT, 0, rho).max(0)


def _by_neighbours(columns: np.ndarray, target: np.ndarray, seed: int) -> np.ndarray:
    return mutual_info_regression(columns, target, n_neighbors=NEIGHBOURS, random_state=seed)


def _gap(scores: np.ndarray) -> np.ndarray:
    """Highest less second highest score (D, K) over dimensions, (K,). NaN is sorted to the end, and so stays NaN."""
    if len(scores) < 2:
        return np.full(scores.shape[1], np.nan)
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]
