"""Whether attributes are controlled one by one: in the music that comes out, and in the latents.

The study gives a scalar for each attribute without its definition; both measures here are ours. 1 is full independence
in both. Attributes are correlated in music itself (more notes, more complex rhythm), so that a control that follows the
data moves others along: each measure has its baseline, the same formula on the attributes of the data alone.
"""

from collections.abc import Collection, Sequence

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from explainable.metrics.correlation import MIN_ROWS, finite_columns, has_spread, is_constant, spearman

PROBES = ("linear", "nonlinear")
FOLDS = 3
_PENALTIES = np.logspace(-4, 4, 9)
_LANDMARKS = 300


def sweep_correlations(values: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Spearman's rho of each control with each attribute of the music that is decoded under it, float64 (C, K).

    Control c takes `values[c]` (C, V), such as -3 to 3 standard deviations of its dimension in 11 steps, while all else
    of N encoded measures stays. `decoded` (C, V, N, K) are the attributes of what is decoded: entry (c, v, n) those of
    measure n under the v-th value of control c. The V N measures of a control are taken together. 0 for an attribute
    that stays the same throughout: it did not follow.
    """
    n_controls, n_values, n_measures, n_attributes = decoded.shape
    if values.shape != (n_controls, n_values):
        raise ValueError(f"values {values.shape} do not go with decoded {decoded.shape}")
    rho = np.empty((n_controls, n_attributes))
    for row, control, music in zip(rho, values, decoded, strict=True):
        music = music.reshape(-1, n_attributes)
        row[:] = spearman(np.repeat(control, n_measures)[:, None], music)[0]
        if len(music) >= MIN_ROWS:
            row[is_constant(music)] = 0
    return rho


def data_correlations(attributes: np.ndarray) -> np.ndarray:
    """Spearman's rho of the attributes (N, K) of data with one another, float64 (K, K): baseline of a sweep.

    As if each control were its attribute, and the others went along as they do in the data.
    """
    return spearman(attributes, attributes)


def output_independence(correlations: np.ndarray, controlled: Sequence[int]) -> np.ndarray:
    """|rho(c_a, a)| - mean over b != a of |rho(c_a, b)| of each control c_a, float64 (C,) in [-1, 1].

    `correlations` (C, K) are those of `sweep_correlations`, and `controlled` says which attribute a each control is
    for. 1: it moves its own attribute all the way, and no other; 0: others as much, or nothing at all; below, others
    more. Baseline: the rows `controlled` of `data_correlations`. NaN for K = 1.
    """
    strength = np.abs(correlations)
    n_attributes = strength.shape[1]
    if n_attributes < 2:
        return np.full(len(strength), np.nan)
    own = strength[np.arange(len(strength)), list(controlled)]
    others = (np.delete(row, a) for row, a in zip(strength, controlled, strict=True))
    return own - np.array([other.mean() for other in others])


def latent_independence(
    z: np.ndarray,
    attributes: np.ndarray,
    left_out: Sequence[Collection[int]],
    *,
    probe: str = "nonlinear",
    seed: int = 0,
) -> np.ndarray:
    """Leakage: 1 - R^2 of predicting each attribute (N, K) from the rest of z (N, D), float64 (K,) in [0, 1].

    `left_out` names the dimensions that attribute k is not predicted from: its own control, or all controls; none where
    the controls lie outside z. R^2 is that of `predict`, on rows that the probe was not fitted to, and 0 where the mean
    would do better. Baseline: z = attributes and left_out = [[0], [1], ...], each attribute from the others.
    NaN where no dimension is left, for a constant attribute, z that is not finite, and too few rows.
    """
    independence = np.full(attributes.shape[1], np.nan)
    if len(z) < MIN_ROWS:
        return independence
    attributes = finite_columns(attributes)
    varying = np.flatnonzero(has_spread(attributes))
    # Attributes with the same predictors share the work.
    for absent in {frozenset(left_out[k]) for k in varying}:
        rest = np.delete(z, sorted(absent), axis=1)
        if rest.shape[1] and np.isfinite(rest).all():
            alike = [k for k in varying if frozenset(left_out[k]) == absent]
            targets = attributes[:, alike]
            error = np.square(targets - predict(rest, targets, probe, seed)).sum(0)
            independence[alike] = np.minimum(1, error / np.square(targets - targets.mean(0)).sum(0))
    return independence


# More threads than cores to spare make these small problems slower, and change the last bits of a sum.
@threadpool_limits.wrap(limits=1)
def predict(z: np.ndarray, targets: np.ndarray, probe: str, seed: int) -> np.ndarray:
    """Predictions of targets (N, K) from z (N, D), each row's by a probe fitted to other folds, float64 (N, K).

    Three folds drawn by `seed`. Both probes are ridge regressions, with the penalty of each target that leave-one-out
    chooses within the fitted rows. "linear": on z, standardised. "nonlinear": also on its squares, and its Gaussian
    kernel with 300 of the rows (Nyström), so that it finds the curve of a dimension and, where D is small, combinations
    of dimensions. Raises ValueError for another probe.
    """
    if probe not in PROBES:
        raise ValueError(f"unknown probe {probe!r}; known are {', '.join(PROBES)}")
    predicted = np.empty(targets.shape)
    for fitted, scored in KFold(FOLDS, shuffle=True, random_state=seed).split(z):
        features = [("z", FunctionTransformer())]
        if probe == "nonlinear":
            # Two rows of z, standardised, are sqrt(2 D) apart in the mean: there the kernel is 1/e.
            kernel = Nystroem(gamma=0.5 / z.shape[1], n_components=min(_LANDMARKS, len(fitted)), random_state=seed)
            features += [("squares", FunctionTransformer(np.square)), ("kernel", kernel)]
        ridge = RidgeCV(_PENALTIES, alpha_per_target=True)
        model = make_pipeline(StandardScaler(), FeatureUnion(features), ridge)
        # A single target comes back without its axis.
        predicted[scored] = model.fit(z[fitted], targets[fitted]).predict(z[scored]).reshape(-1, targets.shape[1])
    return predicted
