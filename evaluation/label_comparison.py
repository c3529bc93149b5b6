"""The control experiment: results of models trained with genres as given beside those with genres at random."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from common.errors import UserError
from data.store import GIVEN, LABELS, SHUFFLED
from evaluation.tables import Row

TextRow = dict[str, str]


@dataclass(frozen=True)
class Measure:
    """A figure to compare; `limit` and `trivial` are columns of what real music and no model at all reach."""

    name: str
    column: str
    limit: str = ""
    trivial: str = ""


@dataclass(frozen=True)
class ResultTable:
    """A table that `script` writes. Rows compare where they agree in `protocol`; `{T}` in `file` is the T."""

    file: str
    script: str
    protocol: tuple[str, ...]
    measures: tuple[Measure, ...]


_SHARED = ("split", "seed", "store_fingerprint")
_CLIPS = (*_SHARED, "threshold", "min_note_frames")
TABLES = (
    ResultTable(
        "fad_results.csv",
        "eval_fad_samples.py",
        (*_CLIPS, "n_real", "synth", "soundfont_sha256", "empty", "min_notes"),
        (Measure("FAD", "FAD", "FAD_floor"), Measure("KAD", "KAD", "KAD_floor")),
    ),
    ResultTable(
        "eval_elbo-T{T}.csv",
        "eval_elbo.py",
        (*_SHARED, "n", "beta"),
        (
            Measure("ELBO (report)", "ELBO_mean"),
            Measure("KL, nats", "KL_Div_mean"),
            Measure("bits per cell", "bits_per_cell", trivial="bits_per_cell_pitch_mean"),
        ),
    ),
    ResultTable(
        "genre-T{T}.csv",
        "eval_genre.py",
        (*_CLIPS, "n_real", "n_generated", "classifier"),
        (
            Measure("genre accuracy", "accuracy_generated", "accuracy_real", "chance"),
            Measure("of sounding clips", "accuracy_sounding", "accuracy_real", "chance"),
            Measure("inception score", "inception_generated", "inception_real"),
        ),
    ),
)


@dataclass(frozen=True)
class Missing:
    """Rows of one T that are not there: in which file, of which side, and the table they belong to."""

    path: Path
    seq_len: int
    labels: str
    table: ResultTable


class Comparison(NamedTuple):
    """`rows`: one for each T, measure and genre. `missing`: what could not be compared."""

    rows: list[Row]
    missing: list[Missing]


def compare_tables(folders: dict[str, Path], seq_lens: Sequence[int]) -> Comparison:
    """Read the tables in the folders of both sides, "given" and "shuffled", and set them side by side.

    Raises `UserError` where two rows were not made alike, a side has rows of the other, or its tables are of different
    weights.
    """
    comparison, hashes = Comparison([], []), {}
    for seq_len in seq_lens:
        for table in TABLES:
            paths = {labels: folders[labels] / table.file.format(T=seq_len) for labels in LABELS}
            sides = {labels: _read(path, seq_len) for labels, path in paths.items()}
            comparison.missing.extend(
                Missing(paths[labels], seq_len, labels, table) for labels in LABELS if not sides[labels]
            )
            for labels, path in paths.items():
                _check_weights(path, labels, sides[labels], hashes)
            if all(sides.values()):
                _check_protocol(table, paths, sides)
                comparison.rows.extend(_rows(table, sides))
    return comparison


def _read(path: Path, seq_len: int) -> list[TextRow]:
    """The rows of one T; none where the file is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [row for row in csv.DictReader(file) if row["T"] == str(seq_len)]


def _check_weights(path: Path, labels: str, rows: list[TextRow], hashes: dict[tuple[str, ...], str]) -> None:
    """All rows are of weights trained with `labels`, and weights of one name are the same in all tables of the side."""
    for row in rows:
        trained_with = row.get("labels", labels)
        if trained_with != labels:
            raise UserError(f"{path}: its weights were trained with {trained_with} labels, not {labels}; make it again")
        known = hashes.setdefault((labels, row["T"], row["checkpoint"]), row["checkpoint_sha256"])
        if known != row["checkpoint_sha256"]:
            raise UserError(f"{path}: {row['checkpoint']} is another than in the tables beside it; make them again")


def _check_protocol(table: ResultTable, paths: dict[str, Path], sides: dict[str, list[TextRow]]) -> None:
    first, second = (_by_key(sides[labels]) for labels in LABELS)
    if first.keys() != second.keys():
        only = " ".join(filter(None, sorted(first.keys() ^ second.keys())[0]))
        raise UserError(f"{paths[GIVEN]} and {paths[SHUFFLED]}: only one has the row {only}; make both alike")
    for key, row in first.items():
        for name in table.protocol:
            if row[name] != second[key][name]:
                raise UserError(
                    f"{paths[SHUFFLED]}: {name} is {second[key][name] or 'empty'}, but {row[name] or 'empty'} in "
                    f"{paths[GIVEN]}; make both with the same options"
                )


def _by_key(rows: list[TextRow]) -> dict[tuple[str, str], TextRow]:
    return {(row.get("embedder", ""), row["genre_id"]): row for row in rows}


def _rows(table: ResultTable, sides: dict[str, list[TextRow]]) -> list[Row]:
    """The comparison of one table at one T, genre by genre for each measure."""
    shuffled_rows = _by_key(sides[SHUFFLED])
    rows = []
    for measure in table.measures:
        for (embedder, genre_id), row in _by_key(sides[GIVEN]).items():
            other = shuffled_rows[embedder, genre_id]
            given, shuffled = _number(row[measure.column]), _number(other[measure.column])
            if given is None and shuffled is None:
                continue
            rows.append(
                {
                    "T": int(row["T"]),
                    "measure": f"{measure.name} ({embedder.split()[0]})" if embedder else measure.name,
                    "genre_id": int(genre_id),
                    "genre_name": row.get("genre_name") or row["genre"],
                    "given": given,
                    "shuffled": shuffled,
                    "difference": None if given is None or shuffled is None else shuffled - given,
                    "limit": _number(row.get(measure.limit, "")),
                    "trivial": _number(row.get(measure.trivial, "")),
                    "embedder": embedder or None,
                    **{name: row[name] for name in _SHARED},
                    "given_sha256": row["checkpoint_sha256"],
                    "shuffled_sha256": other["checkpoint_sha256"],
                }
            )
    return rows


def _number(text: str) -> float | None:
    return float(text) if text else None
