"""Describe labels: `labels.json` beside the CSV, and the summary on the screen."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from common.files import hash_of_file, write_text
from common.text import printable
from evaluation.tables import format_table
from labelling.agreement import COLUMNS, agreement, agreement_of_pairs
from labelling.genre_map import GenreMap
from labelling.labels import SourceLabels, genre_table
from labelling.msd import Problem

_PROBLEMS_SHOWN = 3


def describe_sources(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Return name, bytes and hash of each file; only the name of a folder."""
    return [
        {"name": printable(path.name), "bytes": path.stat().st_size, "sha256": hash_of_file(path)}
        if path.is_file() else {"name": printable(path.name)}
        for path in paths
    ]  # fmt: skip


def record(
    labels: pd.DataFrame,
    n_files: int,
    sources: Sequence[SourceLabels],
    genre_map: GenreMap,
    facts: Mapping[str, Any],
    problems: Sequence[Problem],
) -> dict[str, Any]:
    """Return the content of labels.json: `facts` of the program and those of the labels. `sources`: as for `label`."""
    genres = genre_table(sources, n_files)
    given = [[genre for genre in row if genre] for row in genres.to_numpy()]
    first_two = [row[:2] for row in given if len(row) > 1]
    pairs = agreement_of_pairs(genres, genre_map.classes)
    shown = problems[:_PROBLEMS_SHOWN]
    return {
        **facts,
        "genre_map": {"name": printable(genre_map.path.name), "sha256": genre_map.sha256},
        "order": [each.name for each in sources],
        "files": n_files,
        "labelled": len(labels),
        "files_of_class": {name: int((labels["genre"] == name).sum()) for name in genre_map.classes},
        "files_of_source": dict(Counter(labels["source"])),
        # The label compared with that of the next source: the noise of the labels as one number.
        "second_opinion": _plain(agreement(*zip(*first_two, strict=True), genre_map.classes)) if first_two else None,
        "agreement": [_plain(row) for row in pairs.to_dict("records")],
        "problems": {"count": len(problems), "first": [printable(": ".join(each)) for each in shown]},
        "versions": {name: version(name) for name in ("h5py", "pandas")},
    }


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """None instead of NaN, which is not JSON."""
    return {name: None if value != value else value for name, value in row.items()}


def write_record(content: Mapping[str, Any], labels_csv: Path) -> None:
    """Write labels.json beside the CSV. A store takes it over if it has the hash of the CSV."""
    content = {"csv_sha256": hash_of_file(labels_csv), **content}
    write_text(labels_csv.with_suffix(".json"), json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def summary(labels: pd.DataFrame, content: Mapping[str, Any]) -> str:
    """Return the counts of files by class and source, the agreement of sources, and the first problems as text."""
    lines, counts_of_class = [], content["files_of_class"]
    if len(labels):
        counts = pd.crosstab(labels["source"], labels["genre"], margins=True, margins_name="all")
        classes = [name for name in counts_of_class if name in counts]
        lines += [counts[[*classes, "all"]].rename_axis(columns=None).to_string(), ""]
    lines.append(f"{content['labelled']:,} of {content['files']:,} files labelled")
    if content["agreement"]:
        lines += ["", format_table(pd.DataFrame(content["agreement"]), COLUMNS)]
    absent = ", ".join(name for name, count in counts_of_class.items() if not count)
    if absent and len(labels):
        lines.append(f"no file of {absent}: use prepare_data.py --genre-column genre, which numbers the other genres")
    if second := content["second_opinion"]:
        kappa = "not defined" if second["kappa"] is None else f"{second['kappa']:.2f}"
        share = f"the same genre in {second['agreement']:.1%}, kappa {kappa}"
        lines.append(f"{second['files']:,} files have a second opinion: {share}")
    if count := content["problems"]["count"]:
        first = "; ".join(content["problems"]["first"])
        lines.append(f"{count:,} records could not be read, such as: {first}")
    return "\n".join(lines)
