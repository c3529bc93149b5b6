"""Disentanglement scores of latents, and all metrics of a latent space as one row of a table.

Shapes everywhere: z float (N, D), one encoded measure a row; attributes float (N, K). A score has one value per
attribute (modularity: per dimension); publications report the mean of these.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_selection import mutual_info_regression

from explainable.metrics.correlation import MIN_ROWS, finite_columns, is_constant, p_value, pearson, spearman, varies
from explainable.metrics.independence import PROBES, latent_independence

MAX_ROWS = 4096
NEIGHBOURS = 3
SIGNIFICANT = 0.05


def latent_metrics(
    z: np.ndarray,
    attributes: np.ndarray,
    names: Sequence[str],
    designated: Sequence[int | None],
    *,
    probes: Sequence[str] = PROBES,
    max_rows: int = MAX_ROWS,
    seed: int = 0,
) -> dict[str, float]:
    """Every metric of held-out latents z (N, D) and attributes (N, K), as one flat row.

    `names` (K,): of the attributes. `designated` (K,): the dimension that controls each, or None. Columns, as
    METRIC_NAME for each attribute and as METRIC for their mean (NaN if one of them is):
    interpretability, r_squared_designated (mean of the designated), MIG, SAP, SCC. interpretability_dimension_NAME: r*.
    data_MIG, data_SAP: baseline with z = attributes, below 1 if these are correlated.
    KIND_independence_PROBE, for each of `probes`: predicted from all of z except the attribute's own dimension
    ("latent"), from the dimensions that control no attribute ("free"), from the other attributes ("data", a baseline).
    modularity: mean over dimensions. latent_rows: rows used, at most `max_rows` drawn by `seed`, the same for all.
    """
    if len(z) > max_rows:
        rows = np.random.default_rng(seed).choice(len(z), max_rows, replace=False)
        z, attributes = z[np.sort(rows)], attributes[np.sort(rows)]
    information = mutual_information(z, attributes, seed=seed)
    of_itself = self_information(attributes, seed=seed)
    dimension, r_squared = interpretability(z, attributes, information)
    scores = {
        "interpretability": r_squared,
        "r_squared_designated": r_squared_at(z, attributes, designated),
        "MIG": mutual_information_gap(information, of_itself),
        "SAP": separated_predictability(z, attributes),
        "data_MIG": mutual_information_gap(mutual_information(attributes, attributes, seed=seed), of_itself),
        "data_SAP": separated_predictability(attributes, attributes),
        "SCC": spearman_score(z, attributes),
    }
    controls = sorted({r for r in designated if r is not None})
    predictors = {
        "latent_independence": (z, [[] if r is None else [r] for r in designated]),
        "free_independence": (z, [controls] * len(names)),
        "data_independence": (attributes, [[k] for k in range(len(names))]),
    }
    for probe in probes:
        for name, (predictor, left_out) in predictors.items():
            scores[f"{name}_{probe}"] = latent_independence(predictor, attributes, left_out, probe=probe, seed=seed)
    row: dict[str, float] = {}
    for metric, values in scores.items():
        counted = values[[r is not None for r in designated]] if metric == "r_squared_designated" else values
        row[metric] = float(counted.mean()) if len(counted) else float("nan")
        row |= {f"{metric}_{name}": float(value) for name, value in zip(names, values, strict=True)}
    row |= {f"interpretability_dimension_{name}": float(r) for name, r in zip(names, dimension, strict=True)}
    return row | {"modularity": float(modularity(information).mean()), "latent_rows": float(len(z))}


def mutual_information(z: np.ndarray, attributes: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Mutual information of each dimension with each attribute in nats, float64 (D, K), at least 0.

    Estimated from the distances to the third nearest neighbour (Kraskov, Stögbauer and Grassberger 2004), and so
    invariant under monotone maps of a dimension. On independent data it is about 0, slightly positive half of the time.
    """
    z, attributes = finite_columns(z), finite_columns(attributes)
    information = np.full((z.shape[1], attributes.shape[1]), np.nan)
    if len(z) < MIN_ROWS:
        return information
    information[is_constant(z)] = 0
    moving = varies(z)
    for k in np.flatnonzero(varies(attributes) & moving.any()):
        information[moving, k] = mutual_info_regression(
            z[:, moving], attributes[:, k], n_neighbors=NEIGHBOURS, random_state=seed
        )
    information[:, ~varies(attributes)] = np.nan
    return information


