"""Artist and title from a file's path, and a normal form to compare the names of different catalogues."""

import re
import unicodedata
from pathlib import PurePosixPath
from typing import NamedTuple

from data.splits import without_version

_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")
_FEATURING = re.compile(r"\b(?:feat|ft|featuring)\b.*")
_ARTICLE = re.compile(r"^(?:the|a)\s+")
_MIDI = re.compile(r"\.midi?$", re.IGNORECASE)
_COMMA = re.compile(r",(?!\d)|(?<!\d),")  # not that of 10,000
_HASH = re.compile(r"[0-9a-f]{32}")
_TRACK = re.compile(r"TR[A-Z]{5}[0-9A-F]{11}")


class PathNames(NamedTuple):
    """What a path contains: names, or an MD5 sum and a Million Song track; "" for what it does not contain."""

    artist: str
    title: str
    md5: str
    track: str


def names_of_path(path: str) -> PathNames:
    """Parse `Artist/Title.1.mid` (clean_midi), or `<md5>.mid` in any folder (lmd_full) or a track's (lmd_matched)."""
    place = PurePosixPath(path)
    stem = _MIDI.sub("", place.name)
    folder = place.parent.name
    if _HASH.fullmatch(stem):
        return PathNames("", "", stem, folder if _TRACK.fullmatch(folder) else "")
    artist, title = (" ".join(text.replace("_", " ").split()) for text in (folder, without_version(stem)))
    return PathNames(artist, title, "", "")


def key(text: str) -> str:
    """Return a name without differences of spelling: lower-case ASCII letters and digits.

    Accents, punctuation, text in brackets, guests ("feat. ...") and a leading article are removed; "&" becomes "and".
    If nothing is left, as of a name in another script, the key is the name in lower case.
    """
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower().replace("&", " and ")
    plain = _FEATURING.sub("", _BRACKETS.sub(" ", plain)).strip()
    plain = re.sub(r"[^a-z0-9]", "", _ARTICLE.sub("", plain))
    return plain or unicodedata.normalize("NFC", text).casefold().strip()


def artist_keys(artist: str) -> tuple[str, ...]:
    """Return the possible keys of an artist: as written, and "First Last" for "Last, First"."""
    parts = [part.strip() for part in _COMMA.split(artist)]
    swapped = [" ".join(reversed(parts))] if len(parts) == 2 and all(parts) else []
    return tuple(dict.fromkeys(name for name in map(key, [artist, *swapped]) if name))


def song_keys(artist: str, title: str) -> tuple[str, ...]:
    """Return the possible keys of a song: each artist key with the title's key; () if one of the names is empty."""
    title_key = key(title)
    return tuple(f"{name} / {title_key}" for name in artist_keys(artist)) if title_key else ()
