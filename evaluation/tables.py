"""Tables of results: declared once beside each measure, kept as CSV files, shown in a terminal here and by `page/`.

Every evaluation is a function that returns a `pandas.DataFrame`, one row a genre (or another condition), `genre_id` -1
for all of them together. NaN stands where there is no honest figure.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from common.errors import UserError
from common.files import write_text
from common.text import printable

ALL_ID, ALL_NAME = -1, "all"
# What a column holds: names, our result, what to hold it against, what others published; or shares, which are shaded.
LABEL, OURS, BASELINE, REPORTED, SHARE = "label", "ours", "baseline", "reported", "share"
NONE = "-"
# Texts that could be taken for numbers: a hash such as 1234e5, a genre called 1984.
_TEXTS = re.compile(
    r"genre_name|condition|origin|latents|note|unit|feature|measure|embedder|labels|label_sources|trained_on|feedback|.*checkpoint|.*sha256|.*content"
)


@dataclass(frozen=True)
class Column:
    """A column to show. In `heading`, {condition} stands for what the labels are: genre, composer, mood, ...

    Its numbers share their decimals on the page, unless each is `alone`: of a unit of its own.
    """

    key: str
    heading: str
    kind: str = OURS
    alone: bool = False


@dataclass(frozen=True)
class ResultTable:
    """A table that `program` writes, "eval_mse.py" or "-m programs.damage".

    `file` is its name in the folder of results; with {T} in it, each T has a file of its own. `columns` are those to
    show, in their order; the file has more. Rows compare where they agree in `protocol`. `key` tells the rows of a
    table apart that is added to.
    """

    file: str
    program: str
    columns: tuple[Column, ...]
    protocol: tuple[str, ...] = ()
    key: tuple[str, ...] = ()

    @property
    def of_one_length(self) -> bool:
        return "{T}" in self.file

    def path(self, metrics: Path, seq_len: int | None = None) -> Path:
        return metrics / self.file.format(T=seq_len)

    def write(self, frame: pd.DataFrame, metrics: Path, seq_len: int | None = None) -> Path:
        """Write the table as CSV, numbers with six significant digits; returns its path."""
        path = self.path(metrics, seq_len)
        write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))
        return path

    def add(self, frame: pd.DataFrame, metrics: Path) -> pd.DataFrame:
        """Write the table with the rows of `frame`, sorted by `key`; returns it. Rows of the same key are replaced.

        Raises `UserError` where the file is no table.
        """
        path = self.path(metrics)
        if path.exists():
            frame = pd.concat([read_csv(path), frame]).drop_duplicates(self.key, keep="last")
        frame = frame.sort_values(list(self.key)).reset_index(drop=True)
        self.write(frame, metrics)
        return frame

    def write_lengths(self, frame: pd.DataFrame, metrics: Path) -> list[Path]:
        """Write the rows of each T to its file; returns the paths."""
        return [self.write(rows, metrics, seq_len) for seq_len, rows in frame.groupby("T", sort=False)]

    def read(self, metrics: Path, seq_len: int | None = None) -> pd.DataFrame | None:
        """The table, or its rows of one T; None where the file is not there or has no such row.

        Raises `UserError` where the file is no such table.
        """
        path = self.path(metrics, seq_len)
        if not path.exists():
            return None
        frame = read_csv(path)
        # The columns that stand beside ours for comparison are joined to it when it is shown.
        missing = [c.key for c in self.columns if c.kind != REPORTED and c.key not in frame]
        missing += [name for name in ("T", *self.protocol) if name not in frame]
        if missing:
            raise UserError(f"{path}: has no column {missing[0]}; it is of another version: make it again")
        if seq_len is not None:
            frame = frame[frame["T"] == seq_len].reset_index(drop=True)
        return frame if len(frame) else None


def read_csv(path: Path) -> pd.DataFrame:
    """A CSV file of results. Raises `UserError` where it is none, or has no rows."""
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
    """One row of `summary` for each genre id that occurs in the column genre_id, and one for all rows together (-1).

    `genres` are the names by id.
    """
    parts = [(genre_id, genres[genre_id], part) for genre_id, part in values.groupby("genre_id")]
    parts.append((ALL_ID, ALL_NAME, values))
    rows = [{"genre_id": genre_id, **summary(part), "genre_name": name} for genre_id, name, part in parts]
    return pd.DataFrame(rows)


def of_all(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows about all genres together."""
    return frame[frame["genre_id"] == ALL_ID].reset_index(drop=True)


def format_table(frame: pd.DataFrame, columns: Sequence[Column], condition: str = "genre") -> str:
    """The columns as aligned text, numbers with four significant digits, a dash for what is not there.

    Columns of published figures are left out where there are none. Control characters in names are shown as text, so
    that no name can write to the terminal what it likes.
    """
    shown = [c for c in columns if c.kind != REPORTED or (c.key in frame and frame[c.key].notna().any())]
    cells = [[column.heading.replace("{condition}", condition) for column in shown]]
    cells += [[_show(value) for value in row] for row in frame[[c.key for c in shown]].itertuples(index=False)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.rjust(width) if place else cell.ljust(width) for place, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in cells)
    )
    return "\n".join(line.rstrip() for line in lines)


def _show(value: Any) -> str:
    if pd.isna(value):
        return NONE
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(str(value))

