"""All scores of a latent space as one row of a table."""

from collections.abc import Sequence

import numpy as np

from explainable.metrics.correlation import subsample
from explainable.metrics.disentanglement import (
    interpretability,
    modularity,
    mutual_information,
    mutual_information_gap,
    r_squared_at,
    self_information,
    separated_predictability,
    spearman_score,
)
from explainable.metrics.independence import PROBES, latent_independence

MAX_ROWS = 4096


def latent_metrics(
    z: np.ndarray,
    attributes: np.ndarray,
    names: Sequence[str],
    designated: Sequence[int | None],
    *,
    probes: Sequence[str] = PROBES,
    max_rows: int | None = MAX_ROWS,
    seed: int = 0,
) -> dict[str, float]:
    """Every score of held-out latents z (N, D) by attributes (N, K), one flat row.

    `names` (K,) are the attributes', `designated` (K,) the dimension that controls each, None where none does. Columns,
    for each attribute as METRIC_NAME, and as METRIC the mean over attributes:
    interpretability, r_squared_designated, MIG, SAP, SCC: see `disentanglement`. interpretability_dimension_NAME: r*.
    data_MIG, data_SAP: what a latent space would score that is the attributes. Below 1 where these are correlated.
    latent_independence_linear, latent_independence_nonlinear: from all of z but the attribute's own dimension.
    free_independence_linear, free_independence_nonlinear: from the dimensions that control no attribute.
    data_independence_linear, data_independence_nonlinear: baseline, each attribute from the others.
    These six are of the `probes` given; the nonlinear one takes half of the time.
    modularity: mean over dimensions. latent_rows: rows used, at most `max_rows` drawn by `seed`, the same for all.
    A mean is NaN where the score of an attribute is, but that of r_squared_designated is over the designated ones. The
    output's independence needs decoded music, and is not here.
    """
    rows = subsample(len(z), max_rows, seed)
    z, attributes = z[rows], attributes[rows]
    information = mutual_information(z, attributes, seed=seed)
    of_itself = self_information(attributes, seed=seed)
    found = interpretability(z, attributes, information)
    scores = {
        "interpretability": found.r_squared,
        "r_squared_designated": r_squared_at(z, attributes, designated),
        "MIG": mutual_information_gap(information, of_itself),
        "SAP": separated_predictability(z, attributes),
        "data_MIG": mutual_information_gap(mutual_information(attributes, attributes, seed=seed), of_itself),
        "data_SAP": separated_predictability(attributes, attributes),
        "SCC": spearman_score(z, attributes),
    }
    for probe in probes:
        for name, (latents, left_out) in _what_predicts(z, attributes, designated).items():
            scores[f"{name}_{probe}"] = latent_independence(latents, attributes, left_out, probe=probe, seed=seed)
    row: dict[str, float] = {}
    for metric, of_attribute in scores.items():
        counted = of_attribute
        if metric == "r_squared_designated":
            counted = of_attribute[[r is not None for r in designated]]
        row[metric] = float(counted.mean()) if len(counted) else float("nan")
        row |= {f"{metric}_{name}": float(score) for name, score in zip(names, of_attribute, strict=True)}
    row |= {f"interpretability_dimension_{name}": float(r) for name, r in zip(names, found.dimension, strict=True)}
    return row | {"modularity": float(modularity(information).mean()), "latent_rows": float(len(rows))}


def _what_predicts(
    z: np.ndarray, attributes: np.ndarray, designated: Sequence[int | None]
) -> dict[str, tuple[np.ndarray, list[list[int]]]]:
    """For each kind of independence the predictors, and what is left out of them for each attribute."""
    own = [[] if r is None else [r] for r in designated]
    controls = sorted({r for r in designated if r is not None})
    others = [[k] for k in range(attributes.shape[1])]
    return {
        "latent_independence": (z, own),
        "free_independence": (z, [controls] * attributes.shape[1]),
        "data_independence": (attributes, others),
    }
