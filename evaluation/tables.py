"""Tables of results: declared once beside each metric, kept as CSV files, printed here, shown on the page by `page/`.

Every evaluation is a function that returns a `pandas.DataFrame` with one row for each genre (or other condition), and
`genre_id` -1 for all of them together. NaN marks a value that cannot be given.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from common.errors import UserError
from common.files import check_outputs, require_writable, write_text
from common.text import aligned, printable

ALL_ID, ALL_NAME = -1, "all"
# Column kinds: label, our result, baseline, published value, share (shaded).
LABEL, OURS, BASELINE, REPORTED, SHARE = "label", "ours", "baseline", "reported", "share"
# What identifies evaluated weights in a table: their hash, and their folder, network and latents as shown to the user.
MADE_BY = ["checkpoint_sha256", "origin"]
# Columns that stay text although a value may look like a number: a hash 1234e5, a genre called 1984.
_TEXTS = re.compile(
    r"genre_name|condition|origin|latents|note|unit|feature|embedder|labels|label_sources|trained_on|feedback|classifier|.*checkpoint|.*sha256|.*content"
)
Evaluated = TypeVar("Evaluated")


@dataclass(frozen=True)
class Column:
    """A column to show. In `heading`, {condition} stands for the kind of label: genre, composer, mood, ...

    On the page all numbers of a column have the same decimals, unless `alone`: each value has a unit of its own.
    """

    key: str
    heading: str
    kind: str = OURS
    alone: bool = False


def columns(kind: str, /, **headings: str) -> list[Column]:
    """Columns of one kind, from their headings by key."""
    return [Column(key, heading, kind) for key, heading in headings.items()]


@dataclass(frozen=True)
class ResultTable:
    """A table that `program` writes, "eval_mse.py" or "-m programs.damage".

    `file`: its name in the folder of results; with {T} in it, one file for each T. `columns`: those to show, in order;
    the file has more. Two rows are comparable if they agree in `protocol`. `key`: columns that identify a row in a
    table that is added to.
    """

    file: str
    program: str
    columns: tuple[Column, ...]
    protocol: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    def path(self, metrics: Path, seq_len: int | None = None) -> Path:
        return metrics / self.file.format(T=seq_len)

    def write(self, frame: pd.DataFrame, metrics: Path, *, replace: bool = False) -> list[Path]:
        """Write CSV with six significant digits, the rows of each T to its file if there is one; returns the paths.

        `replace` as in `written_atomically`.
        """
        parts = frame.groupby("T", sort=False) if "{T}" in self.file else [(None, frame)]
        paths = []
        for seq_len, rows in parts:
            paths.append(self.path(metrics, seq_len))
            write_text(paths[-1], rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"), replace=replace)
        return paths

    def add(self, frame: pd.DataFrame, metrics: Path) -> pd.DataFrame:
        """Add rows to the table, sorted by `key`, and return it. A new row replaces the old one of the same key.

        Raises as `require_addable`.
        """
        frame = pd.concat([self.require_addable(metrics), frame]).drop_duplicates(self.key, keep="last")
        frame = frame.sort_values(list(self.key)).reset_index(drop=True)
        self.write(frame, metrics, replace=True)  # it has all rows of the file
        return frame

    def require_addable(self, metrics: Path) -> pd.DataFrame | None:
        """Return the rows so far, if any. Raises `UserError` if the file is not this table, `OSError` if it cannot be
        written.
        """
        require_writable(metrics)
        path = self.path(metrics)
        if not path.exists():
            return None
        frame = read_csv(path)
        if missing := [name for name in self.key if name not in frame]:
            raise UserError(f"{path}: has no column {missing[0]}; move it, or name another folder")
        return frame

    def read(self, metrics: Path, seq_len: int | None = None) -> pd.DataFrame | None:
        """The table, or its rows of one T; None if there is no file or no such row.

        Raises `UserError` if the file is not this table.
        """
        path = self.path(metrics, seq_len)
        if not path.exists():
            return None
        frame = read_csv(path)
        # Published values may be absent from the file.
        missing = [c.key for c in self.columns if c.kind != REPORTED and c.key not in frame]
        missing += [name for name in (*self.protocol, *(["T"] if seq_len else [])) if name not in frame]
        if missing:
            raise UserError(f"{path}: has no column {missing[0]}; it is of another version: make it again")
        if seq_len is not None:
            frame = frame[frame["T"] == seq_len].reset_index(drop=True)
        return frame if len(frame) else None


def run_table(
    table: ResultTable, evaluated: Iterable[Evaluated], measure: Callable[[Evaluated], pd.DataFrame], metrics: Path,
    seq_lens: Iterable[int], show: Callable[[pd.DataFrame], Iterable[str]], *, also: Iterable[Path] = (),
    together: bool = False,
) -> pd.DataFrame:  # fmt: skip
    """Measure each of `evaluated`, print what `show` returns for its rows (or for all, `together`), write the table.

    The tables of `seq_lens` and the files that the caller will write, `also`, are checked before (`check_outputs`).
    """
    check_outputs([*(table.path(metrics, seq_len) for seq_len in seq_lens), *also])
    frames = []
    for each in evaluated:
        frames.append(measure(each))
        if not together:
            print(*show(frames[-1]), sep="\n", flush=True)
    frame = pd.concat(frames, ignore_index=True)
    if together:
        print(*show(frame), sep="\n")
    print(*table.write(frame, metrics), sep="\n")
    return frame


def note_lines(frame: pd.DataFrame) -> Iterator[str]:
    """Each text of the column `note` once, with the first row that has it."""
    for note, rows in frame[frame["note"] != ""].groupby("note", sort=False):
        first, more = rows.iloc[0], f" and {len(rows) - 1} more rows" if len(rows) > 1 else ""
        yield f"T = {first['T']} {first['genre_name']}{more}: {note}"


def read_csv(path: Path) -> pd.DataFrame:
    """Read a CSV file of results. Raises `UserError` if it is not one, or has no rows."""
    try:
        names = pd.read_csv(path, nrows=0).columns
        texts = {name: str for name in names if _TEXTS.fullmatch(name)}
        frame = pd.read_csv(path, dtype=texts, keep_default_na=False, na_values=[""])
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not a table of results ({str(error).splitlines()[0]}); make it again") from error
    if frame.empty:
        raise UserError(f"{path}: has no rows; delete it, or make it again")
    return frame


def by_genre(
    values: pd.DataFrame, genres: Sequence[str], summary: Callable[[pd.DataFrame], dict[str, Any]]
) -> pd.DataFrame:
    """One row of `summary` for each id in the column genre_id, and one for all rows (-1). `genres`: names by id."""
    parts = [*((genre_id, genres[genre_id], part) for genre_id, part in values.groupby("genre_id")),
             (ALL_ID, ALL_NAME, values)]  # fmt: skip
    return pd.DataFrame([{"genre_id": genre_id, **summary(part), "genre_name": name} for genre_id, name, part in parts])


def of_all(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about all genres together."""
    return frame[frame["genre_id"] == ALL_ID].reset_index(drop=True)


def shown_columns(frame: pd.DataFrame, columns: Sequence[Column], condition: str) -> list[Column]:
    """The columns without those of published values that are empty, and with the name of the condition."""
    shown = [c for c in columns if c.kind != REPORTED or (c.key in frame and frame[c.key].notna().any())]
    return [replace(column, heading=column.heading.replace("{condition}", condition)) for column in shown]


def format_table(frame: pd.DataFrame, columns: Sequence[Column]) -> str:
    """The `shown_columns` as aligned text, numbers with four significant digits, a dash for NaN.

    Control characters are escaped, so that a name cannot send commands to the terminal.
    """
    shown = shown_columns(frame, columns, str(frame["condition"].iloc[0]) if "condition" in frame else "genre")
    cells = [[column.heading for column in shown]]
    cells += [[_show(value) for value in row] for row in frame[[c.key for c in shown]].itertuples(index=False)]
    return aligned(cells)


def _show(value: Any) -> str:
    if pd.isna(value):
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else printable(str(value))
