"""ABC tunes -> melodies.

Of the ABC standard (2.1, abcnotation.com) everything is read that decides which notes sound and how long: unit lengths,
key signatures with modes and explicit accidentals, accidentals to the end of the bar (in their octave, as in print),
ties, broken rhythm, tuplets, bar lines with repeats and endings. Grace notes, ornaments, chord symbols, decorations and
annotations such as "D.C." are ignored; of a double stop the highest note counts. docs/melodies.md compares music21.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

from common.files import read_limited
from explainable.melodies.bars import MAX_ITEMS, BarLine, Sound, lay_out, unfold
from explainable.melodies.tunes import Dropped, Reading, Reason, Tune, TuneError, require_metre, tune_or_reason

_SEMITONES = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_OCTAVE_OF_CAPITALS = 60  # "C" is middle C
_FIFTHS = {"F": -1, "C": 0, "G": 1, "D": 2, "A": 3, "E": 4, "B": 5}
_ORDER_OF_SHARPS = "FCGDAEB"
_FIFTHS_OF_MODE = {
    "": 0, "maj": 0, "ion": 0, "lyd": 1, "mix": -1, "dor": -2, "m": -3, "min": -3, "aeo": -3, "phr": -4, "loc": -5,
}  # fmt: skip
_ALTERATION = {"^": 1, "^^": 2, "_": -1, "__": -2, "=": 0}
# A tuplet of p notes takes the time of this many, unless it says so itself.
_NOTES_OF_TUPLET = {2: 3, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 3, 9: 2}
_KEY_VALUE = r'[A-Za-z][-\w]*=(?:"[^"]*"|\S++)'  # as in clef=bass
_KEY = re.compile(
    r"""
    (?: none | (?P<pipes>H[Pp]) | (?P<tonic>[A-G])(?P<sign>[#b]?)
        \s*(?: (?P<mode>(?i:maj|min|mix|dor|phr|lyd|loc|ion|aeo|m(?![a-z=])))[A-Za-z]*+ )? )?
    (?P<rest> (?: \s*(?: (?P<exp>exp\b) | (?:\^{1,2}|_{1,2}|=)[A-Ga-g]\b | (?:treble|alto|tenor|bass|perc)[-+\w]*+
        | """ + _KEY_VALUE + r""" ) )* )
    """,
    re.VERBOSE,
)  # fmt: skip
_MAX_FACTOR, _MAX_KEY, _MAX_BYTES = 1 << 10, 200, 20_000_000
_TUNE_START = re.compile(r"^X:|(?:\A|(?<=\n\n))(?=(?:(?:[A-WYZa-z]:|%).*\n)*K:)", re.MULTILINE)
_FIELD_LINE = re.compile(r"^([A-Za-z]):(?![|:])(.*)", re.MULTILINE)
_NOTE = r"(\^{1,2}|_{1,2}|=)?([A-Ga-gzx])([',]*)(\d*(?:/+\d*)?)"
_TOKENS = re.compile(
    r"""
    (?P<skip> "[^"]*" | ![^!\s|]*! | \+[a-z0-9.]+\+ | \{[^}]*\} | \[(?=") | y\d* | =(?:20)?\s*$ | \s+
    | [\\`~.*;?@\#$!H-Wh-w] )
    | \[(?P<field>[A-Za-z]):(?P<value>[^\]]*)\]
    | (?P<bar> ::+\|+\]?:* | ::+ | (?::\s*)*\[?\|+\]?(?:\s*:)* ) (?P<bar_endings> (?:\s*\[)?\d[\d,-]* )?
    | \[(?P<endings> \d[\d,-]* )
    | \((?P<tuplet>\d)(?: :(?P<time>\d?) (?: :(?P<count>\d?) )? )?
    | (?P<slur> [()] )
    | (?P<chord> \[[^\]|:]*\] ) (?P<chord_length>\d*(?:/+\d*)?)
    | (?P<note> """ + _NOTE + r""" )
    | [ZX](?P<bars_of_rest>\d*)
    | (?P<tie>-)
    | (?P<broken>>+|<+)
    | (?P<overlay>&)
    | (?P<unknown>.)
    """,
    re.VERBOSE | re.DOTALL,
)  # fmt: skip


def read_abc(path: Path, reading: Reading = Reading()) -> Iterator[Tune | Dropped]:
    """The tunes of an ABC file in order, or the reason why a tune is dropped. Raises `OSError`, `ValueError`."""
    for place, tune in enumerate(split_book(_decoded(read_limited(path, _MAX_BYTES))), start=1):
        yield tune_or_reason(read_tune, f"{path.stem}/{place}", tune, reading)


def read_tune(name: str, text: str, reading: Reading = Reading()) -> Tune:
    """The melody of one ABC tune. Raises `TuneError`."""
    fields, music = _split_tune(text)
    metre, parts = metre_of(fields.get("M", "")), fields.get("P", "")
    reader = _Reader(metre, _unit_of(fields.get("L", ""), metre), signature_of(fields["K"]))
    bar = require_metre(reading.metres, metre)
    for line in music:
        if found := _FIELD_LINE.match(line):
            reader.set_field(found[1], found[2].strip())
        else:
            reader.read(line)
    if reading.repeats and parts and reader.parts not in ("", parts):
        raise TuneError(Reason.OTHER_ORDER, parts[:20])
    return lay_out(name, unfold(reader.items) if reading.repeats else reader.items, bar, fields.get("T", ""))


def _decoded(content: bytes) -> str:
    """Text in UTF-8, UTF-16, or Latin-1, the usual encoding of older ABC files."""
    if 0 in content[:2] or content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16" if content[0] > 0xF0 else "utf-16-be" if content[0] == 0 else "utf-16-le")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def split_book(text: str) -> Iterator[str]:
    """The tunes of an ABC file, each from its `X:` on, or, without one, from a `T:` below a blank line.

    Metre and unit length above the first tune hold for all.
    """
    text = "\n".join(line.rstrip(" \t") for line in re.split(r"\r\n?|\n", text))
    starts: list[int] = []
    for found in _TUNE_START.finditer(text):
        if found[0] or not starts or "\nK:" in text[starts[-1] : found.start()]:
            starts.append(found.start())
    starts = starts or [0]
    common = dict(re.findall(r"^([ML]:)(.{,40})", text[: starts[0]], re.MULTILINE))
    above = "".join(f"{name}{value}\n" for name, value in common.items())
    for start, end in pairwise([*starts, len(text)]):
        if tune := text[start:end].strip():
            yield re.sub(r"\n", lambda _: "\n" + above, tune + "\n", count=1)


def _split_tune(tune: str) -> tuple[dict[str, str], list[str]]:
    """The fields above the music by letter, and the lines of music. Raises `TuneError` without a key."""
    header, *rest = re.split(r"^K:(.*)\n?", "\n".join(_lines(tune)), maxsplit=1, flags=re.MULTILINE)
    if not rest:
        raise TuneError(Reason.UNREADABLE, "no key (K:) in its header")
    fields = {"K": rest[0].strip()}
    for name, value in _FIELD_LINE.findall(header):
        if name != "T" or "T" not in fields:  # the first title is the tune's name
            fields[name] = value.strip()
    # The music ends at the first blank line after a line of music.
    return fields, re.split(r"\n[ \t]*\n", rest[1].lstrip(), maxsplit=1)[0].splitlines()


def _lines(tune: str) -> Iterator[str]:
    """The lines without remarks. Lines of directives (%%) and blocks of text are left out: none of them ends a tune."""
    block = ""
    for line in tune.replace("\n+:", " ").split("\n"):  # "+:" continues a field
        if found := re.match(r"%%(begin|end)(\w+)", line):
            block = found[2] if found[1] == "begin" else ""
        elif not block and not line.lstrip().startswith("%"):
            yield re.sub(r"(?<!\\)%.*", "", line)
    if block:
        raise TuneError(Reason.UNREADABLE, f"%%begin{block[:20]} without %%end{block[:20]}")


def metre_of(text: str) -> str:
    """A metre as "4/4"; "" if the text names none."""
    text = {"C": "4/4", "C|": "2/2"}.get(text.strip(), text.strip())
    return text if re.fullmatch(r"[1-9]\d?/[1-9]\d?", text) else ""


def _unit_of(text: str, metre: str) -> Fraction:
    """The unit length in quarters; without one, a sixteenth in metres below 3/4 and otherwise an eighth."""
    if not text:
        return Fraction(1, 4) if metre and Fraction(metre) < Fraction(3, 4) else Fraction(1, 2)
    if not re.fullmatch(r"[1-9]\d?(/[1-9]\d{0,2})?", text):
        raise TuneError(Reason.UNREADABLE, f"unit length {text[:20]!r}")
    return 4 * Fraction(text)


def signature_of(key: str) -> dict[str, int]:
    """Alterations in semitones by letter, for a key as in "D", "F#m", "Edor" or "D exp _e ^f".

    Raises `TuneError` for a key that is not understood.
    """
    altered: dict[str, int] = {}
    found = _KEY.fullmatch(key) if len(key) <= _MAX_KEY else None
    if not found:
        raise TuneError(Reason.UNREADABLE, f"key {key[:20]!r}")
    if found["pipes"]:
        altered = {"F": 1, "C": 1}
    elif found["tonic"] and not found["exp"]:
        fifths = _FIFTHS[found["tonic"]] + {"": 0, "#": 7, "b": -7}[found["sign"]]
        fifths += _FIFTHS_OF_MODE[(found["mode"] or "").lower()]
        order = _ORDER_OF_SHARPS if fifths > 0 else _ORDER_OF_SHARPS[::-1]
        for place in range(abs(fifths)):
            letter = order[place % 7]
            altered[letter] = altered.get(letter, 0) + (1 if fifths > 0 else -1)
    for sign, letter in re.findall(r"(\^{1,2}|_{1,2}|=)([A-Ga-g])\b", re.sub(_KEY_VALUE, "", found["rest"])):
        altered[letter.upper()] = _ALTERATION[sign]
    return altered


@dataclass
class _Reader:
    """The state of reading a tune: accidentals of the bar, the open tuplet, broken rhythm and tie."""

    metre: str
    unit: Fraction  # in quarters
    signature: dict[str, int]
    items: list[Sound | BarLine] = field(default_factory=list)
    parts: str = ""  # labels of parts (P:) in the music
    _in_bar: dict[tuple[str, int], int] = field(default_factory=dict)  # (letter, octave) -> alteration
    _tied: tuple[str, int, int] | None = None  # letter, octave, alteration of the note tied onwards
    _tuplet: Fraction = Fraction(1)
    _tuplet_left: int = 0
    _broken: Fraction = Fraction(1)  # factor of the next length
    _voice: str | None = None

    def set_field(self, name: str, value: str) -> None:
        if name == "K":
            self.signature, self._in_bar = signature_of(value), {}
        elif name == "L":
            self.unit = _unit_of(value, self.metre)
        elif name == "M" and metre_of(value) != self.metre:
            raise TuneError(Reason.METRE_CHANGES, f"{self.metre} to {value[:20]}")
        elif name == "V":
            voice = value.split()[0] if value.split() else ""
            if self._voice not in (None, voice):
                raise TuneError(Reason.SEVERAL_VOICES, f"{self._voice[:20]} and {voice[:20]}")
            self._voice = voice
        elif name == "P":
            self.parts += value

    def read(self, line: str) -> None:
        for found in _TOKENS.finditer(line):
            if len(self.items) > MAX_ITEMS:
                raise TuneError(Reason.TOO_MANY_NOTES)
            if found["field"]:
                self.set_field(found["field"], found["value"].strip())
            elif found["bar"] or found["endings"]:
                self._bar_line(found["bar"] or "", found["bar_endings"] or found["endings"] or "")
            elif found["tuplet"]:
                notes = int(found["tuplet"])
                time = int(found["time"] or _NOTES_OF_TUPLET.get(notes, 0))
                if not notes or not time:
                    raise TuneError(Reason.UNREADABLE, f"tuplet {found[0]!r}")
                self._tuplet, self._tuplet_left = Fraction(time, notes), int(found["count"] or notes)
            elif found["note"] or found["chord"]:
                self._sound(found)
            elif found.lastgroup == "bars_of_rest":
                bars = int(found["bars_of_rest"][:3] or 1)
                self.items.append(Sound(None, bars * 4 * Fraction(self.metre or "1")))
            elif found["tie"]:
                if self.items and isinstance(self.items[-1], Sound) and self.items[-1].pitch is not None:
                    self.items[-1] = replace(self.items[-1], tied=True)
                    self._tied = self._last
            elif found["broken"]:
                self._break_rhythm(found["broken"])
            elif found["overlay"]:
                raise TuneError(Reason.SEVERAL_VOICES, "voices within a bar (&)")
            elif found["unknown"]:
                raise TuneError(Reason.UNREADABLE, f"{found['unknown']!r} in its music")

    def _bar_line(self, text: str, endings: str) -> None:
        ranges = re.findall(r"(\d)(?:-(\d))?", endings)
        turns = [turn for first, last in ranges for turn in range(int(first), int(last or first) + 1)]
        is_double = "||" in text or "]" in text or "[" in text
        repeats = len(text) - len(text.lstrip(":")) if "|" in text else int(text.startswith(":"))  # "::|" is twice
        self.items.append(BarLine(repeats, text.endswith(":"), is_double, tuple(turns)))
        self._in_bar = {}

    def _sound(self, found: re.Match[str]) -> None:
        """A note, a rest, or the highest note of a chord."""
        notes = re.findall(_NOTE, found["chord"] or found["note"])
        if not notes:
            raise TuneError(Reason.UNREADABLE, f"{found[0][:20]!r} in its music")
        length = _factor(notes[0][3]) * self.unit * self._broken
        if found["chord"]:
            length *= _factor(found["chord_length"])
        if self._tuplet_left:
            length *= self._tuplet
            self._tuplet_left -= 1
        self._broken = Fraction(1)
        pitches = [pitch for pitch in (self._pitch(*note[:3]) for note in notes) if pitch is not None]
        self.items.append(Sound(max(pitches, default=None), length, tied="-" in (found["chord"] or "")))

    def _pitch(self, sign: str, letter: str, marks: str) -> int | None:
        if letter in "zx":
            self._tied = None
            return None
        name = letter.upper()
        octave = letter.islower() + marks.count("'") - marks.count(",")
        if sign:
            self._in_bar[name, octave] = _ALTERATION[sign]
        elif self._tied and self._tied[:2] == (name, octave):
            self._in_bar.setdefault((name, octave), self._tied[2])
        altered = self._in_bar.get((name, octave), self.signature.get(name, 0))
        self._last = (name, octave, altered)
        self._tied = None
        return _OCTAVE_OF_CAPITALS + 12 * octave + _SEMITONES[name] + altered

    def _break_rhythm(self, signs: str) -> None:
        if not self.items or not isinstance(self.items[-1], Sound) or self._broken != 1:
            raise TuneError(Reason.UNREADABLE, f"{signs[:5]!r} without a note before it")
        short = Fraction(1, 2 ** min(len(signs), 5))
        here, self._broken = (2 - short, short) if signs[0] == ">" else (short, 2 - short)
        self.items[-1] = replace(self.items[-1], length=self.items[-1].length * here)


def _factor(text: str) -> Fraction:
    """A length as in "3", "/", "//", "3/2", in unit lengths."""
    above, slashes, below = re.fullmatch(r"(\d*)(/*)(\d*)", text).groups()  # type: ignore[union-attr]
    under = int(below) if below else 2 ** len(slashes)
    over = int(above or 1)
    if not 0 < over <= _MAX_FACTOR or not 0 < under <= _MAX_FACTOR:
        raise TuneError(Reason.UNREADABLE, f"length {text[:20]!r}")
    return Fraction(over, under)
