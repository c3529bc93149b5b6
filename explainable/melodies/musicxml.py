"""The highest part of a MusicXML score -> a melody, by music21. docs/melodies.md says what is added to it."""

import contextlib
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from data.builtin import parse_score
from explainable.melodies.bars import BarLine, Sound, lay_out, unfold
from explainable.melodies.tunes import Dropped, Reading, Reason, Tune, TuneError, require_metre, tune_or_reason

if TYPE_CHECKING:
    import music21

_MAX_BYTES = 20_000_000


def read_musicxml(path: Path, reading: Reading = Reading()) -> Iterator[Tune | Dropped]:
    """The part called Soprano, otherwise the first, of a MusicXML file (.musicxml, .xml) or archive (.mxl)."""
    yield tune_or_reason(_read_score, path.stem, path, reading)


def _read_score(name: str, path: Path, reading: Reading) -> Tune:
    part = parse_score(_keep_top_part(ElementTree.fromstring(_read_text(path))), "musicxml").parts[0]
    part.toSoundingPitch(inPlace=True)
    metres = (own.ratioString for own in part.recurse().getElementsByClass("TimeSignature"))
    bar = require_metre(reading.metres, *metres)
    jumps = [own.getText() for own in part.recurse().getElementsByClass("RepeatExpressionCommand")]
    if reading.repeats and jumps:
        raise TuneError(Reason.OTHER_ORDER, jumps[0])
    written = list(_sounds(part))
    return lay_out(name, unfold(written) if reading.repeats else written, bar)


def _read_text(path: Path) -> bytes:
    """The text of the score; of an archive, no more than `_MAX_BYTES`, whatever size its header names."""
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(path.open("rb"))
        if path.suffix.lower() == ".mxl":
            archive = stack.enter_context(zipfile.ZipFile(file))
            names = [name for name in archive.namelist() if name.endswith((".xml", ".musicxml"))]
            scores = [archive.getinfo(name) for name in names if not name.startswith("META-INF")]
            # Other methods of compression are not of the standard, and their decoders do not bound the output.
            if not scores or scores[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise TuneError(Reason.UNREADABLE, "no score in the archive")
            file = stack.enter_context(archive.open(scores[0]))
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise TuneError(Reason.UNREADABLE, f"over {_MAX_BYTES:,} bytes")
    return text


def _keep_top_part(score: ElementTree.Element) -> str:
    """The XML of the score with one part, which halves the time of parsing a chorale.

    Cue notes, which music21 plays, and `<forward>`, which it skips, become rests.
    """
    names = {part.get("id"): part.findtext("part-name", "") for part in score.iterfind("part-list/score-part")}
    parts = score.findall("part")
    if not parts:
        raise TuneError(Reason.UNREADABLE, "no part in it")
    top = next((part for part in parts if names.get(part.get("id"), "").strip().startswith("Soprano")), parts[0])
    for parent in (score, *score.findall("part-list")):
        for child in list(parent):
            if child.tag in ("part", "score-part", "part-group") and child.get("id") != top.get("id"):
                parent.remove(child)
    for element in [*top.iter("forward"), *(note for note in top.iter("note") if note.find("cue") is not None)]:
        for child in list(element):
            if child.tag not in ("duration", "voice"):
                element.remove(child)
        element.tag = "note"
        ElementTree.SubElement(element, "rest")
    return ElementTree.tostring(score, encoding="unicode")


def _sounds(part: "music21.stream.Part") -> Iterator[Sound | BarLine]:
    """Notes, rests and bar lines of a part of one voice as written; of a chord the highest note."""
    brackets = part.recurse().getElementsByClass("RepeatBracket")
    endings = {id(bracket.getFirst()): tuple(bracket.numberRange) for bracket in brackets}
    for measure in part.getElementsByClass("Measure"):
        yield _bar_line(measure.leftBarline, endings.get(id(measure), ()))
        time = Fraction(0)
        for note in measure.flatten().notes:
            onset, length = Fraction(note.offset), Fraction(note.quarterLength)
            if not length:  # grace notes and chord symbols
                continue
            if onset < time or measure.voices:
                raise TuneError(Reason.SEVERAL_VOICES, f"in measure {measure.number}")
            if onset > time:
                yield Sound(None, onset - time)
            is_tied = note.tie is not None and note.tie.type in ("start", "continue")
            yield Sound(max((pitch.midi for pitch in note.pitches), default=None), length, is_tied)
            time = onset + length
        if (end := Fraction(measure.highestTime)) > time:
            yield Sound(None, end - time)
        yield _bar_line(measure.rightBarline)


def _bar_line(line: "music21.bar.Barline | None", endings: tuple[int, ...] = ()) -> BarLine:
    direction = getattr(line, "direction", None)  # of a repeat
    is_double = line is not None and line.type in ("double", "final", "heavy-light")
    return BarLine((line.times or 2) - 1 if direction == "end" else 0, direction == "start", is_double, endings)
