"""Independence of controls: sweeps, leakage and their baselines, where the answer is known."""

import numpy as np
import pytest
from latents import all_scores, counts, noise

from explainable.metrics.independence import (
    data_correlations,
    latent_independence,
    output_independence,
    sweep_correlations,
)

pytestmark = pytest.mark.usefixtures("no_warnings")


def swept(response: np.ndarray, n_measures: int = 400, n_values: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """A sweep where attribute k is `response[c, k]` times control c, plus what the measure brings."""
    values = np.tile(np.linspace(-3, 3, n_values), (len(response), 1))
    own = noise(response.shape[1], n=n_measures)
    return values, values[:, :, None, None] * response[:, None, None, :] + own


def test_sweep_of_controls_that_move_their_own_attribute() -> None:
    rho = sweep_correlations(*swept(np.array([[1e3, 0, 0], [0, -1e3, 0]])))
    # Equal control values are ties, and their measures in any order: 1 - 1 / V^2 is the variance that ranks share.
    assert np.abs(rho[[0, 1], [0, 1]]) == pytest.approx((1 - 1 / 11**2) ** 0.5, abs=1e-4)
    assert rho[1, 1] < 0
    assert np.abs(rho[[0, 0, 1, 1], [1, 2, 0, 2]]).max() < 0.05
    assert output_independence(rho, [0, 1]) == pytest.approx([0.996, 0.996], abs=0.03)


def test_sweep_of_a_control_that_moves_all_attributes() -> None:
    rho = sweep_correlations(*swept(np.array([[1.0, 1.0, -1.0]])))
    assert output_independence(rho, [0]) == pytest.approx([0], abs=0.02)
    assert output_independence(np.array([[0.2, 0.9, -0.5]]), [0]) == pytest.approx([0.2 - 0.7])


def test_sweep_of_a_control_without_effect() -> None:
    values, decoded = swept(np.zeros((1, 3)))
    assert (sweep_correlations(values, np.zeros_like(decoded)) == 0).all()
    # The measures differ, but the control moves none of them.
    assert sweep_correlations(values, decoded) == pytest.approx(np.zeros((1, 3)), abs=1e-12)


def test_sweep_of_another_shape_is_refused() -> None:
    values, decoded = swept(np.ones((2, 3)))
    with pytest.raises(ValueError, match="do not go with"):
        sweep_correlations(values[:, :5], decoded)


def test_too_small_a_sweep_and_a_single_attribute_have_no_figure() -> None:
    assert np.isnan(sweep_correlations(*swept(np.ones((1, 2)), n_measures=1, n_values=3))).all()
    assert np.isnan(output_independence(np.array([[0.7]]), [0])).all()


def test_baseline_of_correlated_attributes() -> None:
    a = noise(3, n=4000)
    a[:, 1] = 0.6 * a[:, 0] + 0.8 * a[:, 1]
    # Spearman's rho of a Gaussian pair is 6 / pi arcsin(r / 2).
    rho = 6 / np.pi * np.arcsin(0.3)
    expected = [1 - rho / 2, 1 - rho / 2, 1]
    assert output_independence(data_correlations(a), [0, 1, 2]) == pytest.approx(expected, abs=0.03)
    assert output_independence(data_correlations(a)[[2]], [2]) == pytest.approx([1], abs=0.03)
    baseline = latent_independence(a, a, [[0], [1], [2]], probe="linear")
    assert baseline == pytest.approx([1 - 0.6**2, 1 - 0.6**2, 1], abs=0.04)
    a[:, 2] = 0
    assert np.isnan(output_independence(data_correlations(a), [0, 1, 2])).all()


def test_leakage_is_found_where_it_is() -> None:
    z = noise(4)
    a = np.stack([z[:, 0] + z[:, 1], z[:, 2] ** 2], 1)
    linear, nonlinear = (latent_independence(z, a, [[0], []], probe=probe) for probe in ("linear", "nonlinear"))
    assert linear == pytest.approx([0.5, 1], abs=0.06)
    assert nonlinear == pytest.approx([0.5, 0], abs=0.08)
    assert latent_independence(z, a, [[0, 1], [2]]) == pytest.approx([1, 1], abs=0.02)


def test_the_nonlinear_probe_finds_combinations_of_few_dimensions_and_curves_among_many() -> None:
    few, many = noise(4), noise(40)
    assert latent_independence(few, few[:, :1] * few[:, 1:2], [[]])[0] < 0.3
    assert latent_independence(many, many[:, :1] ** 2, [[]])[0] < 0.2


def test_the_control_of_a_correlated_attribute_leaks_and_free_dimensions_do_not() -> None:
    a = counts(kinds=2)
    a[:, 1] += a[:, 0]
    row = all_scores(np.concatenate([a, noise(2)], 1), a)
    assert row["latent_independence_linear"] == pytest.approx(0.5, abs=0.03)
    assert row["data_independence_linear"] == pytest.approx(0.5, abs=0.03)
    assert row["free_independence_linear"] > 0.98
    # Nothing is amiss with these latents: the attributes themselves would score as they do.
    assert row["SAP"] == pytest.approx(row["data_SAP"]) and row["SAP"] == pytest.approx(0.5, abs=0.03)
    assert row["MIG"] == pytest.approx(row["data_MIG"], abs=0.03) and row["MIG"] < 0.9


def test_leakage_is_not_feigned_by_many_dimensions() -> None:
    # On the rows that it was fitted to, a line from 60 dimensions of noise would have an R^2 of .6.
    z, a = noise(60, n=100), noise(1, n=100, seed=2)
    for probe in ("linear", "nonlinear"):
        assert latent_independence(z, a, [[]], probe=probe)[0] > 0.9


def test_an_unknown_probe_is_refused() -> None:
    with pytest.raises(ValueError, match="linear, nonlinear"):
        latent_independence(noise(2), counts(), [[]] * 3, probe="cubic")
