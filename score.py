"""Score MIDI files with the CVAE of preset large: bits a second and a note, genre, most surprising notes.

    python score.py song.mid                                        # tables and a picture in scores/
    python score.py midi --output midi_scores                       # all files of a folder
    python score.py song.mid --other another.mid --samples 16

Writes OUTPUT/scores.csv, a row for each file and genre, genre_id -1 for all; curves.csv, a row for each second;
notes.csv, a row for each note, the most surprising first; and a picture of each file. A file that cannot be read gets a
line, and the others are scored. docs/scoring.md explains the numbers.
"""

import sys
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING

from common.errors import UserError, run_command
from common.files import check_outputs, files_below
from common.options import option, parse_options
from common.text import printable, short_name
from evaluation.options import ScoringOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    from evaluation.metrics.song_scores import Scoring, SongScore

LEGEND = """\
T = {T}, {checkpoint}. bits: -log2 p(X | y), z included; all: the mixture of the {condition} names. Bits/s of two models
of frames, fitted to the file itself: previous frame, pitch mean. given its z: -log2 p(X | z, y); another song's z: that
of the next file, or of --other. Probabilities are calibrated for released/large at T = 128 and up to 4 windows a song;
for others fit --divisor and --growth with programs.genre_likelihood."""


@dataclass(frozen=True)
class Options(ScoringOptions):
    """What to score, and how."""

    files: tuple[Path, ...] = option((), "MIDI files, and folders of them", flag="FILE")
    output: Path = option(Path("scores"), "folder for tables and pictures")
    notes: int = option(10, "most surprising notes of each file to print and to mark", minimum=0)
    other: Path | None = option(None, "MIDI file for the baseline of another song's z (default: the next file)")


def score(options: Options) -> "SongScore":
    """Score the files, print and write the tables and pictures; returns the tables, with the column `file`.

    Raises `UserError` if no file can be read, `CheckpointError` for unusable weights.
    """
    import pandas as pd

    from common.device import prepare_process
    from data.song_windows import read_song_roll
    from evaluation.metrics.song_scores import CURVES_TABLE, NOTES_TABLE, SCORES_TABLE, SongScore, open_scoring
    from evaluation.samples.evaluated import weights_facts
    from evaluation.tables import format_table
    from figures.score_sheet import save_score_sheet

    scoring = open_scoring(options)
    trained = scoring.trained
    prepare_process(scoring.device)
    songs = _read(options, trained.frames_per_second)
    other = read_song_roll(options.other, trained.frames_per_second) if options.other else None
    tables, pictures = (SCORES_TABLE, CURVES_TABLE, NOTES_TABLE), _pictures(options.output, list(songs))
    check_outputs([*(table.path(options.output) for table in tables), *pictures], songs)
    facts = {"T": trained.seq_len, "seed": scoring.seed, "samples": scoring.samples, **scoring.tempering._asdict()}
    facts |= {"condition": trained.condition, **weights_facts(trained)}
    scores: list[SongScore] = []
    try:
        for (path, found), picture in zip(_scored(songs, scoring, other), pictures, strict=True):
            scores.append(found._replace(genres=found.genres.assign(**facts)))
            print(printable(str(path)))
            for table, rows in ((SCORES_TABLE, scores[-1].genres), (NOTES_TABLE, found.notes.head(options.notes))):
                if len(rows):
                    shown = [column for column in table.columns if column.key != "file"]
                    print(format_table(rows, shown), "", sep="\n", flush=True)
            title = f"{printable(path.name)}: {found.genre}"
            save_score_sheet(picture, found.curve, found.notes, trained.genres, title=title, marked=options.notes)
    finally:  # those of the files before a signal, too
        if scores:
            together = SongScore(*(pd.concat(frames, ignore_index=True) for frames in zip(*scores, strict=True)))
            print(LEGEND.format(**together.genres.iloc[-1]))
            for table, frame in zip(tables, together, strict=True):
                print(*table.write(frame[["file", *frame.columns.drop("file")]], options.output), sep="\n")
    print(f"{options.output}: a picture of each file")
    return together


def _scored(
    songs: "dict[Path, np.ndarray]", scoring: "Scoring", other: "np.ndarray | None"
) -> "Iterator[tuple[Path, SongScore]]":
    """The scores of each file, with the column `file`; the other song is `other` or the next file."""
    from evaluation.metrics.song_scores import SongScore, score_song

    rolls = list(songs.values())
    for number, path in enumerate(songs):
        following = rolls[(number + 1) % len(rolls)] if len(rolls) > 1 else None
        found = score_song(scoring, rolls[number], following if other is None else other)
        yield path, SongScore(*(frame.assign(file=printable(str(path))) for frame in found))


def _read(options: Options, frames_per_second: int) -> "dict[Path, np.ndarray]":
    """The piano rolls of the files; prints a line for each that cannot be read. Raises `UserError` if none can."""
    from data.song_windows import read_song_roll

    songs = {}
    for place in dict.fromkeys(options.files):
        paths = [place / name for name in files_below(place, ".mid", ".midi")] if place.is_dir() else [place]
        for path in paths:
            try:
                songs[path] = read_song_roll(path, frames_per_second)
            except UserError as error:
                print(f"left out: {printable(str(error))}", file=sys.stderr)
    if not songs:
        raise UserError("no MIDI file to score; name files or folders of them")
    return songs


def _pictures(folder: Path, paths: list[Path]) -> list[Path]:
    """A picture for each file, with its name; the second of a name has _2 after it."""
    names: list[str] = []
    for stem in (short_name(path.stem) for path in paths):
        numbered = (f"{stem}_{number}" for number in count(2))
        names.append(next(name for name in chain([stem], numbered) if name not in names))
    return [folder / f"{name}.png" for name in names]


if __name__ == "__main__":
    run_command(lambda: score(parse_options(Options, __doc__)), CheckpointError)
