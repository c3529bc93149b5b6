"""Metrics of latents, and of sweeps of controls, whose relation to the attributes is known."""

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.special import digamma
from scipy.stats import pearsonr, spearmanr

from explainable.metrics.correlation import MIN_ROWS, p_value, pearson, spearman
from explainable.metrics.disentanglement import (
    NEIGHBOURS,
    interpretability,
    latent_metrics,
    modularity,
    mutual_information,
    mutual_information_gap,
    r_squared_at,
    self_information,
    separated_predictability,
    spearman_score,
)
from explainable.metrics.independence import PROBES, latent_independence, output_independence, sweep_correlations

pytestmark = pytest.mark.usefixtures("no_warnings")
N = 800
NAMES = ("complexity", "range", "density")
SCORES = ("interpretability", "r_squared_designated", "MIG", "SAP", "SCC", "modularity")


def counts(n: int = N, kinds: int = 3, values: int = 16, seed: int = 0) -> np.ndarray:
    """Independent attributes of few values, each value equally often, (n, kinds)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(np.arange(n) % values) for _ in range(kinds)], 1) / 24


def noise(dimensions: int, n: int = N, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def all_scores(z: np.ndarray, a: np.ndarray, probes: Sequence[str] = ("linear",)) -> dict[str, float]:
    """Where attribute k is controlled by dimension k."""
    return latent_metrics(z, a, NAMES[: a.shape[1]], list(range(a.shape[1])), probes=probes)


# Correlations and mutual information


def test_correlations_are_those_of_scipy_with_ties() -> None:
    z, a = np.round(noise(3), 1), counts()
    a[:, 0] += z[:, 1]
    for d, k in np.ndindex(3, 3):
        for ours, theirs in ((pearson, pearsonr), (spearman, spearmanr)):
            expected = theirs(z[:, d], a[:, k])
            assert ours(z, a)[d, k] == pytest.approx(expected.statistic, abs=1e-12)
            assert p_value(ours(z, a), N)[d, k] == pytest.approx(expected.pvalue, rel=1e-6)
    # Neither tiny nor huge numbers matter, and the mean of equal numbers is not always that number.
    assert pearson(1e-200 * z, 1e150 * a) == pytest.approx(pearson(z, a))
    assert (pearson(np.tile(np.linspace(0.1, 0.9, 9), (N, 1)), a) == 0).all()


@pytest.mark.parametrize("rho", [0.0, 0.5, 0.9])
def test_mutual_information_of_a_gaussian_pair(rho: float) -> None:
    z = noise(2, n=3000)
    a = rho * z[:, :1] + (1 - rho**2) ** 0.5 * noise(1, n=3000, seed=2)
    assert mutual_information(z, a)[:, 0] == pytest.approx([-np.log(1 - rho**2) / 2, 0], abs=0.06)


def test_information_of_few_values_is_their_entropy() -> None:
    # 16 equally frequent values; two values, one with a share of 1/4.
    a = np.stack([counts()[:, 0], (np.arange(N) % 4 == 0) * 1.0], 1)
    entropy = [np.log(16), np.log(4) / 4 + np.log(4 / 3) * 3 / 4]
    assert self_information(a) == pytest.approx(entropy, rel=0.03)
    # So does a dimension that determines the attribute.
    assert np.diag(mutual_information(np.exp(a) + 1e-4 * noise(2), a)) == pytest.approx(entropy, rel=0.03)
    # That of a continuous attribute grows with the number of rows.
    for n in (200, 3200):
        limit = digamma(n) - digamma(NEIGHBOURS)
        assert limit - 0.5 < self_information(noise(1, n=n))[0] < limit + 0.1


# Scores of a latent space


def test_one_dimension_per_attribute_scores_one() -> None:
    a = counts()
    z = np.concatenate([noise(2), (a * [3, -7, 0.1])[:, [2, 0, 1]]], 1)
    row = latent_metrics(z, a, NAMES, [3, 4, 2])
    assert [row[f"interpretability_dimension_{name}"] for name in NAMES] == [3, 4, 2]
    assert [row[metric] for metric in ("interpretability", "r_squared_designated", "SCC")] == pytest.approx([1, 1, 1])
    assert row["MIG"] == pytest.approx(1, abs=0.05) and row["SAP"] == pytest.approx(1, abs=0.02)
    assert modularity(mutual_information(z, a))[2:] == pytest.approx(1, abs=0.01)
    assert all(row[f"{kind}_independence_{probe}"] > 0.97 for kind in ("latent", "free", "data") for probe in PROBES)
    # The mean of R^2 is over the attributes that have a dimension.
    row = latent_metrics(z, a, NAMES, [3, 4, None], probes=["linear"])
    assert row["r_squared_designated"] == pytest.approx(1) and np.isnan(row["r_squared_designated_density"])
    row = latent_metrics(z, a, NAMES, [None] * 3, probes=["linear"])
    assert np.isnan(row["r_squared_designated"])
    assert row["latent_independence_linear"] == row["free_independence_linear"]


def test_a_curved_monotone_dimension_lowers_only_r_squared() -> None:
    a = counts(kinds=2)
    row = all_scores(a**2, a)
    # R^2 of 0 ... m - 1, equally frequent, and their squares: 15 (m - 1)^2 / ((2 m - 1) (8 m - 11)), here m = 16.
    assert row["interpretability"] == pytest.approx(15 * 15**2 / (31 * 117))
    assert row["SCC"] == pytest.approx(1) and row["MIG"] == pytest.approx(1, abs=0.05)


def test_a_rotation_has_no_gap() -> None:
    a = noise(2, n=2000)
    row = all_scores(a @ np.array([[1, -1], [1, 1]]) / 2**0.5, a)
    # Each dimension is half of each attribute: r^2 = 1/2.
    assert row["interpretability"] == pytest.approx(0.5, abs=0.05)
    assert row["SCC"] == pytest.approx(6 / np.pi * np.arcsin(0.5**0.5 / 2), abs=0.04)
    assert (row["MIG"], row["SAP"]) == pytest.approx((0, 0), abs=0.07) and row["modularity"] < 0.2
    # The other dimension predicts half of an attribute; the other attribute predicts nothing.
    assert row["latent_independence_linear"] == pytest.approx(0.5, abs=0.05)
    assert row["data_independence_linear"] > 0.99


def test_two_copies_of_each_attribute_have_no_gap() -> None:
    a = counts(kinds=2)
    row = all_scores(np.concatenate([a, a + 1e-6 * noise(2)], 1), a)
    assert row["MIG"] == pytest.approx(0, abs=0.03) and row["SAP"] == pytest.approx(0, abs=1e-6)
    assert row["modularity"] > 0.98 and row["free_independence_linear"] == pytest.approx(0, abs=1e-6)


def test_independent_noise_scores_nothing() -> None:
    row = all_scores(noise(3), counts(), PROBES)
    assert max(row["interpretability"], row["r_squared_designated"], row["SAP"]) < 0.02
    assert row["MIG"] < 0.05 and row["SCC"] < 0.1 and row["latent_independence_nonlinear"] > 0.98


def test_gap_and_modularity_of_given_information() -> None:
    information = np.array([[2.0, 0.0], [0.5, 0.5], [0.0, 0.0], [1.0, 2.0]])
    assert mutual_information_gap(information, np.array([2.0, 3.0])) == pytest.approx([0.5, 0.5])
    assert np.isnan(mutual_information_gap(information, np.zeros(2))).all()
    assert modularity(information) == pytest.approx([1, 0, 0, 0.75])
    assert modularity(np.array([[3.0, 1.0, 2.0]])) == pytest.approx([1 - (1 + 4) / (2 * 9)])


def test_scores_of_correlations() -> None:
    z = noise(3)
    a = 2 * z[:, :1] + z[:, 1:2]
    squared = sorted(pearsonr(z[:, d], a[:, 0]).statistic ** 2 for d in range(3))
    assert separated_predictability(z, a) == pytest.approx([squared[2] - squared[1]])
    assert r_squared_at(z, a, [1])[0] == pytest.approx(squared[1])
    # An insignificant correlation counts as none.
    z, mixed = np.arange(20.0)[:, None], np.random.default_rng(7).permutation(20)[:, None]
    expected = spearmanr(z[:, 0], mixed[:, 0])
    assert expected.pvalue > 0.05 and expected.statistic != 0
    assert spearman_score(z, z)[0] == pytest.approx(1) and spearman_score(z, mixed)[0] == 0


def test_the_seed_decides_rows_and_noise() -> None:
    z, a = noise(4) + np.pad(counts(), ((0, 0), (0, 1))), counts()
    first, again, other = (latent_metrics(z, a, NAMES, [0, 1, 2], max_rows=300, seed=seed) for seed in (0, 0, 1))
    assert first == again and first["latent_rows"] == 300 and first["MIG"] != other["MIG"]


# Data without a score


def test_constant_dimensions_carry_no_information() -> None:
    a = counts()
    z = np.concatenate([a, np.full((N, 2), 0.3)], 1)
    assert (mutual_information(z, a)[3:] == 0).all() and (modularity(mutual_information(z, a))[3:] == 0).all()
    assert (latent_independence(z, a, [[0, 1, 2]] * 3) == 1).all()
    collapsed = all_scores(np.zeros((N, 4)), a)
    assert [collapsed[metric] for metric in SCORES] == [0] * len(SCORES)


def test_a_constant_attribute_has_no_score() -> None:
    a = counts()
    a[:, 1] = 0.5
    z = np.concatenate([a, noise(2)], 1)
    row = all_scores(z, a)
    missing = {name for name, value in row.items() if np.isnan(value)}
    assert missing >= {name for name in row if name.endswith("_range")} | {*SCORES, "latent_independence_linear"}
    assert not {name for name in row if name.endswith("_density")} & missing
    dimension, r_squared = interpretability(z, a, mutual_information(z, a))
    assert np.isnan(dimension[1]) and np.isnan(r_squared[1]) and dimension[2] == 2 and r_squared[2] == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, MIN_ROWS - 1, MIN_ROWS])
def test_scores_need_a_minimum_of_rows(n: int) -> None:
    row = all_scores(noise(4, n=n), noise(3, n=n, seed=2), PROBES)
    assert row.pop("latent_rows") == n
    assert [bool(np.isnan(value)) for value in row.values()] == [n < MIN_ROWS] * len(row)


def test_one_dimension_or_non_finite_latents_have_few_scores() -> None:
    a = counts(kinds=1)
    row = all_scores(a * 2, a)
    undefined = {"MIG", "SAP", "modularity", "latent_independence_linear"}
    assert row["interpretability"] == pytest.approx(1)
    assert np.isnan([row[name] for name in (*undefined, "data_independence_linear")]).all()
    z = np.concatenate([a, noise(1)], 1)
    z[5, 1] = np.inf
    row = all_scores(z, a)
    assert np.isnan([row[name] for name in {*undefined, "interpretability", "SCC"}]).all()
    assert row["r_squared_designated"] == pytest.approx(1), "its dimension is finite"


# Independence of controls


def swept(response: np.ndarray, n_measures: int = 400, n_values: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """A sweep where attribute k is `response[c, k]` times control c plus noise of the measure."""
    values = np.tile(np.linspace(-3, 3, n_values), (len(response), 1))
    own = noise(response.shape[1], n=n_measures)
    return values, values[:, :, None, None] * response[:, None, None, :] + own


def test_controls_that_move_their_own_attribute_all_or_none() -> None:
    rho = sweep_correlations(*swept(np.array([[1e3, 0, 0], [0, -1e3, 0]])))
    # Control values are tied, so their ranks have the share 1 - 1 / V^2 of the variance.
    assert rho[[0, 1], [0, 1]] == pytest.approx([(1 - 1 / 11**2) ** 0.5, -((1 - 1 / 11**2) ** 0.5)], abs=1e-4)
    assert np.abs(rho[[0, 0, 1, 1], [1, 2, 0, 2]]).max() < 0.05
    assert output_independence(rho, [0, 1]) == pytest.approx([0.996, 0.996], abs=0.03)
    rho = sweep_correlations(*swept(np.array([[1.0, 1.0, -1.0]])))
    assert output_independence(rho, [0]) == pytest.approx([0], abs=0.02)
    assert output_independence(np.array([[0.2, 0.9, -0.5]]), [0]) == pytest.approx([0.2 - 0.7])
    values, decoded = swept(np.zeros((1, 3)))
    assert (sweep_correlations(values, np.zeros_like(decoded)) == 0).all()
    # The measures differ, but the control moves none of them.
    assert sweep_correlations(values, decoded) == pytest.approx(np.zeros((1, 3)), abs=1e-12)
    assert np.isnan(sweep_correlations(*swept(np.ones((1, 2)), n_measures=1, n_values=3))).all()
    assert np.isnan(output_independence(np.array([[0.7]]), [0])).all(), "a single attribute"


def test_baselines_of_correlated_attributes() -> None:
    a = noise(3, n=4000)
    a[:, 1] = 0.6 * a[:, 0] + 0.8 * a[:, 1]
    # Spearman's rho of a Gaussian pair is 6 / pi arcsin(r / 2).
    rho = 6 / np.pi * np.arcsin(0.3)
    assert output_independence(spearman(a, a), [0, 1, 2]) == pytest.approx([1 - rho / 2, 1 - rho / 2, 1], abs=0.03)
    baseline = latent_independence(a, a, [[0], [1], [2]], probe="linear")
    assert baseline == pytest.approx([1 - 0.6**2, 1 - 0.6**2, 1], abs=0.04)


def test_leakage_of_known_size() -> None:
    z = noise(4)
    a = np.stack([z[:, 0] + z[:, 1], z[:, 2] ** 2], 1)
    linear, nonlinear = (latent_independence(z, a, [[0], []], probe=probe) for probe in PROBES)
    assert linear == pytest.approx([0.5, 1], abs=0.06) and nonlinear == pytest.approx([0.5, 0], abs=0.08)
    assert latent_independence(z, a, [[0, 1], [2]]) == pytest.approx([1, 1], abs=0.02)
    # Products of few dimensions, and curves among many.
    assert latent_independence(z, z[:, :1] * z[:, 1:2], [[]])[0] < 0.3
    assert latent_independence(noise(40), noise(40)[:, :1] ** 2, [[]])[0] < 0.2


def test_a_correlated_control_leaks_and_free_dimensions_do_not() -> None:
    a = counts(kinds=2)
    a[:, 1] += a[:, 0]
    row = all_scores(np.concatenate([a, noise(2)], 1), a)
    for kind in ("latent", "data"):
        assert row[f"{kind}_independence_linear"] == pytest.approx(0.5, abs=0.03)
    assert row["free_independence_linear"] > 0.98
    # These latents are ideal: the attributes themselves have the same scores.
    assert row["SAP"] == pytest.approx(row["data_SAP"]) and row["SAP"] == pytest.approx(0.5, abs=0.03)
    assert row["MIG"] == pytest.approx(row["data_MIG"], abs=0.03) and row["MIG"] < 0.9


@pytest.mark.parametrize("probe", PROBES)
def test_many_dimensions_of_noise_do_not_leak(probe: str) -> None:
    # A line from 60 dimensions of noise has an R^2 of .6 on the rows that it is fitted to.
    assert latent_independence(noise(60, n=100), noise(1, n=100, seed=2), [[]], probe=probe)[0] > 0.9
