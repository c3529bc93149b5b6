"""Projections to the plane by PCA, t-SNE and Isomap.

All on one thread: the order in which threads add changes the last bits of a sum, and with them the result of t-SNE. On
a few busy cores one thread is also several times faster.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, Isomap
from threadpoolctl import threadpool_limits

# t-SNE and Isomap of a space with more dimensions use its first principal components, as is customary.
MAX_DIMENSIONS = 50
# With 5 neighbours the graph of 10,000 windows is not connected.
ISOMAP_NEIGHBORS = 10


@threadpool_limits.wrap(limits=1)
def principal_components(points: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """At most `count` components of points (n, D), float64 (n, count), and their shares of the variance, (count,)."""
    pca = PCA(min(count, *points.shape), svd_solver="randomized", random_state=seed)
    return pca.fit_transform(points).astype(np.float64), pca.explained_variance_ratio_.astype(np.float64)


@threadpool_limits.wrap(limits=1)
def tsne(points: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of points (n, D), float64 (n, 2), initialised with two components.

    Raises ValueError unless the perplexity is less than n.
    """
    return TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(points).astype(np.float64)


@threadpool_limits.wrap(limits=1)
def isomap(points: np.ndarray, seed: int) -> np.ndarray:
    """Isomap (Tenenbaum, de Silva and Langford 2000) of points (n, D), float64 (n, 2).

    Memory grows with n^2: 10,000 points take 1.8 GB.
    """
    neighbors = min(ISOMAP_NEIGHBORS, len(points) - 1)
    state = np.random.get_state()
    np.random.seed(seed)  # the only way to seed scikit-learn's eigensolver
    try:
        return Isomap(n_neighbors=neighbors, n_components=2).fit_transform(points)
    finally:
        np.random.set_state(state)
