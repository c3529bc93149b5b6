"""Genres that others have given to tracks of the Million Song Dataset, or to Lakh's files by MD5 sum."""

import ast
import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from common.errors import UserError
from labelling.msd import Problem

Tags = list[tuple[str, float]]
# What the first of two labels of a line counts, where a file ranks them: agreement of two thirds (tagtraum CD1).
_RANKED = (2 / 3, 1 / 3)
_TRACK_ID = 18  # characters
_DATASET_SEPARATOR = "<SEP>"


class NamedTags(NamedTuple):
    """What a catalogue says of a song: its track id, if it has one, artist and title, and tags of the artist."""

    track: str
    artist: str
    title: str
    tags: Tags


def read_match_scores(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """From `match_scores.json`: for each wanted MD5 sum the tracks that match it, and the scores, 0 to 1.

    Raises `UserError` where it is no such file.
    """
    matches: dict[str, Tags] = {}
    for track, scores in _json_object(path, "track ids, with MD5 sums and scores").items():
        try:
            for md5, score in scores.items():
                if md5 in wanted and float(score) > 0:
                    matches.setdefault(md5, []).append((track, float(score)))
        except (AttributeError, TypeError, ValueError):
            problems.append(Problem(f"{path}: {track}", "no MD5 sums with scores"))
    return matches


def read_track_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """From a .cls file: the labels of the wanted tracks, and what each counts.

    Lines are `track id, tab, label` and, in files that rank two, another label: the first counts two thirds there, one
    alone all. Lines that begin with # are remarks. Raises `UserError` where there is no such file.
    """
    labels: dict[str, Tags] = {}
    for number, line in _lines(path):
        if line.startswith("#") or not line.strip():
            continue
        track, *told = (field.strip() for field in line.rstrip("\r\n").split("\t"))
        told = [label for label in told if label]
        if len(track) != _TRACK_ID or not 1 <= len(told) <= len(_RANKED):
            problems.append(Problem(f"{path}: line {number}", "no track id with one or two labels"))
        elif track in wanted:
            labels[track] = list(zip(told, _RANKED if len(told) > 1 else (1.0,), strict=True))
    return labels


def read_md5_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, dict[str, Tags]]:
    """From a map of annotations to MD5 sums to labels: for each annotation the labels of the wanted files, counted.

    A file that matches several tracks has the label of each. Raises `UserError` where it is no such file.
    """
    annotations: dict[str, dict[str, Tags]] = {}
    for name, of_file in _json_object(path, "annotations, with MD5 sums and labels").items():
        labels = annotations.setdefault(name, {})
        try:
            for md5, told in of_file.items():
                if md5 in wanted:
                    labels[md5] = [(label, told.count(label)) for label in sorted(set(told))]
        except (AttributeError, TypeError):
            problems.append(Problem(f"{path}: {name}", "no MD5 sums with lists of labels"))
    return annotations


def iter_unique_tracks(path: Path, problems: list[Problem]) -> Iterator[NamedTags]:
    """The songs of `unique_tracks.txt`: track id, song id, artist and title between `<SEP>`, a million lines."""
    for number, line in _lines(path):
        fields = line.rstrip("\r\n").split(_DATASET_SEPARATOR)
        if len(fields) == 4:
            yield NamedTags(fields[0], fields[2], fields[3], [])
        elif line.strip():
            problems.append(Problem(f"{path}: line {number}", "not track, song, artist and title between <SEP>"))


def iter_metadata_csv(path: Path, problems: list[Problem]) -> Iterator[NamedTags]:
    """The songs of a CSV with the columns artist, title and mbtags: a list as Python or JSON writes it, or one tag.

    The lists begin with what most people say, without telling how many: the k-th tag counts 1 / sqrt(k).
    Raises `UserError` where there is no such file.
    """
    _require_file(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"artist", "title", "mbtags"} - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{path}: no column {' and '.join(sorted(missing))}; name a CSV with artist,title,mbtags")
        for row in reader:
            tags = None if row["mbtags"] is None else _listed(row["mbtags"])
            if tags is None:
                problems.append(Problem(f"{path}: line {reader.line_num}", "no mbtags that are a list of texts"))
            else:
                yield NamedTags(
                    "", row["artist"], row["title"], [(tag, place**-0.5) for place, tag in enumerate(tags, 1)]
                )


def _listed(text: str) -> list[str] | None:
    """The texts of a list as Python or JSON writes it, or the text itself; None for a list of something else."""
    if not text.lstrip().startswith("["):
        return [text.strip()] if text.strip() else []
    try:
        told = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    return told if all(isinstance(tag, str) for tag in told) else None


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    _require_file(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        yield from enumerate(file, start=1)


def _json_object(path: Path, what: str) -> dict[str, Any]:
    _require_file(path)
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: no JSON ({error}); fetch it anew") from error
    if not isinstance(told, dict):
        raise UserError(f"{path}: no object of {what}")
    return told


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file; name another, or leave the option out")
