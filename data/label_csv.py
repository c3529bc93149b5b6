"""Read a label CSV, as any program may have written it, into a table of strings indexed by line number."""

import csv
import io
from pathlib import Path

import pandas as pd

from common.errors import UserError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}
_ALSO_READ = ("genre", "artist", "title", "split", "source", "confidence", "md5")  # where a table has them


def read_label_csv(path: Path, needed: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Read a table with a header line, separated by commas, semicolons or tabs, in UTF-8 with or without BOM.

    Returns the table of stripped strings, "" where empty, with lower-case column names; its index is the line in the
    file on which each row begins. Also returns, for each row, whether it has more fields than columns. Empty rows are
    left out.

    Raises `UserError` where the file is no such table, lacks one of the `needed` columns, or has an unclosed quote.
    """
    text = _read_text(path)
    header = next(iter(io.StringIO(text, newline=None)), "").rstrip("\n")
    separator = _separator(path, header, needed)
    records = _records(path, text, separator)
    columns = _names(header, separator)
    n = len(columns)
    index = pd.Index([line for line, _ in records[1:]], name="line")
    rows = [[*map(str.strip, record[:n]), *[""] * (n - len(record))] for _, record in records[1:]]
    table = pd.DataFrame(rows, index, columns, dtype=str)
    too_many = pd.Series([any(record[n:]) for _, record in records[1:]], index, dtype=bool)
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


def _names(header: str, separator: str) -> list[str]:
    return [name.strip().casefold() for name in next(csv.reader([header], delimiter=separator), [])]


def _separator(path: Path, header: str, needed: list[str]) -> str:
    """Return the separator with which the header names most of the needed columns. Raises unless it names all."""
    missing: dict[str, list[str]] = {}
    for separator in SEPARATORS:
        names = _names(header, separator)
        missing[separator] = [name for name in needed if name not in names]
        twice = sorted({name for name in names if names.count(name) > 1 and name in (*needed, *_ALSO_READ)})
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


def _records(path: Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Return the fields of each record, and the line on which it begins."""
    # The empty line at the end belongs to a quote that the last record leaves open.
    lines = [*io.StringIO(text, newline=""), "\n"]
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    records, first = [], 1
    try:
        for record in reader:
            if reader.line_num > first:  # a record of several lines: check its quotes strictly
                own = lines[first - 1 : reader.line_num]
                list(csv.reader(own, delimiter=separator, skipinitialspace=True, strict=True))
            records.append((first, record))
            first = reader.line_num + 1
    except csv.Error as error:
        raise UserError(
            f"{path}: the row of line {first} is not CSV ({error}); is a quote opened there and never closed?"
        ) from error
    return records