def self_information(attributes: np.ndarray, *, seed: int = 0) -> np.ndarray:
    """Mutual information of each attribute with itself in nats, float64 (K,): the most that a dimension can have.

    The estimator adds independent noise of relative size 1e-10 to both copies. For an attribute of few values the
    result is close to their entropy. For a continuous one the true value is infinite and the estimate is about
    log N - .9: scores divided by it are comparable only for equal N.
    """
    columns = np.split(attributes, attributes.shape[1], axis=1)
    return np.array([mutual_information(column, column, seed=seed)[0, 0] for column in columns])


def interpretability(z: np.ndarray, attributes: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R^2 of a line from dimension r* = argmax_r I(z_r, a) to attribute a (Adel, Ghahramani and Weller 2018).

    Returns r* and R^2, float64 (K,) each, NaN if undefined. `information` is that of `mutual_information`. The line is
    fitted and scored on the same rows. If the controls of a model are outside z, a high score is bad.
    """
    known = ~np.isnan(information).any(0)
    best = information.argmax(0)
    r_squared = np.square(pearson(z, attributes))[best, np.arange(len(best))]
    return np.where(known, best, np.nan), np.where(known, r_squared, np.nan)


def r_squared_at(z: np.ndarray, attributes: np.ndarray, designated: Sequence[int | None]) -> np.ndarray:
    """r^2 of the designated dimension of each attribute with it, float64 (K,), r Pearson's; NaN where that is None."""
    squared = np.square(pearson(z, attributes))
    return np.array([np.nan if r is None else squared[r, k] for k, r in enumerate(designated)])


def mutual_information_gap(information: np.ndarray, of_itself: np.ndarray) -> np.ndarray:
    """MIG (Chen et al. 2018): (highest - second highest I(z_r, a) over r) / I(a, a), float64 (K,); NaN for D = 1.

    `information` (D, K) and `of_itself` (K,) are those of `mutual_information` and `self_information` on the same
    rows. 1 if one dimension determines an attribute and no other is informative, 0 if two are equally informative.
    Estimation errors can make it slightly larger than 1.
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

    1 if a dimension is informative about one attribute only, 0 if about all equally or none. NaN for K = 1. Free
    dimensions count as much as controls, and estimation errors give them a modularity too: values of different D are
    not comparable.
    """
    squared = np.square(information)
    n_attributes = squared.shape[1]
    if n_attributes < 2:
        return np.full(len(squared), np.nan)
    highest = squared.max(1)
    ratio = (squared.sum(1) - highest) / ((n_attributes - 1) * np.where(highest == 0, 1, highest))
    return np.where(highest == 0, 0, 1 - ratio)


def spearman_score(z: np.ndarray, attributes: np.ndarray) -> np.ndarray:
    """SCC (Pati and Lerch 2020): highest |rho| of Spearman over dimensions, float64 (K,), with rho = 0 if p > .05.

    On independent data it is 0 for few dimensions, but positive for many, of which one passes that test by chance.
    """
    rho = np.abs(spearman(z, attributes))
    return np.where(p_value(rho, len(z)) > SIGNIFICANT, 0, rho).max(0)


def _gap(scores: np.ndarray) -> np.ndarray:
    """Highest minus second highest score (D, K) over dimensions, (K,). NaN sorts last and so stays NaN."""
    if len(scores) < 2:
        return np.full(scores.shape[1], np.nan)
    ordered = np.sort(scores, axis=0)
    return ordered[-1] - ordered[-2]
