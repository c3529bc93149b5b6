"""A label CSV as somebody's program wrote it -> a table of texts, with the line of every row."""

import csv
import io
from pathlib import Path

import pandas as pd

from common.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_label_csv(path: Path, needed: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Read a table with a header line, separated by commas, semicolons or tabs, in UTF-8 with or without BOM.

    Column names are compared in lower case without spaces around them, and are so in the table. Returns the table, all
    texts without spaces around them, "" where there is nothing, its index the line in the file each row begins on, and
    for each row whether it has more fields than there are columns. Empty rows are left out.

    Raises `UserError` where the file is missing, is no such table, lacks one of the `needed` columns, or has a quote
    that opens and does not close.
    """
    text = _read_text(path)
    header = next(iter(io.StringIO(text)), "").rstrip("\n")
    separator = _separator(path, header, needed)
    lines, width = _first_lines(path, text, separator)
    # As pandas reads it, a field that looks like a number or like nothing ("007", "NA") would be one.
    table = pd.read_csv(
        io.StringIO(text, newline=""), sep=separator, header=None, names=range(width), dtype=str, na_filter=False,
        skipinitialspace=True, skip_blank_lines=False, index_col=False,
    )  # fmt: skip
    if len(table) != len(lines):
        raise UserError(f"{path}: no clear table (pandas finds {len(table)} rows, Python {len(lines)}); save it anew")
    table.index = pd.Index(lines, name="line")
    columns = [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator))]
    too_many = (table.iloc[1:, len(columns) :] != "").any(axis=1)
    table = table.iloc[1:, : len(columns)].set_axis(columns, axis=1)
    table = table.apply(lambda column: column.str.strip())
    filled = (table != "").any(axis=1)
    return table[filled], too_many[filled]


def _read_text(path: Path) -> str:
    content = path.read_bytes()
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    if "\0" in text:
        raise UserError(f"{path}: not UTF-8 text (byte {text.index(chr(0))} is zero); save it as UTF-8")
    return text


def _separator(path: Path, header: str, needed: list[str]) -> str:
    """The separator by which the first line names the most of the needed columns, which must be all of them."""
    missing: dict[str, list[str]] = {}
    for separator in SEPARATORS:
        names = [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator), [])]
        missing[separator] = [name for name in needed if name not in names]
        twice = sorted({name for name in names if names.count(name) > 1 and name in (*needed, "split")})
        if not missing[separator] and twice:
            raise UserError(f"{path}: two columns are called {twice[0]}; keep one")
    best = min(missing, key=lambda separator: len(missing[separator]))
    if missing[best]:
        hint = "; --genre-column NAME takes names from a column instead" if "genre_id" in missing[best] else ""
        raise UserError(
            f"{path}: no column {' and '.join(missing[best])}; the first line must name the columns, with "
            f"{' or '.join(SEPARATORS.values())} between them, but it is {header[:200]!r}{hint}"
        )
    return best


def _first_lines(path: Path, text: str, separator: str) -> tuple[list[int], int]:
    """The line on which each record begins, and the most fields that one has.

    pandas tells no lines, and takes a quote that opens in one row and happens to close in a later one for a long text.
    """
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    first_lines, width, first = [], 1, 1
    try:
        for record in reader:
            if reader.line_num > first:
                own = lines[first - 1 : reader.line_num]
                for _ in csv.reader(own, delimiter=separator, skipinitialspace=True, strict=True):
                    pass
            first_lines.append(first)
            width = max(width, len(record))
            first = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}: the row of line {first} is not CSV ({error}); is a quote opened there and never closed?"
        ) from error
    return first_lines, width
