"""Train, validation and test splits of groups of items, decided by hashes instead of by order or chance."""

from collections.abc import Sequence

SPLITS = ("train", "val", "test")


def split_groups(
    keys: Sequence[Sequence[str]], hashes: Sequence[str], train_share: float, val_share: float
) -> list[str]:
    """Return the split of each item: "train", "val" or "test", where test takes the remaining share.

    Items that share one of their `keys` form a group, transitively, and a group is never divided. `hashes` are
    hexadecimal SHA-256 of the items. The first 64 bits of the smallest of a group, as a fraction, are its position in
    [0, 1): training comes first, then validation. New items therefore move no existing group. Where an item joins two
    groups, the joint group takes the smaller position, so it can only move towards training.
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

    def split_at(place: float) -> str:
        if place < train_share:
            return "train"
        return "val" if place < train_share + val_share else "test"

    return [split_at(position[group]) for group in groups]
