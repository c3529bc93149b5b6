"""Pictures of a space: its points in the plane by PCA, t-SNE or Isomap.

All on one thread. The order in which threads add up changes the last bits of a sum, and t-SNE makes another picture of
that; with few cores that others use too, one thread is also several times faster.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, Isomap
from threadpoolctl import threadpool_limits

# What t-SNE and Isomap see of a space with more dimensions, as is customary: its first principal components.
MAX_DIMENSIONS = 50
# With 5 the graph of 10,000 windows falls into pieces.
ISOMAP_NEIGHBORS = 10


@threadpool_limits.wrap(limits=1)
def principal_components(points: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The first components of points (n, D), at most `count`, and each one's share of the variance.

    float64 (n, count) and (count,).
    """
    pca = PCA(min(count, *points.shape), svd_solver="randomized", random_state=seed)
    return pca.fit_transform(points).astype(np.float64), pca.explained_variance_ratio_.astype(np.float64)


@threadpool_limits.wrap(limits=1)
def tsne(points: np.ndarray, perplexity: float, seed: int) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) of points (n, D), float64 (n, 2), started from the first two components.

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
    np.random.seed(seed)  # scikit-learn offers no other way to fix where the eigensolver starts
    try:
        return Isomap(n_neighbors=neighbors, n_components=2).fit_transform(points)
    finally:
        np.random.set_state(state)
