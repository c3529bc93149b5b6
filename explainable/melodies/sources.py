"""Sources of tunes: named sets, some of them in the corpus of the music21 package, and the user's files."""

import re
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

from common.errors import UserError, reason_of
from common.text import printable
from data.builtin import corpus_folder
from explainable.melodies.abc import read_abc
from explainable.melodies.midi_melody import read_midi_melody
from explainable.melodies.musicxml import read_musicxml
from explainable.melodies.named_sets import NAMED_SETS, named_set
from explainable.melodies.symbtr import read_symbtr
from explainable.melodies.tunes import Dropped, Reading, Reason, Tune

_SCORES = (".mxl", ".musicxml", ".xml")
_PERFORMANCES = (".mid", ".midi")
_READERS: dict[str, Callable[[Path, Reading], Iterator[Tune | Dropped]]] = {
    ".abc": read_abc,
    **dict.fromkeys(_PERFORMANCES, read_midi_melody),
    **dict.fromkeys(_SCORES, read_musicxml),
    ".tsv": read_symbtr,
}


def builtin_files(name: str) -> list[Path]:
    """The files of a named set in the installed music21. Raises `UserError` if there are none."""
    wanted = named_set(name)
    if not wanted.corpus:
        available = ", ".join(name for name, known in NAMED_SETS.items() if known.corpus)
        raise UserError(f"{name}: no package has {wanted.about} (only {available}); give a folder or file with --input")
    corpus = corpus_folder()
    files = [path for pattern in wanted.corpus for path in sorted(corpus.glob(pattern))]
    files = [path for path in files if not re.fullmatch(wanted.exclude, path.stem)]
    if not files:
        raise UserError(f"{name}: music21 {version('music21')} has no such files in {corpus}; give --input")
    return files


def own_files(place: Path) -> list[Path]:
    """The files of melodies in a folder and all below it, or the one file. Raises `UserError` if there is none."""
    if not place.exists():
        raise UserError(f"{place}: no such file or folder")
    files = [place] if place.is_file() else sorted(path for path in place.rglob("*") if path.is_file())
    files = [path for path in files if path.suffix.lower() in _READERS]
    if not files:
        raise UserError(f"{place}: no file of melodies; known are {', '.join(_READERS)}")
    return files


def read_tunes(files: Sequence[Path], reading: Reading) -> Iterator[tuple[Path, Tune | Dropped]]:
    """Every tune of the files, or the reason why it is dropped. A file that cannot be read is one dropped tune."""
    for path in files:
        try:
            for found in _READERS[path.suffix.lower()](path, reading):
                yield path, found
        except Exception as error:  # files of any origin; the others go on
            yield path, Dropped(printable(path.stem), Reason.UNREADABLE, reason_of(error))


def is_performed(path: Path) -> bool:
    """Whether onsets may be off the grid by a tolerance."""
    return path.suffix.lower() in _PERFORMANCES


def drops_tune_off_grid(path: Path) -> bool:
    """Whether, by default, one onset off the grid drops the whole tune, as published for ABC tunes."""
    return path.suffix.lower() in (".abc", *_SCORES)
