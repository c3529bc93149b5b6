"""All metrics of a latent space as one row of a table."""

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
    """Every metric of held-out latents z (N, D) and attributes (N, K), as one flat row.

    `names` (K,): of the attributes. `designated` (K,): the dimension that controls each, or None. Columns, as
    METRIC_NAME for each attribute and as METRIC for their mean:
    interpretability, r_squared_designated, MIG, SAP, SCC: see `disentanglement`. interpretability_dimension_NAME: r*.
    data_MIG, data_SAP: baseline with z = attributes, below 1 if these are correlated.
    latent_independence_PROBE: predicted from all of z except the attribute's own dimension.
    free_independence_PROBE: predicted from the dimensions that control no attribute.
    data_independence_PROBE: baseline, each attribute predicted from the others.
    modularity: mean over dimensions. latent_rows: rows used, at most `max_rows` drawn by `seed`, the same for all.
    A mean is NaN if one of its values is; that of r_squared_designated is over the designated ones. Each of `probes`
    is used; the nonlinear one takes half of the time.
    """
    rows = subsample(len(z), max_rows, seed)
    z, attributes = z[rows], attributes[rows]
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
    return row | {"modularity": float(modularity(information).mean()), "latent_rows": float(len(rows))}
