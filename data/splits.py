"""Which split a song belongs to: decided by a hash of what the song is, never by its place in a list."""

import hashlib
from collections.abc import Sequence

TRAIN_SHARE, VAL_SHARE = 0.8, 0.1


def assign_splits(
    song_keys: Sequence[str], content_hashes: Sequence[str], given: Sequence[str | None]
) -> list[str]:
    """Split ("train", "val" or "test") of each song, 80/10/10.

    Songs with the same key (versions of one song) or the same content hash (copies) are one group, and a group is
    never divided. A group's place in [0, 1) is the smallest hash of its keys, so adding songs moves no group, but
    where a new copy shows two songs to be one: then the merged group can only move towards training, and what a model
    was trained on never turns up in its test split. The hash depends on the song alone, so each genre is divided
    in the same proportions. A split that is `given` wins, and is the caller's responsibility.
    """
    groups = _Groups()
    for key, content in zip(song_keys, content_hashes, strict=True):
        groups.join(f"song {key}", f"content {content}")
    place: dict[str, float] = {}
    for key in song_keys:
        group = groups.find(f"song {key}")
        place[group] = min(place.get(group, 1.0), _unit_hash(key))
    return [
        chosen or _split_at(place[groups.find(f"song {key}")]) for key, chosen in zip(song_keys, given, strict=True)
    ]


def _unit_hash(text: str) -> float:
    """A number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") / 2**64


def _split_at(place: float) -> str:
    if place < TRAIN_SHARE:
        return "train"
    return "val" if place < TRAIN_SHARE + VAL_SHARE else "test"


class _Groups:
    """Disjoint sets of names (union-find with path halving)."""

    def __init__(self) -> None:
        self._parent: dict[str, str] = {}

    def find(self, name: str) -> str:
        parent = self._parent
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    def join(self, first: str, second: str) -> None:
        self._parent[self.find(second)] = self.find(first)
