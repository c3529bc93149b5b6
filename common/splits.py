"""Train, validation and test splits of groups of items, decided by hashes instead of by order or chance."""

from collections.abc import Sequence

SPLITS = ("train", "val", "test")


def split_groups(
    keys: Sequence[Sequence[str]], hashes: Sequence[str], train_share: float, val_share: float
) -> list[str]:
    """Return the split of each item: "train", "val" or "test", which takes the remaining share.

    Items that share one of their `keys` form a group, transitively, and a group is never divided. `hashes` are
    hexadecimal SHA-256 of the items; the smallest of a group, read as a fraction in [0, 1), is its position: training
    comes first, then validation. New items therefore move no group, except that an item which joins two groups moves
    the later one to the earlier split, and so never a trained item into the test split.
    """
    parent: dict[str, str] = {}

    def root(key: str) -> str:
        parent.setdefault(key, key)
        while parent[key] != key:
            parent[key] = parent[parent[key]]
            key = parent[key]
        return key

    for first, *others in keys:
        for other in others:
            parent[root(other)] = root(first)
    groups = [root(first) for first, *_ in keys]
    position: dict[str, float] = {}
    for group, digest in zip(groups, hashes, strict=True):
        position[group] = min(position.get(group, 1.0), int(digest[:16], 16) / 2**64)
    ends = (train_share, train_share + val_share)
    return [SPLITS[sum(position[group] >= end for end in ends)] for group in groups]
