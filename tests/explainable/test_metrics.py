"""Scores of latents whose order by attributes is known."""

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


# Correlations


def test_correlations_are_those_of_scipy_with_ties() -> None:
    z, a = np.round(noise(3), 1), counts()
    a[:, 0] += z[:, 1]
    for d, k in np.ndindex(3, 3):
        for ours, theirs in ((pearson, pearsonr), (spearman, spearmanr)):
            expected = theirs(z[:, d], a[:, k])
            assert ours(z, a)[d, k] == pytest.approx(expected.statistic, abs=1e-12)
            assert p_value(ours(z, a), N)[d, k] == pytest.approx(expected.pvalue, rel=1e-6)


def test_correlations_do_not_depend_on_the_size_of_numbers() -> None:
    z, a = noise(2), noise(2, seed=2) + noise(2)
    assert pearson(1e-200 * z, 1e150 * a) == pytest.approx(pearson(z, a))
    assert p_value(pearson(z, z), N)[0, 0] == 0
    # The mean of equal numbers is not always that number.
    assert (pearson(np.tile(np.linspace(0.1, 0.9, 9), (N, 1)), a) == 0).all()


def test_a_subsample_has_distinct_rows_by_its_seed() -> None:
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
    # Of 16 equally frequent values; of two, one of which has a share of 1/4.
    a = np.stack([counts()[:, 0], (np.arange(N) % 4 == 0) * 1.0], 1)
    entropy = [np.log(16), np.log(4) / 4 + np.log(4 / 3) * 3 / 4]
    assert self_information(a) == pytest.approx(entropy, rel=0.03)
    # A dimension that tells all of the attribute has as much.
    exact = np.exp(a) + 1e-4 * noise(2)
    assert np.diag(mutual_information(exact, a)) == pytest.approx(entropy, rel=0.03)


@pytest.mark.parametrize("n", [200, 3200])
def test_information_of_a_continuous_attribute_with_itself_follows_the_number_of_rows(n: int) -> None:
    limit = digamma(n) - digamma(NEIGHBOURS)
    assert limit - 0.5 < self_information(noise(1, n=n))[0] < limit + 0.1


def test_mutual_information_is_the_same_again_and_keeps_to_its_rows() -> None:
    z, a = noise(2) + counts()[:, :2], counts()
    assert (mutual_information(z, a, seed=5) == mutual_information(z, a, seed=5)).all()
    rows = subsample(N, 100, seed=5)
    assert (mutual_information(z, a, max_rows=100, seed=5) == mutual_information(z[rows], a[rows], seed=5)).all()
    assert (self_information(a, max_rows=100, seed=5) == self_information(a[rows], seed=5)).all()


# Disentanglement


def test_a_dimension_for_each_attribute_scores_one() -> None:
    a = counts()
    z = np.concatenate([noise(2), (a * [3, -7, 0.1])[:, [2, 0, 1]]], 1)
    row = latent_metrics(z, a, NAMES, [3, 4, 2])
    assert [row[f"interpretability_dimension_{name}"] for name in NAMES] == [3, 4, 2]
    for metric in ("interpretability", "r_squared_designated", "SCC"):
        assert row[metric] == pytest.approx(1)
    assert row["MIG"] == pytest.approx(1, abs=0.05)
    assert row["SAP"] == pytest.approx(1, abs=0.02)
    assert modularity(mutual_information(z, a))[2:] == pytest.approx(1, abs=0.01)
    # No other dimension tells, but here and there by chance.
    for kind in ("latent", "free", "data"):
        for probe in ("linear", "nonlinear"):
            assert row[f"{kind}_independence_{probe}"] > 0.97


def test_a_curved_but_monotone_dimension_loses_r_squared_alone() -> None:
    a = counts(kinds=2)
    row = all_scores(a**2, a)
    # Of 0 ... m - 1, equally frequent, and their squares: 15 (m - 1)^2 / ((2 m - 1) (8 m - 11)), here for m = 16.
    assert row["interpretability"] == pytest.approx(15 * 15**2 / (31 * 117))
    assert row["SCC"] == pytest.approx(1)
    assert row["MIG"] == pytest.approx(1, abs=0.05)


