"""Which files are versions of one song, judged by their names."""

import re
import unicodedata

_VERSION = re.compile(r"(?P<title>.*\S)(?:\.(?P<dotted>\d+)|\s*\((?P<in_brackets>\d+)\))")
# The word before ".5" in "Symphony No.5", "Etude Op.10", "bwv244.3" and "madrigal.3.1", where it is no version.
_CATALOGUE = re.compile(r"(no|nr|op|.*\D\d+)", re.IGNORECASE)
# A title of these words and numbers alone names no song.
_PLACEHOLDERS = {
    "unknown", "untitled", "unnamed", "unbekannt", "nan", "none", "null", "na", "title", "name", "song", "take",
    "track", "tune", "piece", "music", "midi", "mid", "file", "record", "recording", "sequence", "seq", "clip",
    "sample", "part", "loop", "audio", "new", "copy", "no", "output", "project", "test",
}


def song_key(artist: str, title: str, genre: str = "") -> str | None:
    """The same for all versions of a song: artist and title, without case, spacing and version number.

    None where the title names no song, so that nothing but its content tells what it is: a placeholder such as
    "Untitled" or "take.001", a bare number, or the name of its folder or genre with a number in brackets, which is how
    Windows numbers files that are renamed at once ("jazz (7)").
    """
    plain = without_version(title)
    words = set(re.findall(r"[^\W\d_]+", _normal(plain)))
    if words <= _PLACEHOLDERS:
        return None
    if title.endswith(")") and plain != title and _normal(plain) in (_normal(artist), _normal(genre)):
        return None
    return f"{_normal(artist)} / {_normal(plain)}"


def without_version(title: str) -> str:
    """"Title" for "Title.2" and "Title (2)"; catalogue numbers, as in "Op.10", and running ones, as in ".001", stay."""
    found = _VERSION.fullmatch(title)
    if not found or _CATALOGUE.fullmatch(found["title"].split()[-1]):
        return title
    number = found["dotted"] or found["in_brackets"]
    return title if number.startswith("0") else found["title"]


def _normal(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())
