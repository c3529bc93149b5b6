"""Metrics of latents whose relation to the attributes is known."""

import numpy as np
import pytest
from latents import NAMES, N, all_scores, counts, noise
from scipy.special import digamma
from scipy.stats import pearsonr, spearmanr

from explainable.metrics.correlation import MIN_ROWS, p_value, pearson, spearman, subsample
from explainable.metrics.disentanglement import (
    NEIGHBOURS,
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
from explainable.metrics.latent import latent_metrics

pytestmark = pytest.mark.usefixtures("no_warnings")
SCORES = ("interpretability", "r_squared_designated", "MIG", "SAP", "SCC", "modularity")


# Correlations


def test_correlations_are_those_of_scipy_with_ties() -> None:
    z, a = np.round(noise(3), 1), counts()
    a[:, 0] += z[:, 1]
    for d, k in np.ndindex(3, 3):
        for ours, theirs in ((pearson, pearsonr), (spearman, spearmanr)):
            expected = theirs(z[:, d], a[:, k])
            assert ours(z, a)[d, k] == pytest.approx(expected.statistic, abs=1e-12)
            assert p_value(ours(z, a), N)[d, k] == pytest.approx(expected.pvalue, rel=1e-6)


def test_correlations_do_not_depend_on_the_scale_of_numbers() -> None:
    z, a = noise(2), noise(2, seed=2) + noise(2)
    assert pearson(1e-200 * z, 1e150 * a) == pytest.approx(pearson(z, a))
    assert p_value(pearson(z, z), N)[0, 0] == 0
    # The mean of equal numbers is not always that number.
    assert (pearson(np.tile(np.linspace(0.1, 0.9, 9), (N, 1)), a) == 0).all()


def test_a_subsample_has_distinct_rows_chosen_by_its_seed() -> None:
    rows = subsample(50, 20, seed=3)
    assert len(set(rows.tolist())) == 20 and list(rows) == sorted(rows)
    assert (rows == subsample(50, 20, seed=3)).all() and (rows != subsample(50, 20, seed=4)).any()
    assert list(subsample(5, 20, seed=0)) == list(subsample(5, None, seed=0)) == [0, 1, 2, 3, 4]


# Mutual information


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


@pytest.mark.parametrize("n", [200, 3200])
def test_self_information_of_a_continuous_attribute_grows_with_the_number_of_rows(n: int) -> None:
    limit = digamma(n) - digamma(NEIGHBOURS)
    assert limit - 0.5 < self_information(noise(1, n=n))[0] < limit + 0.1


# Disentanglement


def test_one_dimension_per_attribute_scores_one() -> None:
    a = counts()
    z = np.concatenate([noise(2), (a * [3, -7, 0.1])[:, [2, 0, 1]]], 1)
    row = latent_metrics(z, a, NAMES, [3, 4, 2])
    assert [row[f"interpretability_dimension_{name}"] for name in NAMES] == [3, 4, 2]
    assert [row[metric] for metric in ("interpretability", "r_squared_designated", "SCC")] == pytest.approx([1, 1, 1])
    assert row["MIG"] == pytest.approx(1, abs=0.05) and row["SAP"] == pytest.approx(1, abs=0.02)
    assert modularity(mutual_information(z, a))[2:] == pytest.approx(1, abs=0.01)
    assert all(row[f"{kind}_independence_{probe}"] > 0.97 for kind in ("latent", "free", "data") for probe in PROBES)


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


def test_independent_noise_scores_nothing() -> None:
    row = all_scores(noise(3), counts(), PROBES)
    assert max(row["interpretability"], row["r_squared_designated"], row["SAP"]) < 0.02
    assert row["MIG"] < 0.05 and row["SCC"] < 0.1 and row["latent_independence_nonlinear"] > 0.98


def test_two_copies_of_each_attribute_have_no_gap() -> None:
    a = counts(kinds=2)
    row = all_scores(np.concatenate([a, a + 1e-6 * noise(2)], 1), a)
    assert row["MIG"] == pytest.approx(0, abs=0.03) and row["SAP"] == pytest.approx(0, abs=1e-6)
    assert row["interpretability"] == pytest.approx(1) and row["SCC"] == pytest.approx(1)
    assert row["modularity"] > 0.98 and row["free_independence_linear"] == pytest.approx(0, abs=1e-6)


def test_gap_and_modularity_of_given_information() -> None:
    information = np.array([[2.0, 0.0], [0.5, 0.5], [0.0, 0.0], [1.0, 2.0]])
    assert mutual_information_gap(information, np.array([2.0, 3.0])) == pytest.approx([0.5, 0.5])
    assert np.isnan(mutual_information_gap(information, np.zeros(2))).all()
    assert modularity(information) == pytest.approx([1, 0, 0, 0.75])
    assert modularity(np.array([[3.0, 1.0, 2.0]])) == pytest.approx([1 - (1 + 4) / (2 * 9)])


def test_separated_predictability_is_the_gap_of_squared_correlations() -> None:
    z = noise(3)
    a = 2 * z[:, :1] + z[:, 1:2]
    squared = sorted(pearsonr(z[:, d], a[:, 0]).statistic ** 2 for d in range(3))
    assert separated_predictability(z, a) == pytest.approx([squared[2] - squared[1]])
    assert r_squared_at(z, a, [1])[0] == pytest.approx(squared[1])
    assert np.isnan(r_squared_at(z, a, [None])[0])


def test_spearman_score_drops_insignificant_correlations() -> None:
    z = np.arange(20.0)[:, None]
    assert spearman_score(z, z)[0] == pytest.approx(1)
    mixed = np.random.default_rng(7).permutation(20)[:, None]
    expected = spearmanr(z[:, 0], mixed[:, 0])
    assert expected.pvalue > 0.05 and expected.statistic != 0
    assert spearman_score(z, mixed)[0] == 0


def test_the_seed_decides_rows_and_noise() -> None:
    z, a = noise(4) + np.pad(counts(), ((0, 0), (0, 1))), counts()
    first, again, other = (latent_metrics(z, a, NAMES, [0, 1, 2], max_rows=300, seed=seed) for seed in (0, 0, 1))
    assert first == again and first["latent_rows"] == 300 and first["MIG"] != other["MIG"]


# Degenerate data


def test_constant_dimensions_carry_no_information() -> None:
    a = counts()
    z = np.concatenate([a, np.full((N, 2), 0.3)], 1)
    assert (mutual_information(z, a)[3:] == 0).all() and (modularity(mutual_information(z, a))[3:] == 0).all()
    row = all_scores(z, a)
    assert row["MIG"] == pytest.approx(1, abs=0.05) and row["modularity"] == pytest.approx(3 / 5, abs=0.01)
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
    information = mutual_information(np.zeros((N, 1)), a)
    assert np.isnan(information[0, 1]) and (information[0, [0, 2]] == 0).all()
    dimension, r_squared = interpretability(z, a, mutual_information(z, a))
    assert np.isnan(dimension[1]) and np.isnan(r_squared[1]) and dimension[2] == 2 and r_squared[2] == pytest.approx(1)


@pytest.mark.parametrize("n", [0, 1, MIN_ROWS - 1, MIN_ROWS])
def test_scores_need_a_minimum_of_rows(n: int) -> None:
    row = all_scores(noise(4, n=n), noise(3, n=n, seed=2), PROBES)
    assert row.pop("latent_rows") == n
    assert [bool(np.isnan(value)) for value in row.values()] == [n < MIN_ROWS] * len(row)


def test_one_dimension_and_one_attribute_have_no_gap_and_no_modularity() -> None:
    a = counts(kinds=1)
    row = all_scores(a * 2, a)
    assert row["interpretability"] == pytest.approx(1)
    names = ("MIG", "SAP", "modularity", "latent_independence_linear", "data_independence_linear")
    assert np.isnan([row[name] for name in names]).all()


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_non_finite_latents_have_no_scores(broken: float) -> None:
    a = counts()
    z = np.concatenate([a, noise(1)], 1)
    z[5, 3] = broken
    row = all_scores(z, a, PROBES)
    names = ("interpretability", "MIG", "SAP", "SCC", "modularity", "latent_independence_nonlinear")
    assert np.isnan([row[name] for name in names]).all()
    assert row["r_squared_designated"] == pytest.approx(1), "its dimensions are finite"


def test_controls_outside_the_latents() -> None:
    row = latent_metrics(noise(4), counts(), NAMES, [None] * 3, probes=["linear"])
    assert np.isnan(row["r_squared_designated"])
    assert row["latent_independence_linear"] == row["free_independence_linear"]
    # Two of three attributes are controlled: the mean is over these.
    a = counts()
    row = latent_metrics(np.concatenate([a[:, :2], noise(2)], 1), a, NAMES, [0, 1, None], probes=["linear"])
    assert row["r_squared_designated"] == pytest.approx(1) and np.isnan(row["r_squared_designated_density"])
