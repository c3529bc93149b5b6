"""What labels were made of, and how good they are: `labels.json` beside the CSV, and the same on the screen."""

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
from labelling.labels import Judgement, first_and_second, genres_of
from labelling.msd import Problem

_PROBLEMS_SHOWN = 3


def describe_sources(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, bytes and hash of each file that is looked into; of a folder its name alone."""
    return [
        {"name": path.name, "bytes": path.stat().st_size, "sha256": hash_of_file(path)}
        if path.is_file() else {"name": path.name}
        for path in paths
    ]  # fmt: skip


def record(
    labels: pd.DataFrame,
    n_files: int,
    judgements: Sequence[Judgement],
    genre_map: GenreMap,
    facts: Mapping[str, Any],
    problems: Sequence[Problem],
) -> dict[str, Any]:
    """The content of labels.json; `judgements` in order of trust, `facts` what the program adds."""
    genres = genres_of(judgements, n_files)
    doubly = first_and_second(genres)
    pairs = agreement_of_pairs(genres, genre_map.classes)
    return {
        **facts,
        "genre_map": {"name": genre_map.path.name, "sha256": genre_map.sha256},
        "order": [each.name for each in judgements],
        "files": n_files,
        "labelled": len(labels),
        "files_of_class": {name: int((labels["genre"] == name).sum()) for name in genre_map.classes},
        "files_of_source": dict(Counter(labels["source"])),
        # The label against the next source that gives one: how noisy labels are, as one number.
        "second_opinion": _plain(agreement(*doubly.to_numpy().T, genre_map.classes)) if len(doubly) else None,
        "agreement": [_plain(row) for row in pairs.to_dict("records")],
        "problems": {"count": len(problems), "first": [": ".join(each) for each in problems[:_PROBLEMS_SHOWN]]},
        "versions": {name: version(name) for name in ("h5py", "pandas")},
    }  # fmt: skip


def _plain(row: Mapping[str, Any]) -> dict[str, Any]:
    """Without what is no number, which JSON cannot write."""
    return {name: None if value != value else value for name, value in row.items()}


def write_record(told: Mapping[str, Any], labels_csv: Path) -> None:
    """Write the record of a label CSV beside it; the store takes it over as long as the CSV is the same."""
    told = {"csv_sha256": hash_of_file(labels_csv), **told}
    write_text(labels_csv.with_suffix(".json"), json.dumps(told, indent=2, ensure_ascii=False) + "\n")


def summary(labels: pd.DataFrame, told: Mapping[str, Any]) -> str:
    """What the screen shows: files by class and source, agreement of pairs, the first problems."""
    lines = []
    if len(labels):
        counts = pd.crosstab(labels["source"], labels["genre"], margins=True, margins_name="all")
        classes = [name for name in told["files_of_class"] if name in counts]
        lines += [counts[[*classes, "all"]].rename_axis(columns=None).to_string(), ""]
    lines.append(f"{told['labelled']:,} of {told['files']:,} files labelled")
    if told["agreement"]:
        lines += ["", format_table(pd.DataFrame(told["agreement"]), COLUMNS)]
    absent = [name for name, count in told["files_of_class"].items() if not count]
    if absent and len(labels):
        lines.append(
            f"no file of {', '.join(absent)}: give prepare_data.py --genre-column genre, which numbers the others"
        )
    second = told["second_opinion"]
    if second:
        kappa = "not defined" if second["kappa"] is None else f"{second['kappa']:.2f}"
        share = f"the same genre in {second['agreement']:.1%}, kappa {kappa}"
        lines.append(f"{second['files']:,} files have a second opinion: {share}")
    problems = told["problems"]
    if problems["count"]:
        lines.append(
            f"{problems['count']:,} records could not be read, such as: {printable('; '.join(problems['first']))}"
        )
    return "\n".join(lines)
