"""Tables of the page: the declared columns of a result as text to show, with numbers that line up."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from evaluation.tables import ALL_ID, REPORTED, SHARE, Column

NONE = "\N{EN DASH}"
_MOST_DECIMALS = 6


class Cell(NamedTuple):
    """What a cell shows; `share` in [0, 1] where it is to be shaded by that."""

    text: str
    share: float | None = None


@dataclass(frozen=True)
class Line:
    """The cells of a line; `whole` if it is about all genres together and others are not."""

    cells: list[Cell]
    whole: bool


@dataclass(frozen=True)
class ShownTable:
    """A table to show, the result file that it comes from, and remarks on its lines."""

    caption: str
    source: str
    columns: list[Column]
    lines: list[Line]
    notes: Sequence[str]
    kind: str = "table"


def show_table(
    caption: str,
    source: str,
    frame: pd.DataFrame,
    columns: Sequence[Column],
    notes: Sequence[str] = (),
    condition: str = "genre",
) -> ShownTable:
    """The `columns` of `frame` from the file `source`; without those of published figures where there are none."""
    kept = [c for c in columns if c.kind != REPORTED or (c.key in frame and frame[c.key].notna().any())]
    named = [Column(c.key, c.heading.replace("{condition}", condition), c.kind, c.alone) for c in kept]
    shown = [show_column(column, frame[column.key]) for column in named]
    of_all = [False] * len(frame) if "genre_id" not in frame else (frame["genre_id"] == ALL_ID).tolist()
    lines = [Line(list(cells), whole and not all(of_all)) for *cells, whole in zip(*shown, of_all, strict=True)]
    return ShownTable(caption, source, named, lines, notes)


def show_column(column: Column, values: pd.Series) -> list[Cell]:
    """The cells of a column."""
    if column.kind == SHARE:
        return [_show_share(value) for value in values]
    if column.kind == REPORTED:  # not rounded again
        decimals = max(len(f"{value:.{_MOST_DECIMALS}g}".partition(".")[2]) for value in values.dropna())
        return [Cell(_show(value, decimals)) for value in values]
    return [Cell(text) for text in show_numbers(values.tolist(), alone=column.alone)]


def show_numbers(values: Sequence[Any], *, alone: bool = False) -> list[str]:
    """Values to show: numbers with the decimals that give the largest (or each, `alone`) three significant digits.

    Whole numbers have none; text stays as it is, and what is not there becomes a dash.
    """
    if alone:
        return [shown for value in values for shown in show_numbers([value])]
    numbers = [abs(value) for value in values if _is_number(value)]
    decimals = 0
    if not all(float(number).is_integer() for number in numbers):
        largest = max(numbers) or 1.0
        decimals = min(max(2 - math.floor(math.log10(largest)), 0), _MOST_DECIMALS)
    return [_show(value, decimals) for value in values]


def _show_share(value: Any) -> Cell:
    is_share = _is_number(value) and 0 <= value <= 1
    return Cell(_show(value, 2), float(value) if is_share else None)


def _show(value: Any, decimals: int) -> str:
    if pd.isna(value):
        return NONE
    if not _is_number(value):
        return str(value)
    return f"{value:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
