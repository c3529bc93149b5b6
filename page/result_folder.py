"""The files that the evaluations leave in one folder: their tables, and what these say of how they were made."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import pandas as pd

from common.files import hash_of_file
from common.options import as_plain, flag_of
from evaluation.samples.clips import ClipOptions
from evaluation.tables import Column, ResultTable
from page.listening import data_uri
from page.tables import ShownTable, show_table

# Facts that rows carry, as the page names them; with those that stand beside another, in brackets.
FACTS = {
    "split": "split",
    "seed": "seed",
    "threshold": "probability above which a cell sounds",
    "min_note_frames": "shortest note kept, in frames",
    "min_notes": "fewest notes of a clip that is not empty",
    "empty": "empty clips are",
    "feedback": "fed back to the decoder of frames",
    "temperature": "temperature of the decoder of notes",
    "nucleus": "nucleus of the decoder of notes",
    "embedder": "embedder",
    "synth": "synthesiser",
    "soundfont": "SoundFont",
    "classifier": "genre classifier",
    "labels": "labels in training",
    "label_sources": "sources of the labels, and files that each decides",
    "label_agreement": "share of the files with a second source whose label that source confirms",
    "checkpoint": "weights",
    "trained_on": "songs trained on",
    "store_content": "store",
}
BESIDE = {"soundfont": "soundfont_sha256", "checkpoint": "checkpoint_sha256"}
# Those that a result must share with the clips on the page to be about the same thing.
SHARED = ("store_content", "seed", "threshold", "min_note_frames")


@dataclass(frozen=True)
class Picture:
    """A PNG file as a data URI."""

    source: str
    alt: str
    uri: str
    kind: str = "picture"


@dataclass(frozen=True)
class AbsentFile:
    """A file that is not there, and the command that makes it."""

    name: str
    command: str
    kind: str = "missing"


Part = ShownTable | Picture | AbsentFile


@dataclass(frozen=True)
class ResultFolder:
    """The folder of results that `options` name, and what the page is about: genres, and T of its clips.

    `condition` is what the genres are: genre, composer, mood, ... `expected` are facts of the page's clips. `facts`
    tell how the tables read so far were made: the files by value, by fact.
    """

    options: ClipOptions
    genres: list[str]
    condition: str
    seq_lens: list[int]
    expected: dict[str, Any]
    facts: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def read(self, table: ResultTable, seq_len: int | None = None) -> pd.DataFrame | None:
        """A table, or its rows of one T; None where it is not there. Raises `UserError` where it is damaged."""
        frame = table.read(self.options.metrics, seq_len)
        if frame is not None:
            self._note_facts(table.path(self.options.metrics, seq_len).name, frame)
        return frame

    def table(
        self, caption: str, name: str, frame: pd.DataFrame, columns: Sequence[Column], notes: Sequence[str] = ()
    ) -> ShownTable:
        """Rows of the file `name` to show; with `notes`, it remarks on how they were made and on empty cells."""
        return show_table(
            caption, name, frame, columns, [*notes, *self._differences(frame), *_remarks(frame)], self.condition
        )

    def picture(self, name: str, alt: str, command: str) -> Part:
        """A PNG file, or what is missing."""
        path = self.options.metrics / name
        if not path.exists():
            return AbsentFile(name, command)
        return Picture(name, alt, data_uri("image/png", path.read_bytes()))

    def command(self, program: str, *names: str, more: str = "") -> str:
        """The command line of a program, with those of the options called `names` that are not the default."""
        given, words = as_plain(self.options), ["python", *program.split()]
        for option in fields(self.options):
            if option.name in names and getattr(self.options, option.name) != option.default:
                value = given[option.name]
                words += [flag_of(option), ",".join(map(str, value)) if isinstance(value, list) else str(value)]
        return f"{shlex.join(words)} {more}".rstrip()

    def hash_of_weights(self, name: str) -> str:
        """Of the file called `name` as it is now."""
        other = self.options.checkpoint
        path = other if other and other.name == name else self.options.checkpoints[0] / name
        return hash_of_file(path) if path.exists() else "not there"

    def _note_facts(self, name: str, frame: pd.DataFrame) -> None:
        for fact in FACTS.keys() & set(frame):
            columns = [fact, *([BESIDE[fact]] if BESIDE.get(fact) in frame else [])]
            for value, *beside in frame[columns].dropna().drop_duplicates().itertuples(index=False):
                told = f"{_plain(value)} ({beside[0]})" if beside else _plain(value)
                files = self.facts.setdefault(fact, {}).setdefault(told, [])
                if name not in files:
                    files.append(name)

    def _differences(self, frame: pd.DataFrame) -> list[str]:
        """A sentence where rows were made otherwise than the page's clips, or with other weights than are there now."""
        found = [
            f"{FACTS[fact]} {_plain(was)}, here {_plain(here)}"
            for fact, here in self.expected.items()
            if fact in frame
            for was in frame[fact].unique()
            if was != here
        ]
        if "checkpoint" in frame:
            weights = frame[["checkpoint", "checkpoint_sha256"]].dropna().drop_duplicates()
            for name, was in weights.itertuples(index=False):
                here = self.hash_of_weights(name)
                found += [f"{name} {was}, here {here}"] if was != here else []
        return [f"Not made like the clips on this page ({'; '.join(found)}): make it again."] if found else []


def _remarks(frame: pd.DataFrame) -> list[str]:
    """Each note of the rows once, with the rows that have it."""
    if "note" not in frame:
        return []
    notes = frame.dropna(subset=["note"])
    each = notes.assign(note=notes["note"].str.split("; ")).explode("note")
    remarks = []
    for note, rows in each.groupby("note", sort=False):
        where = [f"{row.genre_name} at T = {row.T}" for row in rows.itertuples()]
        remarks.append(f"{note[0].upper()}{note[1:]} ({', '.join(where) if len(where) < len(frame) else 'all rows'}).")
    return remarks


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
