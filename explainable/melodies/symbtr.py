"""A table of Turkish makam music, as made of the SymbTr collection -> melodies.

The columns are makam, form, usul, title, composer and notes; a note is `pitch:num/den`, its pitch in Holdrian commas
(53 to the octave, r for a rest), its duration a fraction of a whole note. Pitches are rounded to semitones, which loses
the intonation of the makam. The table has no bar lines: the usul (the rhythmic cycle) tells the metre, and the first
measure begins with the first note or rest.
"""

import csv
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from common.errors import UserError
from explainable.melodies.tunes import (
    OTHER_METRE,
    UNREADABLE,
    Dropped,
    Note,
    Tune,
    TuneError,
    require_metre,
    require_usable,
)

COLUMNS = ("makam", "form", "usul", "title", "composer", "notes")
COMMAS_PER_OCTAVE = 53
# The cycles of two, four or eight beats; all others have no place in measures of four quarters.
METRE_OF_USUL = {"sofyan": "4/4", "nimsofyan": "2/4", "duyek": "8/8"}
_NOTE = re.compile(r"(\d{1,4}|r):(\d{1,4})/([1-9]\d{0,3})")
_MAX_FIELD = 1 << 22


def read_symbtr(path: Path, *, metres: Sequence[str] = ("4/4",)) -> Iterator[Tune | Dropped]:
    """The pieces of a table in their order, each as a melody or with the reason why it is none.

    Raises `UserError` where the file is no such table, `OSError` where it cannot be read.
    """
    csv.field_size_limit(_MAX_FIELD)
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        table = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
            raise UserError(
                f"{path}: no column {' and '.join(missing)}; a table of makam music has {', '.join(COLUMNS)}"
            )
        for row in table:
            yield _read_piece({name: row[name] or "" for name in COLUMNS}, metres)


def _read_piece(row: dict[str, str], metres: Sequence[str]) -> Tune | Dropped:
    name = "--".join(row[column] for column in COLUMNS[:-1])
    try:
        if row["usul"] not in METRE_OF_USUL:
            raise TuneError(OTHER_METRE, f"usul {row['usul'][:30]}")
        require_metre(METRE_OF_USUL[row["usul"]], metres)
        notes, end = _notes(row["notes"])
        require_usable(notes)
    except TuneError as error:
        return Dropped(name, error.reason, error.detail)
    return Tune(name, tuple(notes), Fraction(0), end)


def _notes(text: str) -> tuple[list[Note], Fraction]:
    """Notes, and the end of the last note or rest, in quarters."""
    notes: list[Note] = []
    time = Fraction(0)
    for token in text.split():
        found = _NOTE.fullmatch(token)
        if not found:
            raise TuneError(UNREADABLE, f"{token[:20]!r} among its notes")
        end = time + 4 * Fraction(int(found[2]), int(found[3]))
        if found[1] != "r" and end > time:
            notes.append(Note(time, round(Fraction(int(found[1]) * 12, COMMAS_PER_OCTAVE)), end))
        time = end
    return notes, time
