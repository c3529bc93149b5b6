"""Tags of all sources -> one genre a file, with where it comes from, or none with the reason why not."""

import json
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from labelling.annotations import Tags
from labelling.files import MidiFile
from labelling.genre_map import GenreMap, Verdict
from labelling.sources import Evidence

_UNKNOWN = "no source knows it"


class Judgement(NamedTuple):
    """The genres that one source gives, by the file's position, and the tags they follow from."""

    name: str
    kind: str
    verdicts: dict[int, Verdict]
    tags: dict[int, Tags]


def judge(evidence: Sequence[Evidence], genre_map: GenreMap, min_share: float) -> list[Judgement]:
    """What each source's tags come to."""
    return [
        Judgement(
            each.name, each.kind, {number: genre_map.judge(tags, min_share) for number, tags in each.tags.items()},
            each.tags,
        )
        for each in evidence
    ]  # fmt: skip


def in_order(judgements: Sequence[Judgement], order: Sequence[str]) -> list[Judgement]:
    """The sources whose kinds are in `order`, the most trusted first; within a kind as they come."""
    return sorted((each for each in judgements if each.kind in order), key=lambda each: order.index(each.kind))


def label(
    files: Sequence[MidiFile], judgements: Sequence[Judgement], classes: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Labels by the first source, of those in order of trust, that gives a file a genre; and the files without one.

    Labels: path, genre, genre_id, artist, title, source, confidence, `agree` and `disagree` (how many other sources
    give the same genre, or another), tags (a JSON list). Unlabelled: path, artist, title, reason.
    """
    labels, unlabelled = [], []
    for number, file in enumerate(files):
        told = [(each, each.verdicts[number]) for each in judgements if number in each.verdicts]
        by, chosen = next(((each, verdict) for each, verdict in told if verdict.genre), (None, None))
        if by is None or chosen is None:
            reasons = "; ".join(f"{each.name}: {verdict.reason}" for each, verdict in told)
            unlabelled.append((file.path, file.artist, file.title, reasons or _UNKNOWN))
            continue
        others = [verdict.genre for each, verdict in told if verdict.genre and each is not by]
        agree = others.count(chosen.genre)
        tags = json.dumps([tag for tag, _ in by.tags.get(number, [])], ensure_ascii=False)
        labels.append(
            (file.path, chosen.genre, classes.index(chosen.genre), file.artist, file.title, by.name,
             round(chosen.confidence, 4), agree, len(others) - agree, tags)
        )  # fmt: skip
    columns = ["path", "genre", "genre_id", "artist", "title", "source", "confidence", "agree", "disagree", "tags"]
    return (
        pd.DataFrame(labels, columns=columns),
        pd.DataFrame(unlabelled, columns=["path", "artist", "title", "reason"]),
    )


def genres_of(judgements: Sequence[Judgement], n_files: int) -> pd.DataFrame:
    """The genre that each source (columns) gives each file (rows), "" where none."""
    table = pd.DataFrame("", index=range(n_files), columns=[each.name for each in judgements], dtype=object)
    for each in judgements:
        given = {number: verdict.genre for number, verdict in each.verdicts.items() if verdict.genre}
        table[each.name] = pd.Series(given, dtype=object).reindex(table.index, fill_value="")
    return table


def first_and_second(genres: pd.DataFrame) -> pd.DataFrame:
    """Of the files (rows) to which two sources (columns, in order of trust) give a genre: the first two, (n, 2)."""
    given = genres.to_numpy()
    rows = [[genre for genre in row if genre][:2] for row in given]
    return pd.DataFrame([row for row in rows if len(row) == 2], columns=["first", "second"], dtype=object)
