"""Artist and title of a file as its path tells them, and the form in which names of different catalogues compare."""

import re
import unicodedata
from pathlib import PurePosixPath
from typing import NamedTuple

from data.splits import without_version

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_FEATURING = re.compile(r"\b(?:feat|ft|featuring)\b.*")
_ARTICLE = re.compile(r"^(?:the|a)\s+")
_MIDI = re.compile(r"\.midi?$", re.IGNORECASE)
_COMMA = re.compile(r",(?!\d)|(?<!\d),")  # but that of 10,000
_HASH = re.compile(r"[0-9a-f]{32}")
_TRACK = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")


class PathNames(NamedTuple):
    """What a path tells, "" where nothing: names, the MD5 sum that a file is called by, its Million Song track."""

    artist: str
    title: str
    md5: str
    track: str


def names_of_path(path: str) -> PathNames:
    """Of `Artist/Title.1.mid` (clean_midi), `<md5>.mid` below anything (lmd_full) or below a track id (lmd_matched)."""
    place = PurePosixPath(path)
    stem = _MIDI.sub("", place.name)
    folder = place.parent.name
    if _HASH.fullmatch(stem):
        return PathNames("", "", stem, folder if _TRACK.fullmatch(folder) else "")
    return PathNames(_spaced(folder), _spaced(without_version(stem)), "", "")


def _spaced(text: str) -> str:
    return " ".join(text.replace("_", " ").split())


def key(text: str) -> str:
    """What is left of a name when spelling is taken away: letters and digits of ASCII, in lower case.

    Accents, brackets and what stands in them, guests ("feat. ..."), a leading article and all signs go; "&" is "and". A
    name of which nothing is left, as one in another script, keeps its letters, in lower case.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("&", " and ")
    plain = _FEATURING.sub("", _BRACKETS.sub(" ", plain)).strip()
    plain = re.sub(r"[^a-z0-9]", "", _ARTICLE.sub("", plain))
    return plain or unicodedata.normalize("NFC", text).casefold().strip()


def artist_keys(artist: str) -> tuple[str, ...]:
    """Keys by which an artist may be known: as written, and "First Last" of "Last, First"."""
    parts = [part.strip() for part in _COMMA.split(artist)]
    swapped = [" ".join(reversed(parts))] if len(parts) == 2 and all(parts) else []
    return tuple(dict.fromkeys(name for name in map(key, [artist, *swapped]) if name))


def song_keys(artist: str, title: str) -> tuple[str, ...]:
    """Keys by which a song may be known: those of the artist, each with that of the title; none without both names."""
    of_title = key(title)
    return tuple(f"{of_artist} / {of_title}" for of_artist in artist_keys(artist)) if of_title else ()
