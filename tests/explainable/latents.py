"""Made-up latents and attributes, and the scores of latents whose dimension k is that of attribute k."""

from collections.abc import Sequence

import numpy as np

from explainable.metrics.latent import latent_metrics

N = 800
NAMES = ("complexity", "range", "density")


def counts(n: int = N, kinds: int = 3, values: int = 16, seed: int = 0) -> np.ndarray:
    """Independent attributes of few values, each value equally often, (n, kinds)."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(np.arange(n) % values) for _ in range(kinds)], 1) / 24


def noise(dimensions: int, n: int = N, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, dimensions))


def all_scores(z: np.ndarray, a: np.ndarray, probes: Sequence[str] = ("linear",)) -> dict[str, float]:
    """Where attribute k is controlled by dimension k."""
    return latent_metrics(z, a, NAMES[: a.shape[1]], list(range(a.shape[1])), probes=probes)
