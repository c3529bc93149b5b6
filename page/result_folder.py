"""The folder of result files: their tables and pictures, how they were made, and whether they are out of date."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from common.files import hash_of_file
from common.options import command_line
from evaluation.options import ClipOptions
from evaluation.tables import Column, ResultTable, note_lines
from page.listening import data_uri
from page.tables import ShownTable, show_table

# Facts in result rows, with their names on the page.
FACTS = {
    "split": "split",
    "seed": "seed",
    "threshold": "probability above which a cell sounds",
    "min_note_frames": "shortest note kept, in frames",
    "min_notes": "clips with fewer notes are empty",
    "empty": "empty clips are",
    "feedback": "feedback of the frame decoder",
    "temperature": "temperature of the note decoder",
    "nucleus": "nucleus of the note decoder",
    "group_onsets": "notes of a chord begin together",
    "genre_draws": "z drawn from the prior for each clip",
    "embedder": "embedder",
    "synth": "synthesiser",
    "soundfont": "SoundFont",
    "classifier": "genre classifier",
    "labels": "labels in training",
    "label_sources": "sources of the labels, with the files that each decided",
    "label_agreement": "share of labels that a second source confirms",
    "checkpoint": "weights",
    "trained_on": "songs trained on",
    "store_content": "store",
}
# The hash shown in brackets after a fact.
HASHES = {"soundfont": "soundfont_sha256", "checkpoint": "checkpoint_sha256"}
# Facts in which results must agree with the clips on the page.
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
    """A file that does not exist, and the command that makes it."""

    name: str
    command: str
    kind: str = "missing"


Part = ShownTable | Picture | AbsentFile


@dataclass(frozen=True)
class ResultFolder:
    """The result folder of `options`, and the genres and T of the page's clips.

    `condition`: the kind of label (genre, composer, mood, ...). `expected`: facts of the page's clips. `facts`: the
    files read so far by fact and value.
    """

    options: ClipOptions
    genres: list[str]
    condition: str
    seq_lens: list[int]
    expected: dict[str, Any]
    facts: dict[str, dict[str, list[str]]] = field(default_factory=dict)

    def read(self, table: ResultTable, seq_lens: Sequence[int]) -> pd.DataFrame | None:
        """The rows of a table: those of its files for `seq_lens`, or all of its only file. None if there are none.

        Raises `UserError` for a damaged file.
        """
        frames = []
        for seq_len in seq_lens if "{T}" in table.file else [None]:
            frame = table.read(self.options.metrics, seq_len)
            if frame is not None:
                self._note_facts(table.path(self.options.metrics, seq_len).name, frame)
                frames.append(frame)
        return pd.concat(frames, ignore_index=True) if frames else None

    def table(self, caption: str, name: str, frame: pd.DataFrame, columns: Sequence[Column]) -> ShownTable:
        """Rows of the file `name` to show, with notes on how they were made and on empty cells."""
        notes = [*self.out_of_date(frame), *(note_lines(frame) if "note" in frame else ())]
        return show_table(caption, name, frame, columns, notes, self.condition)

    def picture(self, name: str, alt: str, command: str) -> Part:
        """A PNG file, or the command that makes it."""
        path = self.options.metrics / name
        if not path.exists():
            return AbsentFile(name, command)
        return Picture(name, alt, data_uri("image/png", path.read_bytes()))

    def command(self, program: str, *names: str, more: str = "") -> str:
        """The command line of a program, with those of the options `names` that differ from the defaults."""
        return f"{command_line(program, self.options, names)} {more}".rstrip()

    @cached_property
    def _weights(self) -> set[str]:
        """Hashes of the weights that exist now."""
        paths = [path for folder in self.options.checkpoints for path in folder.glob("*.pth")]
        if self.options.checkpoint:
            paths.append(self.options.checkpoint)
        return {hash_of_file(path) for path in paths}

    def _note_facts(self, name: str, frame: pd.DataFrame) -> None:
        for fact in FACTS.keys() & set(frame):
            columns = [fact, *([HASHES[fact]] if HASHES.get(fact) in frame else [])]
            for value, *digest in frame[columns].dropna().drop_duplicates().itertuples(index=False):
                shown = f"{_plain(value)} ({digest[0]})" if digest else _plain(value)
                files = self.facts.setdefault(fact, {}).setdefault(shown, [])
                if name not in files:
                    files.append(name)

    def out_of_date(self, frame: pd.DataFrame) -> list[str]:
        """A note if rows have other facts than the page's clips, or are of weights that no longer exist."""
        found = [
            f"{FACTS[fact]} {_plain(other)}, on this page {_plain(expected)}"
            for fact, expected in self.expected.items()
            if fact in frame
            for other in frame[fact].unique()
            if other != expected
        ]
        if "checkpoint" in frame:
            weights = frame[["checkpoint", "checkpoint_sha256"]].dropna().drop_duplicates()
            found += [
                f"weights {name} ({digest}) have changed or are gone"
                for name, digest in weights.itertuples(index=False)
                if digest not in self._weights
            ]
        return [f"Out of date: {'; '.join(found)}. Make it again."] if found else []


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
