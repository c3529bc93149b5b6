"""Tables of the page: the columns of a result file that matter, as text to show, with numbers that line up."""

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from common.errors import UserError
from evaluation.tables import ALL_ID

# What a column holds: names, our result, what to hold it against, what others published; or shares, which are shaded.
LABEL, OURS, BASELINE, REPORTED, SHARE = "label", "ours", "baseline", "reported", "share"
NONE = "\N{EN DASH}"
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


class TextRow(dict[str, str]):
    """A row of the CSV file at `path`. Raises `UserError` for a column that the file does not have."""

    def __init__(self, path: Path, cells: dict[str, str]) -> None:
        super().__init__(cells)
        self._path = path

    def __missing__(self, column: str) -> NoReturn:
        raise UserError(f"{self._path}: has no column {column}; it is of another version: make it again")


@dataclass(frozen=True)
class Column:
    """A column of a result file. Its numbers share their decimals, unless each is `alone`: of a unit of its own."""

    key: str
    heading: str
    kind: str = OURS
    alone: bool = False


@dataclass(frozen=True)
class Line:
    """The cells of a line; `whole` if it is about all genres together and others are not."""

    cells: list[str]
    whole: bool


@dataclass(frozen=True)
class Table:
    """A table to show, the result file that it comes from, and remarks on its lines."""

    caption: str
    source: str
    columns: list[Column]
    lines: list[Line]
    notes: Sequence[str]
    kind: str = "table"


def read_results(path: Path) -> list[TextRow]:
    """The rows of a CSV file; cells are text, an empty one is an empty text. Raises `UserError` where there is none."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [TextRow(path, row) for row in csv.DictReader(file)]
    if not rows:
        raise UserError(f"{path}: has no rows; delete it, or make it again")
    return rows


def make_table(
    caption: str, source: str, rows: Sequence[dict[str, str]], columns: Sequence[Column], notes: Sequence[str] = ()
) -> Table:
    """The `columns` of `rows` of the file `source`; without those of published figures where there are none."""
    kept = [column for column in columns if column.kind != REPORTED or any(row[column.key] for row in rows)]
    shown = [_show_column(column, [row[column.key] for row in rows]) for column in kept]
    of_all = [row.get("genre_id") == str(ALL_ID) for row in rows]
    lines = [Line(list(cells), whole and not all(of_all)) for *cells, whole in zip(*shown, of_all, strict=True)]
    return Table(caption, source, kept, lines, notes)


def show_numbers(cells: Sequence[str], *, alone: bool = False) -> list[str]:
    """Cells to show: numbers with the decimals that give the largest (or each, `alone`) three significant digits.

    Whole numbers have none; text stays as it is, and an empty text becomes a dash.
    """
    if alone:
        return [shown for cell in cells for shown in show_numbers([cell])]
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    decimals = 0
    if not all(cell.lstrip("-").isdigit() for cell in numbers):
        largest = max(abs(float(cell)) for cell in numbers) or 1.0
        decimals = min(max(2 - math.floor(math.log10(largest)), 0), 6)
    return [_show_cell(cell, decimals) for cell in cells]


def _show_column(column: Column, cells: Sequence[str]) -> list[str]:
    if column.kind == SHARE:
        return [_show_cell(cell, 2) for cell in cells]
    if column.kind == REPORTED:  # not rounded again
        decimals = max(len(cell.partition(".")[2]) for cell in cells)
        return [_show_cell(cell, decimals) for cell in cells]
    return show_numbers(cells, alone=column.alone)


def _show_cell(cell: str, decimals: int) -> str:
    if not _NUMBER.fullmatch(cell):
        return cell or NONE
    return f"{float(cell):,.{decimals}f}".replace("-", "\N{MINUS SIGN}")