def test_equal_rotation_has_no_gap() -> None:
    a = noise(2, n=2000)
    z = a @ np.array([[1, -1], [1, 1]]) / 2**0.5
    row = all_scores(z, a)
    # Each dimension is half of each attribute: r^2 = 1/2.
    assert row["interpretability"] == pytest.approx(0.5, abs=0.05)
    assert row["SCC"] == pytest.approx(6 / np.pi * np.arcsin(0.5**0.5 / 2), abs=0.04)
    for metric in ("MIG", "SAP"):
        assert row[metric] == pytest.approx(0, abs=0.07)
    assert row["modularity"] < 0.2
    # Half of an attribute is told by the dimension that is not its own, but none by the other attribute.
    assert row["latent_independence_linear"] == pytest.approx(0.5, abs=0.05)
    assert row["data_independence_linear"] > 0.99


def test_independent_noise_scores_nothing() -> None:
    row = all_scores(noise(3), counts(), PROBES)
    for metric in ("interpretability", "r_squared_designated", "SAP"):
        assert row[metric] < 0.02
    assert row["MIG"] < 0.05
    assert row["SCC"] < 0.1
    assert row["latent_independence_nonlinear"] > 0.98


def test_an_attribute_in_two_dimensions_has_no_gap_but_both_tell_it() -> None:
    a = counts(kinds=2)
    z = np.concatenate([a, a + 1e-6 * noise(2)], 1)
    row = all_scores(z, a)
    assert row["MIG"] == pytest.approx(0, abs=0.03)
    assert row["SAP"] == pytest.approx(0, abs=1e-6)
    assert row["interpretability"] == pytest.approx(1) and row["SCC"] == pytest.approx(1)
    assert row["modularity"] > 0.98
    assert row["free_independence_linear"] == pytest.approx(0, abs=1e-6)


def test_scores_of_given_information() -> None:
    information = np.array([[2.0, 0.0], [0.5, 0.5], [0.0, 0.0], [1.0, 2.0]])
    assert mutual_information_gap(information, np.array([2.0, 3.0])) == pytest.approx([0.5, 0.5])
    assert np.isnan(mutual_information_gap(information, np.zeros(2))).all()
    assert modularity(information) == pytest.approx([1, 0, 0, 0.75])
    three = np.array([[3.0, 1.0, 2.0]])
    assert modularity(three) == pytest.approx([1 - (1 + 4) / (2 * 9)])


def test_separated_predictability_is_the_gap_of_squared_correlations() -> None:
    z = noise(3)
    a = 2 * z[:, :1] + z[:, 1:2]
    squared = sorted(pearsonr(z[:, d], a[:, 0]).statistic ** 2 for d in range(3))
    assert separated_predictability(z, a) == pytest.approx([squared[2] - squared[1]])
    assert r_squared_at(z, a, [1])[0] == pytest.approx(squared[1])
    assert np.isnan(r_squared_at(z, a, [None])[0])


def test_spearman_score_drops_what_chance_explains() -> None:
    z, a = np.arange(20.0)[:, None], np.arange(20.0)[:, None]
    assert spearman_score(z, a)[0] == pytest.approx(1)
    # rho = .3 of 20 rows has p = .2.
    mixed = a.copy()
    mixed[:, 0] = np.random.default_rng(7).permutation(20)
    rho = spearmanr(z[:, 0], mixed[:, 0])
    assert rho.pvalue > 0.05 and rho.statistic != 0
    assert spearman_score(z, mixed)[0] == 0


