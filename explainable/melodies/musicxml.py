"""The highest part of a MusicXML score -> a melody, by music21. docs/melodies.md says what is added to it."""

import re
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from common.files import read_limited
from data.builtin import parse_score
from explainable.melodies.bars import MAX_ITEMS, BarLine, Sound, lay_out, unfold
from explainable.melodies.tunes import (
    MAX_MEASURES,
    Dropped,
    Reading,
    Reason,
    Tune,
    TuneError,
    require_metre,
    tune_or_reason,
)

if TYPE_CHECKING:
    import music21

_MAX_BYTES, _MAX_TAGS = 20_000_000, 1_000_000
_MAX_ELEMENTS = 20 * MAX_ITEMS  # of the part that is read
_JUMP = re.compile(r"^D[CS]\b|\bD\. ?[CS]\.|\bda capo\b|\bdal segno\b", re.IGNORECASE)
_PLAYED = {"attributes", "note", "backup", "forward", "barline"}


def read_musicxml(path: Path, reading: Reading = Reading()) -> Iterator[Tune | Dropped]:
    """The part called Soprano, otherwise the first, of a MusicXML file (.musicxml, .xml) or archive (.mxl)."""
    yield tune_or_reason(_read_score, path.stem, path, reading)


def _read_score(name: str, path: Path, reading: Reading) -> Tune:
    part = parse_score(_keep_top_part(_read_xml(path), reading.repeats), "musicxml").parts[0]
    part.toSoundingPitch(inPlace=True)
    metres = (own.ratioString for own in part.recurse().getElementsByClass("TimeSignature"))
    bar = require_metre(reading.metres, *metres)
    written = list(_sounds(part))
    return lay_out(name, unfold(written) if reading.repeats else written, bar)


def _read_xml(path: Path) -> ElementTree.Element:
    """The score; of an archive, no more than `_MAX_BYTES` of it, whatever size its header names."""
    text = read_limited(path, _MAX_BYTES)
    if path.suffix.lower() == ".mxl":
        with zipfile.ZipFile(BytesIO(text)) as archive:
            names = [name for name in archive.namelist() if name.endswith((".xml", ".musicxml"))]
            scores = [archive.getinfo(name) for name in names if not name.startswith("META-INF")]
            # Other methods of compression are not of the standard, and their decoders do not bound the output.
            if not scores or scores[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise TuneError(Reason.UNREADABLE, "no score in the archive")
            with archive.open(scores[0]) as file:
                text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES or text.count(b"<") > _MAX_TAGS:
        raise TuneError(Reason.UNREADABLE, f"over {_MAX_BYTES:,} bytes or {_MAX_TAGS:,} tags")
    if b"<!ENTITY" in text.replace(b"\0", b""):  # could expand without bounds
        raise TuneError(Reason.UNREADABLE, "defines entities")
    return ElementTree.fromstring(text)


def _keep_top_part(score: ElementTree.Element, repeats: bool) -> str:
    """The XML of one part without layout and words, which halves the time of parsing a chorale.

    Cue notes, which music21 plays, and `<forward>`, which it skips, become rests. With `repeats`, raises `TuneError`
    for D.C. and D.S.
    """
    if score.tag == "score-timewise":
        rows: dict[str | None, ElementTree.Element] = {}
        for measure in score.findall("measure"):
            for part in measure.findall("part"):
                row = rows.setdefault(part.get("id"), ElementTree.Element("part", part.attrib))
                ElementTree.SubElement(row, "measure", measure.attrib).extend(part)
        score[:] = [*score.findall("part-list"), *rows.values()]
        score.tag = "score-partwise"
    names = {part.get("id"): part.findtext("part-name", "") for part in score.iterfind("part-list/score-part")}
    parts = score.findall("part")
    if not parts:
        raise TuneError(Reason.UNREADABLE, "no part in it")
    top = next((part for part in parts if names.get(part.get("id"), "").strip().startswith("Soprano")), parts[0])
    words = (" ".join("".join(element.itertext()).split()) for element in top.iter("words"))
    jumps = [text for text in words if _JUMP.search(text)]
    jumps += [name for sound in top.iter("sound") for name in ("dacapo", "dalsegno", "tocoda") if name in sound.attrib]
    if repeats and jumps:
        raise TuneError(Reason.OTHER_ORDER, jumps[0][:40])
    score[:] = [child for child in score if child.tag != "part" or child is top]
    for listed in score.findall("part-list"):
        listed[:] = [child for child in listed if child.get("id") == top.get("id")]
    for measure in top:
        measure[:] = [child for child in measure if child.tag in _PLAYED]
    if len(top) > MAX_MEASURES:
        raise TuneError(Reason.TOO_LONG)
    if sum(1 for _ in top.iter("note")) > MAX_ITEMS or sum(1 for _ in top.iter()) > _MAX_ELEMENTS:
        raise TuneError(Reason.TOO_MANY_NOTES)
    for element in [*top.iter("forward"), *(note for note in top.iter("note") if note.find("cue") is not None)]:
        element[:] = [child for child in element if child.tag in ("duration", "voice")]
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
