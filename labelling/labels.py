"""Turn the tags of all sources into one genre per file with its source, or into the reason for none."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from labelling.files import MidiFile
from labelling.genre_map import GenreMap, Verdict
from labelling.msd import Tags
from labelling.sources import Evidence

LABEL_COLUMNS = ["path", "genre", "genre_id", "artist", "title", "source", "confidence", "agree", "disagree", "tags"]
NAME_COLUMNS = ["composer", "era"]  # conditions of --genre-column


class SourceLabels(NamedTuple):
    """The genres that one source gives, and the tags behind them, by the file's position."""

    name: str
    kind: str
    verdicts: dict[int, Verdict]
    tags: dict[int, Tags]


def judge(evidence: Sequence[Evidence], genre_map: GenreMap, min_share: float) -> list[SourceLabels]:
    """Map the tags of each source to genres."""
    return [
        SourceLabels(name, kind, {number: genre_map.judge(own, min_share) for number, own in tags.items()}, tags)
        for name, kind, tags in evidence
    ]


def in_order(sources: Sequence[SourceLabels], order: Sequence[str]) -> list[SourceLabels]:
    """Return the sources of the kinds in `order`, sorted by it."""
    return sorted((each for each in sources if each.kind in order), key=lambda each: order.index(each.kind))


def label(
    files: Sequence[MidiFile], sources: Sequence[SourceLabels], classes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Label each file by the first of `sources` that gives it a genre; returns labels and unlabelled files.

    Labels: LABEL_COLUMNS, where `agree` and `disagree` count the other sources with the same and with another genre,
    and tags is a JSON list; then those of NAME_COLUMNS that any file has. Unlabelled: path, artist, title, reason.
    """
    labels, unlabelled = [], []
    known = [name for name in NAME_COLUMNS if any(getattr(file, name) for file in files)]
    for number, file in enumerate(files):
        verdicts = [(each, each.verdicts[number]) for each in sources if number in each.verdicts]
        genres = [verdict.genre for _, verdict in verdicts if verdict.genre]
        if not genres:
            reasons = "; ".join(f"{each.name}: {verdict.reason}" for each, verdict in verdicts)
            unlabelled.append((file.path, file.artist, file.title, reasons or "no source knows it"))
            continue
        source, (genre, confidence, _) = next((each, verdict) for each, verdict in verdicts if verdict.genre)
        agree = genres.count(genre) - 1
        tags = json.dumps([tag for tag, _ in source.tags.get(number, [])], ensure_ascii=False)
        labels.append(
            (file.path, genre, classes.index(genre), file.artist, file.title, source.name, round(confidence, 4),
             agree, len(genres) - 1 - agree, tags, *(getattr(file, name) for name in known))
        )  # fmt: skip
    return (
        pd.DataFrame(labels, columns=LABEL_COLUMNS + known),
        pd.DataFrame(unlabelled, columns=["path", "artist", "title", "reason"]),
    )


def genre_table(sources: Sequence[SourceLabels], n_files: int) -> pd.DataFrame:
    """Return the genre of each file (row) by each source (column); "" for none."""
    columns = {
        each.name: [each.verdicts[number].genre if number in each.verdicts else "" for number in range(n_files)]
        for each in sources
    }
    return pd.DataFrame(columns, index=range(n_files), dtype=object)
