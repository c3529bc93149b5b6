"""Result tables as text for the page: the declared columns, with aligned numbers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from evaluation.tables import ALL_ID, REPORTED, SHARE, Column, shown_columns

NONE = "\N{EN DASH}"
_MOST_DECIMALS = 6


class Cell(NamedTuple):
    """Text of a cell; `share` in [0, 1] is its shading."""

    text: str
    share: float | None = None


@dataclass(frozen=True)
class ShownTable:
    """A table to show, the result file that it comes from, and notes below it.

    `lines`: cells, and whether the line is about all genres together, in a table that has other rows too.
    """

    caption: str
    source: str
    columns: list[Column]
    lines: list[tuple[list[Cell], bool]]
    notes: Sequence[str]
    kind: str = "table"


def show_table(
    caption: str, source: str, frame: pd.DataFrame, columns: Sequence[Column], notes: Sequence[str] = (),
    condition: str = "genre",
) -> ShownTable:  # fmt: skip
    """Show the `shown_columns` of `frame`, which comes from the file `source`."""
    shown = shown_columns(frame, columns, condition)
    cells = [show_column(column, frame[column.key]) for column in shown]
    of_all = [False] * len(frame) if "genre_id" not in frame else (frame["genre_id"] == ALL_ID).tolist()
    lines = [(list(line), is_total and not all(of_all)) for *line, is_total in zip(*cells, of_all, strict=True)]
    return ShownTable(caption, source, shown, lines, notes)


def show_column(column: Column, values: pd.Series) -> list[Cell]:
    """The cells of a column. Published values keep all their digits; shares are shaded."""
    if column.kind == SHARE:
        return [Cell(_show(value, 2), value if _is_number(value) and 0 <= value <= 1 else None) for value in values]
    if column.kind == REPORTED:
        decimals = max(len(f"{value:.{_MOST_DECIMALS}g}".partition(".")[2]) for value in values.dropna())
        return [Cell(_show(value, decimals)) for value in values]
    return [Cell(text) for text in show_numbers(values.tolist(), alone=column.alone)]


def show_numbers(values: Sequence[Any], *, alone: bool = False) -> list[str]:
    """Values as text, numbers with as many decimals as give the largest (`alone`: each) three significant digits.

    Integers have no decimals, text is unchanged, missing values become a dash.
    """
    if alone:
        return [show_number(value) for value in values]
    numbers = [abs(value) for value in values if _is_number(value)]
    decimals = 0
    if not all(float(number).is_integer() for number in numbers):
        largest = max(numbers) or 1.0
        decimals = min(max(2 - math.floor(math.log10(largest)), 0), _MOST_DECIMALS)
    return [_show(value, decimals) for value in values]


def show_number(value: Any) -> str:
    """One value as text, with three significant digits."""
    return show_numbers([value])[0]


def _show(value: Any, decimals: int) -> str:
    if pd.isna(value):
        return NONE
    if not _is_number(value):
        return str(value)
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
