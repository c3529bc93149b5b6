"""A data set of measures, on disk.

    tokens.npy       uint8 (N, length)   rows of tokens, tune after tune, each tune once, in the range of pitches
    attributes.npy   float32 (N, 4)      see `explainable.attributes`; the same for every transposition
    tune.npy         int32 (N,)          the row of tunes.csv, from 0
    number.npy       int32 (N,)          the first measure of the row in its tune, from 0
    tunes.csv        name, title, split, shift into the range, range of further transpositions, rows
    dropped.csv      name, reason and detail of every dropped tune
    measures.json    form and vocabulary, settings, counts, hashes of the other files and of the content

Transpositions for training are not stored. `split("train")` adds them: a semitone higher is the next token.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from common.data_folder import DataFolder
from common.errors import UserError
from common.files import write_text, written_atomically
from common.splits import SPLITS
from explainable.attributes import ATTRIBUTES
from explainable.tokens import TokenForm

TUNES, DROPPED = "tunes.csv", "dropped.csv"
ARRAYS = {"tokens": np.uint8, "attributes": np.float32, "tune": np.int32, "number": np.int32}
MEASURES = DataFolder(
    name="data set of measures",
    program="python -m programs.study_prepare",
    format_version=1,
    info_file="measures.json",
    files=(*(f"{name}.npy" for name in ARRAYS), TUNES, DROPPED),
    log=DROPPED,
    hashed_facts=("name", "form", "attributes", "settings"),
)


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
        """Open the data set in `folder`. Raises `UserError` if there is none or if it is damaged."""
        folder = Path(folder)
        info = MEASURES.read_info(folder)
        MEASURES.verify(folder, info)
        with MEASURES.damage_named(folder):
            if tuple(info["attributes"]) != ATTRIBUTES:
                raise ValueError(f"{MEASURES.info_file} has changed")
            arrays = {name: np.load(folder / f"{name}.npy", allow_pickle=False) for name in ARRAYS}
            tunes = pd.read_csv(folder / TUNES, dtype={"name": str, "title": str}, keep_default_na=False)
            return cls(folder, info, TokenForm.from_plain(info["form"]), tunes, **arrays)

    @property
    def name(self) -> str:
        return self.info["name"]

    @property
    def content_hash(self) -> str:
        """Hash of rows, tunes, splits and settings: equal for equal data on any machine."""
        return self.info["content_hash"]

    def rows(self, split: str) -> np.ndarray:
        """The rows of a split, int64 (n,), ascending. Raises `UserError` for an unknown split."""
        if split not in SPLITS:
            raise UserError(f"unknown split {split!r}; known are {', '.join(SPLITS)}")
        return np.flatnonzero((self.tunes["split"] == split).to_numpy()[self.tune])

    def split(self, split: str, *, transposed: bool | None = None) -> SplitRows:
        """The rows of a split; with `transposed`, each in every transposition of its tune, from low to high.

        By default, "train" is transposed if the set was made so, and no other split is.
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
        tokens = self.tokens[rows]
        tokens = (tokens + np.where(tokens < self.form.rest, shift[:, None], 0)).astype(np.uint8)
        return SplitRows(tokens, self.attributes[rows], self.tune[rows], shift)

    def test_rows(self) -> SplitRows:
        """The test rows. Raises `UserError` for fewer than two, which have no standard deviation."""
        test = self.split("test")
        if len(test) < 2:
            remedy = "prepare more tunes with python -m programs.study_prepare"
            raise UserError(f"{self.folder}: has {len(test)} test rows, but the range of a control needs 2; {remedy}")
        return test

    def hold_share(self, split: str | None = None) -> float:
        """Share of the most frequent token, hold: the accuracy of predicting nothing else."""
        rows = self.rows(split) if split else slice(None)
        return float((self.tokens[rows] == self.form.hold).mean())


def write_measures(
    folder: Path, info: dict[str, Any], arrays: dict[str, np.ndarray], tunes: pd.DataFrame, dropped: pd.DataFrame
) -> MeasureSet:
    """Write a data set to `folder` atomically, in place of an earlier one.

    `info` needs name, form, settings and counts. Raises `UserError` if the folder holds something else.
    """
    MEASURES.require_place(folder)
    with MEASURES.locked(folder), MEASURES.being_written(folder) as unfinished:
        for name, dtype in ARRAYS.items():
            with written_atomically(unfinished / f"{name}.npy", replace=True) as file:
                np.save(file, arrays[name].astype(dtype), allow_pickle=False)
        for name, table in ((TUNES, tunes), (DROPPED, dropped)):
            write_text(unfinished / name, table.to_csv(index=False, lineterminator="\n"), replace=True)
        MEASURES.write_info(unfinished, {"attributes": list(ATTRIBUTES), **info})
    return MeasureSet.open(folder)
