"""Read annotations and catalogues as text: genres of Million Song tracks or of MD5 sums, and artists' tags."""

import ast
import csv
import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from common.errors import UserError
from labelling.msd import Problem, Tags, Track

# Weights of the two labels of a line in files that rank them: labels with two thirds of the votes (tagtraum CD1).
_RANKED = (2 / 3, 1 / 3)
_TRACK_ID_CHARACTERS = 18
_DATASET_SEPARATOR = "<SEP>"


def read_match_scores(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """Read `match_scores.json`: for each wanted MD5 sum the matching tracks with scores from 0 to 1.

    Raises `UserError` for another file.
    """
    matches: dict[str, list[tuple[str, float]]] = {}
    for track, scores in _json_object(path, "track ids, with MD5 sums and scores").items():
        try:
            for md5, score in scores.items():
                if md5 in wanted and float(score) > 0:
                    matches.setdefault(md5, []).append((track, float(score)))
        except (AttributeError, TypeError, ValueError):
            problems.append(Problem(f"{path}: {track}", "expected MD5 sums with scores"))
    return matches


def read_track_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, Tags]:
    """Read a .cls file: the labels of the wanted tracks, with weights.

    A line is a track id, a tab and a label. Files that rank labels add another tab and a second label: then the first
    has weight 2/3. Lines that begin with # are comments. Raises `UserError` if there is no such file.
    """
    labels: dict[str, Tags] = {}
    for number, line in _lines(path):
        if line.startswith("#") or not line.strip():
            continue
        track, *fields = (field.strip() for field in line.split("\t"))
        named = [label for label in fields if label]
        if len(track) != _TRACK_ID_CHARACTERS or not 1 <= len(named) <= len(_RANKED):
            problems.append(Problem(f"{path}: line {number}", "expected a track id with one or two labels"))
        elif track in wanted:
            labels[track] = list(zip(named, _RANKED if len(named) > 1 else (1.0,), strict=True))
    return labels


def read_md5_labels(path: Path, wanted: Collection[str], problems: list[Problem]) -> dict[str, dict[str, Tags]]:
    """Read a JSON map, annotation -> MD5 sum -> labels: for each annotation the labels of the wanted files, counted.

    A file that matches several tracks has one label per track. Raises `UserError` for another file.
    """
    annotations: dict[str, dict[str, Tags]] = {}
    for name, labels_of in _json_object(path, "annotations, with MD5 sums and labels").items():
        annotations[name] = {}
        try:
            for md5, labels in labels_of.items():
                if md5 in wanted:
                    annotations[name][md5] = [(label, labels.count(label)) for label in sorted(set(labels))]
        except (AttributeError, TypeError):
            problems.append(Problem(f"{path}: {name}", "expected MD5 sums with lists of labels"))
    return annotations


def iter_unique_tracks(path: Path, problems: list[Problem]) -> Iterator[Track]:
    """Yield the songs of `unique_tracks.txt`: track id, song id, artist and title, separated by `<SEP>`."""
    for number, line in _lines(path):
        fields = line.rstrip("\r\n").split(_DATASET_SEPARATOR)
        if len(fields) == 4:
            yield Track(fields[0], fields[2], fields[3])
        elif line.strip():
            problems.append(Problem(f"{path}: line {number}", "expected track, song, artist and title with <SEP>"))


def iter_metadata_csv(path: Path, problems: list[Problem]) -> Iterator[Track]:
    """Yield the songs of a CSV with the columns artist, title and mbtags: a list in Python or JSON syntax, or one tag.

    The lists are sorted by votes but do not contain them: the k-th tag has weight 1 / sqrt(k). Raises `UserError` if
    there is no such file or column.
    """
    _require_file(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        missing = {"artist", "title", "mbtags"} - set(reader.fieldnames or ())
        if missing:
            raise UserError(f"{path}: no column {' and '.join(sorted(missing))}; name a CSV with artist,title,mbtags")
        for row in reader:
            try:
                tags = _parse_tags(row["mbtags"])
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                problems.append(Problem(f"{path}: line {reader.line_num}", "expected mbtags that are a list of texts"))
            else:
                ranked = ((tag, place**-0.5) for place, tag in enumerate(tags, 1))
                yield Track("", row["artist"], row["title"], tuple(ranked))


def _parse_tags(text: str | None) -> list[str]:
    """The texts of a list, or the text itself as the only tag. Raises an error for anything else."""
    if text is None:
        raise ValueError
    if not text.lstrip().startswith("["):
        return [text.strip()] if text.strip() else []
    tags = ast.literal_eval(text)
    if not all(isinstance(tag, str) for tag in tags):
        raise ValueError
    return tags


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    _require_file(path)
    with path.open(encoding="utf-8-sig", errors="replace", newline="\n") as file:
        yield from enumerate(file, start=1)


def _json_object(path: Path, content: str) -> dict[str, Any]:
    _require_file(path)
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); download it again") from error
    if not isinstance(value, dict):
        raise UserError(f"{path}: not an object of {content}")
    return value


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path}: no such file; name another, or leave the option out")
