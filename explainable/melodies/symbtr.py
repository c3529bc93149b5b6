"""A table of Turkish makam music, as made from the SymbTr collection -> melodies.

The columns are makam, form, usul, title, composer and notes. A note is `pitch:num/den`: the pitch in Holdrian commas
(53 to the octave, r for a rest), the duration as a fraction of a whole note. Pitches are rounded to semitones, which
loses the intonation of the makam. The table has no bar lines: the usul (the rhythmic cycle) gives the metre, and the
first measure begins with the first note or rest.
"""

import re
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from common.errors import UserError
from common.files import read_limited
from explainable.melodies.bars import MAX_ITEMS
from explainable.melodies.tunes import Dropped, Note, Reading, Reason, Tune, TuneError, require_metre, tune_or_reason

COLUMNS = ("makam", "form", "usul", "title", "composer", "notes")
COMMAS_PER_OCTAVE = 53
# The cycles of two, four or eight beats; no other fits measures of four quarters.
METRE_OF_USUL = {"sofyan": "4/4", "nimsofyan": "2/4", "duyek": "8/8"}
_NOTE = re.compile(r"(\d{1,4}|r):(\d{1,4})/([1-9]\d{0,3})")
_MAX_BYTES = 50_000_000


def read_symbtr(path: Path, reading: Reading = Reading()) -> Iterator[Tune | Dropped]:
    """The pieces of a table in order, or the reason why a piece is dropped.

    Raises `UserError` if the file is no such table, `OSError` if it cannot be read.
    """
    text = read_limited(path, _MAX_BYTES).decode("utf-8-sig", errors="replace")
    header, *lines = re.split(r"[\r\n]+", text)
    names = header.split("\t")
    if missing := [name for name in COLUMNS if name not in names]:
        raise UserError(f"no column {' and '.join(missing)}; a table of makam music has {', '.join(COLUMNS)}")
    for line in filter(None, lines):
        row = dict.fromkeys(COLUMNS, "") | dict(zip(names, line.split("\t"), strict=False))
        yield tune_or_reason(_read_piece, "--".join(row[name] for name in COLUMNS[:-1]), row, reading)


def _read_piece(name: str, row: dict[str, str], reading: Reading) -> Tune:
    if row["usul"] not in METRE_OF_USUL:
        raise TuneError(Reason.OTHER_METRE, f"usul {row['usul'][:30]}")
    require_metre(reading.metres, METRE_OF_USUL[row["usul"]])
    notes: list[Note] = []
    time = Fraction(0)
    tokens = row["notes"].split()
    if len(tokens) > MAX_ITEMS:
        raise TuneError(Reason.TOO_MANY_NOTES, f"{len(tokens):,} with rests")
    for token in tokens:
        found = _NOTE.fullmatch(token)
        if not found:
            raise TuneError(Reason.UNREADABLE, f"{token[:20]!r} among its notes")
        end = time + 4 * Fraction(int(found[2]), int(found[3]))
        if found[1] != "r" and end > time:
            notes.append(Note(time, round(Fraction(int(found[1]) * 12, COMMAS_PER_OCTAVE)), end))
        time = end
    return Tune(name, tuple(notes), Fraction(0), time)
