"""Where tunes come from: the sets that have a name, the corpus inside the music21 package, files of one's own."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from common.errors import UserError
from explainable.melodies.abc import read_abc
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.musicxml import read_musicxml
from explainable.melodies.symbtr import read_symbtr
from explainable.melodies.tunes import UNREADABLE, Dropped, Tune

# Of a performance, onsets up to a twelfth of a beat away belong to a tick; a score is exact.
PERFORMED_TOLERANCE = Fraction(1, 12)


@dataclass(frozen=True)
class NamedSet:
    """A data set of the study, or what stands in for it. `corpus`: patterns of files inside the music21 corpus."""

    about: str
    corpus: tuple[str, ...] = ()
    exclude: str = r"(?!)"  # regular expression of the file stems left out
    metres: tuple[str, ...] = ("4/4",)


NAMED_SETS = {
    "irish_folk": NamedSet(
        "O'Neill's Music of Ireland and Ryan's Mammoth Collection", ("oneills1850/*.abc", "ryansMammoth/*.abc")
    ),
    # The exclusions: a prelude, and chorales that are there in another scoring as well.
    "bach": NamedSet("the highest voice of Bach's chorales", ("bach/bwv*.mxl",), exclude="bwv846|.*-(inst|s)$"),
    "turkish_makam": NamedSet("a table of SymbTr's pieces"),
    # The index of POP909 counts most songs in two; pairs of bars make up the measure that is heard.
    "pop": NamedSet("the vocal melodies of POP909 as MIDI files", metres=("4/4", "2/4")),
}


@dataclass(frozen=True)
class Reading:
    """How files are read. `metres` are those accepted (see `explainable.melodies.tunes.require_metre`)."""

    metres: tuple[str, ...] = ("4/4",)
    repeats: bool = True
    guess_melody: bool = False


def named_set(name: str) -> NamedSet:
    """Raises `UserError` for an unknown name."""
    if name not in NAMED_SETS:
        raise UserError(f"unknown data set {name!r}; known are {', '.join(NAMED_SETS)}")
    return NAMED_SETS[name]


def builtin_files(name: str) -> list[Path]:
    """The files of a named set inside the installed music21. Raises `UserError` where there are none."""
    wanted = named_set(name)
    if not wanted.corpus:
        own = ", ".join(own for own, told in NAMED_SETS.items() if told.corpus)
        raise UserError(
            f"{name}: {wanted.about} come with no package (only {own} do); give a folder or file with --input"
        )
    spec = find_spec("music21")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(f"{name} comes with the package music21: pip install music21, or give --input")
    corpus = Path(spec.submodule_search_locations[0]) / "corpus"
    files = [path for pattern in wanted.corpus for path in sorted(corpus.glob(pattern))]
    files = [path for path in files if not re.fullmatch(wanted.exclude, path.stem)]
    if not files:
        raise UserError(f"{name}: music21 {version('music21')} has no such files in {corpus}; give --input")
    return files


def own_files(place: Path) -> list[Path]:
    """The ABC, MIDI, MusicXML (.mxl) and .tsv files of a folder and all below it, or the one file.

    Raises `UserError` where there is none.
    """
    if not place.exists():
        raise UserError(f"{place}: no such file or folder")
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    files = [path for path in files if path.suffix.lower() in _READERS]
    if not files:
        raise UserError(f"{place}: no file of melodies; known are {', '.join(_READERS)}")
    return files


def read_tunes(files: Sequence[Path], reading: Reading) -> Iterator[tuple[Path, Tune | Dropped]]:
    """Every tune of the files, or the reason why it is none; so also where the system does not let a file be read."""
    for path in files:
        try:
            for found in _READERS[path.suffix.lower()](path, reading):
                yield path, found
        except OSError as error:
            yield path, Dropped(path.stem, UNREADABLE, error.strerror or type(error).__name__)


def is_performed(path: Path) -> bool:
    """Whether the onsets of a file need not lie on the grid exactly."""
    return path.suffix.lower() in (".mid", ".midi")


def _abc(path: Path, reading: Reading) -> Iterator[Tune | Dropped]:
    return read_abc(path, metres=reading.metres, repeats=reading.repeats)


def _midi(path: Path, reading: Reading) -> Iterator[Tune | Dropped]:
    yield read_midi_melody(path, metres=reading.metres, guess_melody=reading.guess_melody)


def _table(path: Path, reading: Reading) -> Iterator[Tune | Dropped]:
    return read_symbtr(path, metres=reading.metres)


def _score(path: Path, reading: Reading) -> Iterator[Tune | Dropped]:
    yield read_musicxml(path, metres=reading.metres, repeats=reading.repeats)


_READERS: dict[str, Callable[[Path, Reading], Iterator[Tune | Dropped]]] = {
    ".abc": _abc,
    ".mid": _midi,
    ".midi": _midi,
    ".mxl": _score,
    ".tsv": _table,
}


def drops_tune_off_grid(path: Path) -> bool:
    """Whether, unless told otherwise, one onset off the grid drops the whole tune, as published for ABC tunes."""
    return path.suffix.lower() in (".abc", ".mxl")
