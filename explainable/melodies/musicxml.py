"""The highest voice of a compressed MusicXML score, as music21 ships Bach's chorales -> a melody.

Read directly, because music21 takes a hundred times as long for a score of which one part is wanted.
"""

import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from explainable.melodies.bars import BarLine, Sound, lay_out, unfold
from explainable.melodies.tunes import (
    METRE_CHANGES,
    SEVERAL_VOICES,
    UNREADABLE,
    Dropped,
    Tune,
    TuneError,
    require_metre,
    require_usable,
)

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_MAX_BYTES = 20_000_000


def read_musicxml(path: Path, *, metres: Sequence[str] = ("4/4",), repeats: bool = True) -> Tune | Dropped:
    """The part called Soprano, else the first, of a compressed MusicXML file (.mxl); see `abc.read_abc`."""
    try:
        part = _top_part(_score(path))
        metre, items = _read_part(part)
        bar = require_metre(metre or "no metre", metres)
        notes, start, end = lay_out(unfold(items) if repeats else items, bar)
        require_usable(notes)
    except TuneError as error:
        return Dropped(path.stem, error.reason, error.detail)
    except (ValueError, LookupError, TypeError, ZeroDivisionError, zipfile.BadZipFile, ElementTree.ParseError) as error:
        return Dropped(path.stem, UNREADABLE, " ".join(str(error).split())[:80])
    return Tune(path.stem, tuple(notes), start, end)


def _score(path: Path) -> ElementTree.Element:
    with zipfile.ZipFile(path) as archive:
        names = [info for info in archive.infolist() if info.filename.endswith((".xml", ".musicxml"))]
        scores = [info for info in names if not info.filename.startswith("META-INF")]
        if not scores or scores[0].file_size > _MAX_BYTES:
            raise TuneError(UNREADABLE, "no score in it, or a huge one")
        return ElementTree.fromstring(archive.read(scores[0]))


def _top_part(score: ElementTree.Element) -> ElementTree.Element:
    names = {part.get("id"): part.findtext("part-name", "") for part in score.iterfind("part-list/score-part")}
    parts = score.findall("part")
    if not parts:
        raise TuneError(UNREADABLE, "no part in it")
    return next((part for part in parts if names.get(part.get("id"), "").strip().startswith("Soprano")), parts[0])


def _read_part(part: ElementTree.Element) -> tuple[str, list[Sound | BarLine]]:
    """Metre, and notes, rests and bar lines as written."""
    metre, divisions = "", 1
    items: list[Sound | BarLine] = []
    for measure in part.iterfind("measure"):
        voice = None
        left = [_bar_line(line) for line in measure.iterfind("barline") if line.get("location") == "left"]
        items += left
        for element in measure:
            if element.tag == "attributes":
                divisions = int(element.findtext("divisions", str(divisions)))
                for time in element.iterfind("time"):
                    told = f"{time.findtext('beats')}/{time.findtext('beat-type')}"
                    if metre not in ("", told):
                        raise TuneError(METRE_CHANGES, f"{metre} to {told}")
                    metre = told
            elif element.tag == "note" and element.find("grace") is None:
                voice = voice or element.findtext("voice")
                if element.findtext("voice") != voice:
                    raise TuneError(SEVERAL_VOICES, f"in measure {measure.get('number')}")
                _add_note(items, element, divisions)
            elif element.tag == "forward":
                items.append(Sound(None, Fraction(int(element.findtext("duration", "0")), divisions)))
        right = [_bar_line(line) for line in measure.iterfind("barline") if line.get("location", "right") == "right"]
        items += right or [BarLine()]
    return metre, items


def _add_note(items: list[Sound | BarLine], note: ElementTree.Element, divisions: int) -> None:
    """Append a note or rest; of a chord the highest note stays."""
    length = Fraction(int(note.findtext("duration", "0")), divisions)
    if not length:
        return
    step = note.findtext("pitch/step")
    tied = any(tie.get("type") == "start" for tie in note.iterfind("tie"))
    pitch = None
    if step is not None:
        altered = round(float(note.findtext("pitch/alter", "0")))
        pitch = 12 * (int(note.findtext("pitch/octave", "4")) + 1) + _SEMITONES[step] + altered
    if note.find("chord") is None:
        items.append(Sound(pitch, length, tied))
    elif isinstance(items[-1], Sound) and pitch is not None and pitch > (items[-1].pitch or 0):
        items[-1] = Sound(pitch, items[-1].length, tied)


def _bar_line(line: ElementTree.Element) -> BarLine:
    directions = {repeat.get("direction") for repeat in line.iterfind("repeat")}
    endings = tuple(_endings(line))
    is_double = line.findtext("bar-style", "") in ("light-light", "light-heavy", "heavy-light")
    return BarLine("backward" in directions, "forward" in directions, is_double, endings)


def _endings(line: ElementTree.Element) -> Iterator[int]:
    for ending in line.iterfind("ending"):
        if ending.get("type") == "start":
            yield from (int(number) for number in ending.get("number", "").split(",") if number.strip())
