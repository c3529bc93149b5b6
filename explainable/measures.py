"""A data set of measures, on disk.

    tokens.npy       uint8 (N, length)   rows of tokens, tune after tune, each tune once and in its range of pitches
    attributes.npy   float32 (N, 4)      see `explainable.attributes`; the same for every transposition
    tune.npy         int32 (N,)          the line of tunes.csv, from 0
    number.npy       int32 (N,)          the measure of the tune that the row begins with, from 0
    tunes.csv        name, title, split, how far it was moved, how far it may be, and its rows
    dropped.csv      tune, reason, detail of every tune that did not enter
    measures.json    form and vocabulary, settings, counts, hashes of the other files and of the content

The transpositions for training are no part of the files: `split("train")` makes them, as a pitch is one token more for
every semitone.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.errors import UserError, damage_told
from common.files import hash_of_file, locked_folder, write_text, written_atomically
from explainable.attributes import ATTRIBUTES
from explainable.melodies.tune_splits import SPLITS
from explainable.tokens import TokenForm

FORMAT_VERSION = 1
INFO, TUNES, DROPPED = "measures.json", "tunes.csv", "dropped.csv"
ARRAYS = {"tokens": np.uint8, "attributes": np.float32, "tune": np.int32, "number": np.int32}
DATA_FILES = (*(f"{name}.npy" for name in ARRAYS), TUNES, DROPPED)
TUNE_COLUMNS = ("name", "title", "split", "shift", "lowest_shift", "highest_shift", "rows")
DROPPED_COLUMNS = ("tune", "reason", "detail")
_HASH_DIGITS = 64
_REMEDY = "make it again with python -m programs.study_prepare"
_CONTENT_HASH_DIGITS = 16


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The rows of a split.

    `tokens` uint8 (N, length), `attributes` float32 (N, 4), `tune` int32 (N,); `shift` int8 (N,): semitones by which a
    row is transposed.
    """

    tokens: np.ndarray
    attributes: np.ndarray
    tune: np.ndarray
    shift: np.ndarray

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, eq=False)
class MeasureSet:
    """An opened data set; the arrays are in memory."""

    folder: Path
    info: dict[str, Any]
    form: TokenForm
    tunes: pd.DataFrame
    tokens: np.ndarray
    attributes: np.ndarray
    tune: np.ndarray
    number: np.ndarray

    @classmethod
    def open(cls, folder: Path | str) -> "MeasureSet":
        """Open the data set in `folder`. Raises `UserError` where there is none, or one that is damaged."""
        folder = Path(folder)
        if not (folder / INFO).is_file():
            raise UserError(f"{folder}: no measures there; make them with python -m programs.study_prepare")
        with damage_told(folder, INFO, _REMEDY):
            info = json.loads((folder / INFO).read_text(encoding="utf-8"))
            if info["format_version"] != FORMAT_VERSION:
                raise ValueError(f"format {info['format_version']}, but this code reads {FORMAT_VERSION}")
            for name in DATA_FILES:
                if hash_of_file(folder / name, _HASH_DIGITS) != info["files"][name]:
                    raise ValueError(f"{name} has changed")
            if content_hash(info) != info["content_hash"] or tuple(info["attributes"]) != ATTRIBUTES:
                raise ValueError(f"{INFO} has changed")
            arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
            tunes = pd.read_csv(folder / TUNES, dtype={"name": str, "title": str}, keep_default_na=False)
            return cls(folder, info, TokenForm.from_plain(info["form"]), tunes, **arrays)

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def content_hash(self) -> str:
        """Identifies rows, tunes, splits and settings: the same for the same data on any machine."""
        return self.info["content_hash"]

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, int64 (n,), ascending. Raises `UserError` for an unknown split."""
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}; known are {', '.join(SPLITS)}")
        return np.flatnonzero((self.tunes["split"] == split).to_numpy()[self.tune])

    def split(self, split: str, *, transposed: bool | None = None) -> SplitRows:
        """The rows of a split; with `transposed`, each in every transposition that its tune has, from low to high.

        Without `transposed`, that is so for "train" if the set was made with transpositions, and for no other split.
        """
        rows = self.rows(split)
        if transposed is None:
            transposed = split == "train" and self.info["settings"]["transpose"]
        shift = np.zeros(len(rows), np.int8)
        if transposed:
            lowest = self.tunes["lowest_shift"].to_numpy()[self.tune[rows]]
            counts = self.tunes["highest_shift"].to_numpy()[self.tune[rows]] - lowest + 1
            before = np.cumsum(counts) - counts
            shift = (np.arange(counts.sum()) + np.repeat(lowest - before, counts)).astype(np.int8)
            rows = np.repeat(rows, counts)
        return SplitRows(transpose(self.tokens[rows], shift, self.form), self.attributes[rows], self.tune[rows], shift)

    def hold_share(self, split: str | None = None) -> float:
        """Share of the commonest token, hold: what a model reaches that says nothing else."""
        rows = self.rows(split) if split else slice(None)
        return float((self.tokens[rows] == self.form.hold).mean())


def transpose(tokens: np.ndarray, shift: np.ndarray, form: TokenForm) -> np.ndarray:
    """Rows of tokens (N, length), each moved by its `shift` (N,) in semitones. The pitches must stay in the range."""
    moved = tokens + np.where(tokens < form.rest, shift[:, None], 0)
    return moved.astype(tokens.dtype)


def vocabulary(form: TokenForm) -> list[str]:
    """What each token means: a MIDI number, or rest, hold, padding."""
    pitches = [str(pitch) for pitch in range(form.lowest, form.highest + 1)]
    return [*pitches, "rest", "hold", *(["padding"] if form.has_padding else [])]


def write_measures(
    folder: Path, info: dict[str, Any], arrays: dict[str, np.ndarray], tunes: pd.DataFrame, dropped: pd.DataFrame
) -> MeasureSet:
    """Write a data set to `folder`: whole, or not at all; an earlier one there is replaced.

    `info` needs name, form, settings and counts. Raises `UserError` where the folder holds something else.
    """
    _require_place(folder)
    with locked_folder(folder, "another process is making these measures; wait until it has ended"):
        unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name[:40]}.unfinished-", dir=folder.resolve().parent))
        try:
            for name, dtype in ARRAYS.items():
                with written_atomically(unfinished / f"{name}.npy") as file:
                    np.save(file, arrays[name].astype(dtype), allow_pickle=False)
            for name, table in ((TUNES, tunes), (DROPPED, dropped)):
                write_text(unfinished / name, table.to_csv(index=False, lineterminator="\n"))
            files = {name: hash_of_file(unfinished / name, _HASH_DIGITS) for name in DATA_FILES}
            whole = {"format_version": FORMAT_VERSION, "attributes": list(ATTRIBUTES), **info, "files": files}
            whole["content_hash"] = content_hash(whole)
            write_text(unfinished / INFO, json.dumps(whole, indent=2, ensure_ascii=False) + "\n")
            _move_into_place(unfinished, folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
    return MeasureSet.open(folder)


def content_hash(info: dict[str, Any]) -> str:
    """Hash of what a data set holds, from its measures.json; the list of dropped tunes is no part of it."""
    facts = [info[key] for key in ("format_version", "name", "form", "attributes", "settings")]
    hashes = {name: told for name, told in info["files"].items() if name != DROPPED}
    return sha256(json.dumps([facts, hashes], sort_keys=True).encode()).hexdigest()[:_CONTENT_HASH_DIGITS]


def _require_place(folder: Path) -> None:
    if any(parent.is_file() for parent in (folder, *folder.parents)):
        raise UserError(f"{folder}: a file is in the way; name another folder", "out")
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if held - {*DATA_FILES, INFO}:
        raise UserError(f"{folder}: not empty and no data set of measures; name another folder", "out")


def _move_into_place(complete: Path, folder: Path) -> None:
    """Replace file by file. Without measures.json `folder` is no data set; the new one comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / INFO).unlink(missing_ok=True)
    for name in (*DATA_FILES, INFO):
        (complete / name).replace(folder / name)
