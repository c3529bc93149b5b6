"""Which split a song belongs to: decided by a hash of what the song is, never by its place in a list."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from common.splits import SPLITS, split_groups

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
    keys = [(f"song {key}", f"content {content}") for key, content in zip(song_keys, content_hashes, strict=True)]
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in song_keys]
    free = split_groups(keys, hashes, TRAIN_SHARE, VAL_SHARE)
    return [chosen or split for chosen, split in zip(given, free, strict=True)]


def split_warnings(
    paths: Sequence[str], song_keys: Sequence[str], content_hashes: Sequence[str], splits: Sequence[str]
) -> list[str]:
    """Sentences on splits that are empty, and on copies of one file that are in more than one."""
    empty = [split for split in SPLITS if split not in splits]
    warnings = []
    if empty:
        hint = versions_hint(paths, song_keys) or "; give more songs, or a split column in the labels"
        warnings.append(f"no song has fallen to {' and '.join(empty)}{hint}")
    splits_of_content = defaultdict(set)
    for content, split in zip(content_hashes, splits, strict=True):
        splits_of_content[content].add(split)
    torn = {content for content, names in splits_of_content.items() if len(names) > 1}
    if torn:
        members = [place for place, content in enumerate(content_hashes) if content in torn]
        example = " and ".join(paths[place] for place in members if content_hashes[place] == content_hashes[members[0]])
        warnings.append(
            f"{len(members)} files are copies of others that the labels' split column gives to another split, "
            f"for example {example}"
        )
    return warnings


def versions_hint(paths: Sequence[str], song_keys: Sequence[str]) -> str:
    """Which files were taken for versions of one song, where there are such; to go on a sentence."""
    (key, count), *_ = Counter(song_keys).most_common(1) or [("", 0)]
    if count < 2:
        return ""
    first, second = [path for path, own in zip(paths, song_keys, strict=True) if own == key][:2]
    return (
        f"; {count} files count as versions of one song and stay together, for example {first} and {second}: "
        "where they are different songs, a split column in the labels can say so"
    )
