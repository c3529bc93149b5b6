"""Independence of controls: sweeps, leakage and their baselines with known values."""

import numpy as np
import pytest
from latents import all_scores, counts, noise

from explainable.metrics.correlation import spearman
from explainable.metrics.independence import PROBES, latent_independence, output_independence, sweep_correlations

pytestmark = pytest.mark.usefixtures("no_warnings")


def swept(response: np.ndarray, n_measures: int = 400, n_values: int = 11) -> tuple[np.ndarray, np.ndarray]:
    """A sweep where attribute k is `response[c, k]` times control c plus noise of the measure."""
    values = np.tile(np.linspace(-3, 3, n_values), (len(response), 1))
    own = noise(response.shape[1], n=n_measures)
    return values, values[:, :, None, None] * response[:, None, None, :] + own


def test_controls_that_move_only_their_own_attribute() -> None:
    rho = sweep_correlations(*swept(np.array([[1e3, 0, 0], [0, -1e3, 0]])))
    # Control values are tied, so their ranks have the share 1 - 1 / V^2 of the variance.
    assert rho[[0, 1], [0, 1]] == pytest.approx([(1 - 1 / 11**2) ** 0.5, -((1 - 1 / 11**2) ** 0.5)], abs=1e-4)
    assert np.abs(rho[[0, 0, 1, 1], [1, 2, 0, 2]]).max() < 0.05
    assert output_independence(rho, [0, 1]) == pytest.approx([0.996, 0.996], abs=0.03)


def test_controls_that_move_all_attributes_or_none() -> None:
    rho = sweep_correlations(*swept(np.array([[1.0, 1.0, -1.0]])))
    assert output_independence(rho, [0]) == pytest.approx([0], abs=0.02)
    assert output_independence(np.array([[0.2, 0.9, -0.5]]), [0]) == pytest.approx([0.2 - 0.7])
    values, decoded = swept(np.zeros((1, 3)))
    assert (sweep_correlations(values, np.zeros_like(decoded)) == 0).all()
    # The measures differ, but the control moves none of them.
    assert sweep_correlations(values, decoded) == pytest.approx(np.zeros((1, 3)), abs=1e-12)


def test_sweeps_without_a_value() -> None:
    values, decoded = swept(np.ones((2, 3)))
    with pytest.raises(ValueError, match="do not go with"):
        sweep_correlations(values[:, :5], decoded)
    assert np.isnan(sweep_correlations(*swept(np.ones((1, 2)), n_measures=1, n_values=3))).all()
    assert np.isnan(output_independence(np.array([[0.7]]), [0])).all(), "a single attribute"


def test_baselines_of_correlated_attributes() -> None:
    a = noise(3, n=4000)
    a[:, 1] = 0.6 * a[:, 0] + 0.8 * a[:, 1]
    # Spearman's rho of a Gaussian pair is 6 / pi arcsin(r / 2).
    rho = 6 / np.pi * np.arcsin(0.3)
    assert output_independence(spearman(a, a), [0, 1, 2]) == pytest.approx([1 - rho / 2, 1 - rho / 2, 1], abs=0.03)
    assert output_independence(spearman(a, a)[[2]], [2]) == pytest.approx([1], abs=0.03)
    baseline = latent_independence(a, a, [[0], [1], [2]], probe="linear")
    assert baseline == pytest.approx([1 - 0.6**2, 1 - 0.6**2, 1], abs=0.04)
    a[:, 2] = 0
    assert np.isnan(output_independence(spearman(a, a), [0, 1, 2])).all()


def test_leakage_of_known_size() -> None:
    z = noise(4)
    a = np.stack([z[:, 0] + z[:, 1], z[:, 2] ** 2], 1)
    linear, nonlinear = (latent_independence(z, a, [[0], []], probe=probe) for probe in PROBES)
    assert linear == pytest.approx([0.5, 1], abs=0.06)
    assert nonlinear == pytest.approx([0.5, 0], abs=0.08)
    assert latent_independence(z, a, [[0, 1], [2]]) == pytest.approx([1, 1], abs=0.02)
    with pytest.raises(ValueError, match="linear, nonlinear"):
        latent_independence(z, a, [[0], []], probe="cubic")


def test_the_nonlinear_probe_fits_products_of_few_dimensions_and_curves_among_many() -> None:
    few, many = noise(4), noise(40)
    assert latent_independence(few, few[:, :1] * few[:, 1:2], [[]])[0] < 0.3
    assert latent_independence(many, many[:, :1] ** 2, [[]])[0] < 0.2


def test_a_correlated_control_leaks_and_free_dimensions_do_not() -> None:
    a = counts(kinds=2)
    a[:, 1] += a[:, 0]
    row = all_scores(np.concatenate([a, noise(2)], 1), a)
    assert row["latent_independence_linear"] == pytest.approx(0.5, abs=0.03)
    assert row["data_independence_linear"] == pytest.approx(0.5, abs=0.03)
    assert row["free_independence_linear"] > 0.98
    # These latents are ideal: the attributes themselves have the same scores.
    assert row["SAP"] == pytest.approx(row["data_SAP"]) and row["SAP"] == pytest.approx(0.5, abs=0.03)
    assert row["MIG"] == pytest.approx(row["data_MIG"], abs=0.03) and row["MIG"] < 0.9


@pytest.mark.parametrize("probe", PROBES)
def test_many_dimensions_of_noise_do_not_leak(probe: str) -> None:
    # A line from 60 dimensions of noise has an R^2 of .6 on the rows that it is fitted to.
    assert latent_independence(noise(60, n=100), noise(1, n=100, seed=2), [[]], probe=probe)[0] > 0.9
