"""The control experiment: results of models trained with genres as given beside those with genres at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from common.errors import UserError
from data.store import LABELS
from evaluation.metrics.elbo import ELBO_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE
from evaluation.tables import BASELINE, LABEL, Column, ResultTable

LABELS_TABLE = ResultTable(
    "labels.csv",
    "-m programs.compare_labels",
    (
        Column("measure", "measure", LABEL),
        Column("origin", "made by", LABEL),
        Column("genre_name", "{condition}", LABEL),
        Column("given", "labels as given", alone=True),
        Column("shuffled", "labels at random", alone=True),
        Column("difference", "difference", alone=True),
        Column("limit", "real clips", BASELINE, alone=True),
        Column("trivial", "trivial", BASELINE, alone=True),
    ),
)
_SHARED = ("split", "seed", "store_content", "condition")
_ROW = ["embedder", "origin", "genre_id"]  # what tells the rows of one T apart


@dataclass(frozen=True)
class Measure:
    """A figure of a table to compare; `limit` and `trivial` are columns of what real music and no model reach."""

    table: ResultTable
    name: str
    column: str
    limit: str | None = None
    trivial: str | None = None


MEASURES = (
    Measure(FAD_TABLE, "FAD", "FAD", "FAD_floor"),
    Measure(FAD_TABLE, "KAD", "KAD", "KAD_floor"),
    Measure(ELBO_TABLE, "ELBO (report)", "ELBO_mean"),
    Measure(ELBO_TABLE, "KL, nats", "KL_Div_mean"),
    Measure(ELBO_TABLE, "bits per cell", "bits_per_cell", trivial="bits_per_cell_pitch_mean"),
    Measure(GENRE_TABLE, "accuracy", "accuracy_generated", "accuracy_real", "chance"),
    Measure(GENRE_TABLE, "of sounding clips", "accuracy_sounding", "accuracy_real", "chance"),
    Measure(GENRE_TABLE, "inception score", "inception_generated", "inception_real"),
)


@dataclass(frozen=True)
class AbsentTable:
    """Rows of one T that are not there: of which table, and of weights trained with which labels."""

    table: ResultTable
    seq_len: int
    labels: str


class Comparison(NamedTuple):
    """`frame`: a row for each T, measure and genre. `absent`: what could not be compared."""

    frame: pd.DataFrame
    absent: list[AbsentTable]


def compare_tables(folders: Mapping[str, Path], seq_lens: Sequence[int]) -> Comparison:
    """Read the tables in the folders of both sides, "given" and "shuffled", and set them side by side.

    Raises `UserError` where two rows were not made alike, a side has rows of the other, or its tables are of different
    weights.
    """
    parts, absent, hashes = [], [], {}
    for seq_len in seq_lens:
        for table in dict.fromkeys(measure.table for measure in MEASURES):
            sides = {labels: table.read(folders[labels], seq_len) for labels in LABELS}
            absent += [AbsentTable(table, seq_len, labels) for labels in LABELS if sides[labels] is None]
            for labels, frame in sides.items():
                if frame is not None:
                    _check_weights(table.path(folders[labels], seq_len), labels, frame, hashes)
            if all(frame is not None for frame in sides.values()):
                parts += _compare(table, [table.path(folders[labels], seq_len) for labels in LABELS], sides)
    return Comparison(pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(), absent)


def _check_weights(path: Path, labels: str, frame: pd.DataFrame, hashes: dict[tuple[str, ...], str]) -> None:
    """All rows are of weights trained with `labels`, and weights of one name are the same in all tables of the side."""
    for row in frame.itertuples():
        if row.labels != labels:
            raise UserError(f"{path}: its weights were trained with {row.labels} labels, not {labels}; make it again")
        known = hashes.setdefault((labels, row.T, row.checkpoint), row.checkpoint_sha256)
        if known != row.checkpoint_sha256:
            raise UserError(f"{path}: {row.checkpoint} is another than in the tables beside it; make them again")


def _compare(table: ResultTable, paths: list[Path], sides: Mapping[str, pd.DataFrame]) -> list[pd.DataFrame]:
    """The rows of a table at one T, genre by genre for each measure."""
    given, shuffled = (sides[labels].assign(embedder=sides[labels].get("embedder", "")) for labels in LABELS)
    keys = given[_ROW].merge(shuffled[_ROW], how="outer", indicator=True)
    alone = keys[keys["_merge"] != "both"]
    if len(alone):
        place = " ".join(str(value) for value in alone.iloc[0][_ROW] if value != "")
        raise UserError(f"{paths[0]} and {paths[1]}: only one has the row {place}; make both alike")
    both = given.merge(shuffled, on=_ROW, suffixes=("", "_shuffled"))
    for name in table.protocol:
        given, shuffled = both[name], both[f"{name}_shuffled"]
        different = both[(given != shuffled) & ~(given.isna() & shuffled.isna())]
        if len(different):
            row = different.iloc[0]
            raise UserError(
                f"{paths[1]}: {name} is {row[f'{name}_shuffled']}, but {row[name]} in {paths[0]}; make both with the "
                "same options"
            )
    return [_rows(measure, both) for measure in MEASURES if measure.table is table]


def _rows(measure: Measure, both: pd.DataFrame) -> pd.DataFrame:
    """The rows of one measure; without genres for which neither side has a figure."""
    given, shuffled = both[measure.column], both[f"{measure.column}_shuffled"]
    names = [f"{measure.name} ({text.split()[0]})" if text else measure.name for text in both["embedder"]]
    frame = pd.DataFrame(
        {
            "T": both["T"],
            "measure": names,
            "origin": both["origin"],
            "genre_id": both["genre_id"],
            "genre_name": both["genre_name"],
            "given": given,
            "shuffled": shuffled,
            "difference": shuffled - given,
            "limit": both[measure.limit] if measure.limit else np.nan,
            "trivial": both[measure.trivial] if measure.trivial else np.nan,
            "embedder": both["embedder"],
            **{name: both[name] for name in _SHARED},
            "given_checkpoint_sha256": both["checkpoint_sha256"],
            "shuffled_checkpoint_sha256": both["checkpoint_sha256_shuffled"],
        }
    )
    return frame[given.notna() | shuffled.notna()]
