"""Independence of controls: in decoded music, and in the latents; 1 is full independence.

Both metrics are ours: the study does not define its own. Attributes are correlated in music (more notes, more complex
rhythm), so each metric has a baseline: the same formula on the attributes of the data.
"""

from collections.abc import Collection, Sequence

import numpy as np
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from threadpoolctl import threadpool_limits

from explainable.metrics.correlation import MIN_ROWS, finite_columns, is_constant, spearman, varies

PROBES = ("linear", "nonlinear")
FOLDS = 3
_PENALTIES = np.logspace(-4, 4, 9)
_LANDMARKS = 300


def sweep_correlations(values: np.ndarray, decoded: np.ndarray) -> np.ndarray:
    """Spearman's rho of each control with each attribute of the decoded music, float64 (C, K).

    Control c takes `values[c]` (C, V), for example -3 to 3 standard deviations in 11 steps, while the rest of N encoded
    measures is fixed. `decoded` (C, V, N, K): entry (c, v, n) holds the attributes of measure n decoded with the v-th
    value of control c. The V N measures of a control are pooled. 0 for an attribute that never changes.
    """
    _, _, n_measures, n_attributes = decoded.shape
    rho = np.empty((len(values), n_attributes))
    for row, control, music in zip(rho, values, decoded, strict=True):
        music = music.reshape(-1, n_attributes)
        row[:] = spearman(np.repeat(control, n_measures)[:, None], music)[0]
        if len(music) >= MIN_ROWS:
            row[is_constant(music)] = 0
    return rho


def output_independence(correlations: np.ndarray, controlled: Sequence[int]) -> np.ndarray:
    """|rho(c_a, a)| - mean over b != a of |rho(c_a, b)| of each control c_a, float64 (C,) in [-1, 1].

    `correlations` (C, K) are those of `sweep_correlations`; `controlled` gives the attribute a of each control. 1: the
    control moves only its own attribute; 0: it moves others as much, or nothing; negative: it moves others more.
    Baseline: the rows `controlled` of `spearman(attributes, attributes)` of data. NaN for K = 1.
    """
    strength = np.abs(correlations)
    if strength.shape[1] < 2:
        return np.full(len(strength), np.nan)
    pairs = zip(strength, controlled, strict=True)
    return np.array([row[a] - np.delete(row, a).mean() for row, a in pairs])


def latent_independence(
    z: np.ndarray,
    attributes: np.ndarray,
    left_out: Sequence[Collection[int]],
    *,
    probe: str = "nonlinear",
    seed: int = 0,
) -> np.ndarray:
    """1 - R^2 of predicting each attribute (N, K) from the rest of z (N, D), float64 (K,) in [0, 1]: no leakage is 1.

    `left_out[k]`: the dimensions that do not predict attribute k, its own control or all controls. R^2 is that of
    `predict`, at least 0. Baseline: z = attributes and left_out = [[0], [1], ...], each attribute from the others. NaN
    if no dimension is left, for a constant attribute, non-finite z, and too few rows.
    """
    independence = np.full(attributes.shape[1], np.nan)
    if len(z) < MIN_ROWS:
        return independence
    attributes = finite_columns(attributes)
    varying = np.flatnonzero(varies(attributes))
    # Attributes with the same predictors are predicted together.
    for absent in {frozenset(left_out[k]) for k in varying}:
        rest = np.delete(z, sorted(absent), axis=1)
        if rest.shape[1] and np.isfinite(rest).all():
            alike = [k for k in varying if frozenset(left_out[k]) == absent]
            targets = attributes[:, alike]
            error = np.square(targets - predict(rest, targets, probe, seed)).sum(0)
            independence[alike] = np.minimum(1, error / np.square(targets - targets.mean(0)).sum(0))
    return independence


# More threads than free cores slow these small problems down, and change the last bits of sums.
@threadpool_limits.wrap(limits=1)
def predict(z: np.ndarray, targets: np.ndarray, probe: str, seed: int) -> np.ndarray:
    """Cross-validated predictions of targets (N, K) from z (N, D), float64 (N, K), with three folds drawn by `seed`.

    Both probes are ridge regressions; leave-one-out on the fitted rows selects the penalty of each target. "linear":
    of standardised z. "nonlinear": also of its squares and of a Gaussian kernel with 300 of the rows (Nyström).
    """
    predicted = np.empty(targets.shape)
    for fitted, scored in KFold(FOLDS, shuffle=True, random_state=seed).split(z):
        features = [("z", FunctionTransformer())]
        if probe == "nonlinear":
            # The RMS distance of two standardised rows is sqrt(2 D); there the kernel is 1/e.
            kernel = Nystroem(gamma=0.5 / z.shape[1], n_components=min(_LANDMARKS, len(fitted)), random_state=seed)
            features += [("squares", FunctionTransformer(np.square)), ("kernel", kernel)]
        ridge = RidgeCV(_PENALTIES, alpha_per_target=True)
        model = make_pipeline(StandardScaler(), FeatureUnion(features), ridge)
        # sklearn drops the axis of a single target.
        predicted[scored] = model.fit(z[fitted], targets[fitted]).predict(z[scored]).reshape(-1, targets.shape[1])
    return predicted
