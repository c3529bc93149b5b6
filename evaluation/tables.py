"""Per-genre tables: printed for people, written as CSV for programs."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

ALL_ID, ALL_NAME = -1, "all"

Row = dict[str, Any]


def genre_masks(genre: Tensor, names: Sequence[str]) -> list[tuple[int, str, Tensor]]:
    """(id, name, mask over `genre` (n,)) of every genre that occurs, then of all together (-1, "all")."""
    masks = [(index, name, genre == index) for index, name in enumerate(names) if (genre == index).any()]
    return [*masks, (ALL_ID, ALL_NAME, torch.ones_like(genre, dtype=torch.bool))]


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write rows with the same keys as CSV; numbers keep six significant digits."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        for row in rows:
            writer.writerow({name: "" if value is None else _shown(value, 6) for name, value in row.items()})


def format_table(rows: Sequence[Row], columns: dict[str, str]) -> str:
    """Aligned text; `columns` maps a row's key to its heading. None is shown as a dash."""
    cells = [list(columns.values())]
    cells += [[_shown(row[key], 4) for key in columns] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(len(columns))]
    lines = [
        "  ".join(cell.rjust(width) if column else cell.ljust(width) for column, (cell, width) in enumerate(pairs))
        for pairs in (list(zip(line, widths, strict=True)) for line in cells)
    ]
    return "\n".join(line.rstrip() for line in lines)


def _shown(value: Any, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)
