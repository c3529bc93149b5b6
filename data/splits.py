"""Assign songs to splits; versions of a song, judged by artist and title, and copies stay together."""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from common.splits import SPLITS, split_groups

TRAIN_SHARE, VAL_SHARE = 0.8, 0.1
_VERSION = re.compile(r"(?P<title>.*\S)(?:\.(?P<dotted>\d+)|\s*\((?P<in_brackets>\d+)\))")
# The word before ".5" in "Symphony No.5", "Etude Op.10", "bwv244.3" and "madrigal.3.1", where it is no version.
_CATALOGUE = re.compile(r"(no|nr|op|.*\D\d+)", re.IGNORECASE)
# A title of these words and numbers alone names no song.
_PLACEHOLDERS = {
    "unknown",
    "untitled",
    "unnamed",
    "unbekannt",
    "nan",
    "none",
    "null",
    "na",
    "title",
    "name",
    "song",
    "take",
    "track",
    "tune",
    "piece",
    "music",
    "midi",
    "mid",
    "file",
    "record",
    "recording",
    "sequence",
    "seq",
    "clip",
    "sample",
    "part",
    "loop",
    "audio",
    "new",
    "copy",
    "no",
    "output",
    "project",
    "test",
}


def song_key(artist: str, title: str, genre: str = "") -> str | None:
    """Return artist and title without case, spacing and version number: equal for all versions of a song.

    None where the title names no song: a placeholder such as "Untitled" or "take.001", a bare number, or the name of
    its folder or genre with a number in brackets, as Windows renames files in bulk ("jazz (7)").
    """
    plain = without_version(title)
    words = set(re.findall(r"[^\W\d_]+", folded(plain)))
    if words <= _PLACEHOLDERS:
        return None
    if title.endswith(")") and plain != title and folded(plain) in (folded(artist), folded(genre)):
        return None
    return f"{folded(artist)} / {folded(plain)}"


def without_version(title: str) -> str:
    """Return "Title" for "Title.2" and "Title (2)"; keep catalogue numbers ("Op.10") and running numbers (".001")."""
    found = _VERSION.fullmatch(title)
    if not found or _CATALOGUE.fullmatch(found["title"].split()[-1]):
        return title
    number = found["dotted"] or found["in_brackets"]
    return title if number.startswith("0") else found["title"]


def assign_splits(song_keys: Sequence[str], content_hashes: Sequence[str], given: Sequence[str | None]) -> list[str]:
    """Return the split ("train", "val" or "test") of each song, 80/10/10, by `split_groups`.

    Songs with the same key (versions) or the same content hash (copies) are one group. The hash depends on the song
    alone, so each genre is divided in the same proportions. A split that is `given` wins; it may tear a group apart.
    """
    keys = [(f"song {key}", f"content {content}") for key, content in zip(song_keys, content_hashes, strict=True)]
    hashes = [hashlib.sha256(key.encode()).hexdigest() for key in song_keys]
    free = split_groups(keys, hashes, TRAIN_SHARE, VAL_SHARE)
    return [chosen or split for chosen, split in zip(given, free, strict=True)]


def split_warnings(
    paths: Sequence[str], song_keys: Sequence[str], content_hashes: Sequence[str], splits: Sequence[str]
) -> list[str]:
    """Return sentences on splits that are empty, and on copies of one file in several splits."""
    warnings = []
    empty = [split for split in SPLITS if split not in splits]
    if empty:
        hint = versions_hint(paths, song_keys) or "; give more songs, or a split column in the labels"
        warnings.append(f"no song has fallen to {' and '.join(empty)}{hint}")
    splits_of_content = defaultdict(set)
    for content, split in zip(content_hashes, splits, strict=True):
        splits_of_content[content].add(split)
    torn = [place for place, content in enumerate(content_hashes) if len(splits_of_content[content]) > 1]
    if torn:
        example = " and ".join(paths[place] for place in torn if content_hashes[place] == content_hashes[torn[0]])
        warnings.append(
            f"{len(torn)} files are copies of others that the labels' split column gives to another split, "
            f"for example {example}"
        )
    return warnings


def versions_hint(paths: Sequence[str], song_keys: Sequence[str]) -> str:
    """Return a clause on the files taken for versions of one song, or "" where there are none."""
    (key, count), *_ = Counter(song_keys).most_common(1) or [("", 0)]
    if count < 2:
        return ""
    first, second = [path for path, own in zip(paths, song_keys, strict=True) if own == key][:2]
    return (
        f"; {count} files count as versions of one song and stay together, for example {first} and {second}: "
        "where they are different songs, a split column in the labels can say so"
    )


def folded(text: str) -> str:
    """Return `text` without case, Unicode form and the number of spaces, to compare names."""
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