def test_scores_are_the_same_again_and_of_the_seed() -> None:
    z, a = noise(4) + np.pad(counts(), ((0, 0), (0, 1))), counts()
    first, again, other = (latent_metrics(z, a, NAMES, [0, 1, 2], max_rows=300, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first["latent_rows"] == 300
    assert first["MIG"] != other["MIG"]


# Degenerate data


def test_a_dimension_that_never_varies_tells_nothing() -> None:
    a = counts()
    z = np.concatenate([a, np.full((N, 2), 0.3)], 1)
    assert (mutual_information(z, a)[3:] == 0).all() and (modularity(mutual_information(z, a))[3:] == 0).all()
    row = all_scores(z, a)
    assert row["MIG"] == pytest.approx(1, abs=0.05)
    assert row["modularity"] == pytest.approx(3 / 5, abs=0.01)
    assert (latent_independence(z, a, [[0, 1, 2]] * 3) == 1).all()
    collapsed = all_scores(np.zeros((N, 4)), a)
    for metric in ("interpretability", "r_squared_designated", "MIG", "SAP", "SCC", "modularity"):
        assert collapsed[metric] == 0


def test_an_attribute_that_never_varies_has_no_score() -> None:
    a = counts()
    a[:, 1] = 0.5
    row = all_scores(np.concatenate([a, noise(2)], 1), a)
    missing = {name for name, value in row.items() if np.isnan(value)}
    assert {name for name in row if name.endswith("_range")} <= missing
    assert {"interpretability", "MIG", "SAP", "SCC", "modularity", "latent_independence_linear"} <= missing
    assert not {name for name in row if name.endswith("_density")} & missing
    information = mutual_information(np.zeros((N, 1)), a)
    assert np.isnan(information[0, 1]) and (information[0, [0, 2]] == 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, MIN_ROWS - 1])
def test_too_few_rows_have_no_scores(n: int) -> None:
    row = all_scores(noise(4, n=n), counts(n=n), PROBES)
    assert row.pop("latent_rows") == n
    assert all(np.isnan(value) for value in row.values())


def test_the_fewest_rows_have_scores() -> None:
    row = all_scores(noise(4, n=MIN_ROWS), noise(3, n=MIN_ROWS, seed=2), PROBES)
    assert not any(np.isnan(value) for value in row.values())


def test_one_dimension_and_one_attribute_have_no_gap_and_no_modularity() -> None:
    a = counts(kinds=1)
    row = all_scores(a * 2, a)
    assert row["interpretability"] == pytest.approx(1)
    for metric in ("MIG", "SAP", "modularity", "latent_independence_linear", "data_independence_linear"):
        assert np.isnan(row[metric])


def test_latents_that_are_not_finite_have_no_scores() -> None:
    a = counts()
    for broken in (np.nan, np.inf):
        z = np.concatenate([a, noise(1)], 1)
        z[5, 3] = broken
        row = all_scores(z, a, PROBES)
        for metric in ("interpretability", "MIG", "SAP", "SCC", "modularity", "latent_independence_nonlinear"):
            assert np.isnan(row[metric])
        assert row["r_squared_designated"] == pytest.approx(1)


def test_controls_outside_the_latents() -> None:
    row = latent_metrics(noise(4), counts(), NAMES, [None] * 3, probes=["linear"])
    assert np.isnan(row["r_squared_designated"])
    assert row["latent_independence_linear"] == row["free_independence_linear"]
    # Two of three attributes are regularised: the mean is of these.
    a = counts()
    row = latent_metrics(np.concatenate([a[:, :2], noise(2)], 1), a, NAMES, [0, 1, None], probes=["linear"])
    assert row["r_squared_designated"] == pytest.approx(1)
    assert np.isnan(row["r_squared_designated_density"])


def test_interpretability_names_no_dimension_where_none_is_known() -> None:
    a = counts(kinds=2)
    a[:, 0] = 1
    found = interpretability(a, a, mutual_information(a, a))
    assert np.isnan(found.dimension[0]) and np.isnan(found.r_squared[0])
    assert found.dimension[1] == 1 and found.r_squared[1] == pytest.approx(1)
