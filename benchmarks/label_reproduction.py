"""Recompute the report's numbers on labels from the published CSVs, and compare them with the labels of genres.toml.

    python -m benchmarks.label_reproduction --published published

`published` holds files of the report's authors and of others, which are not part of this repository: lakh_clean.csv,
metadata.csv, lakh_clean_merged_homologado_{train,val,test}.csv, clean_midi.txt and midi_genre_map.json. Prints a table.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from common.errors import UserError, run_command
from common.options import CheckedOptions, option, parse_options
from common.splits import SPLITS
from evaluation.tables import LABEL, OURS, Column, columns, format_table
from labelling.agreement import agreement
from labelling.annotations import iter_metadata_csv, read_md5_labels
from labelling.dgm import dgm_genre
from labelling.files import MidiFile, read_file_list
from labelling.genre_map import GenreMap
from labelling.labels import genre_table, judge
from labelling.msd import Tags, Track
from labelling.names import artist_keys, key, song_keys
from labelling.options import MBTAGS, Catalogues
from labelling.sources import gather

COLUMNS = (
    *columns(LABEL, what="what", of="of"),
    Column("files", "files", alone=True),
    *columns(OURS, share="share", kappa="kappa"),
)
FILES = ["lakh_clean.csv", "metadata.csv", "clean_midi.txt", "midi_genre_map.json"]
LABELS = [f"lakh_clean_merged_homologado_{split}.csv" for split in SPLITS]
ROCK, POP = SIDES = ["rock", "pop"]  # the two classes that are hardest to distinguish
_STYLES = {ROCK: ("Rock", "Metal", "Punk", "Grunge"), POP: ("Pop",)}  # of the All Music Guide (MASD)


@dataclass(frozen=True)
class Options(CheckedOptions):
    """The published files."""

    published: Path = option(Path("published"), "folder of the published CSVs, clean_midi.txt and midi_genre_map.json")


def reproduce(options: Options) -> pd.DataFrame:
    """Return the table: what, files, of which files, share, Cohen's kappa. Raises `UserError` for missing files."""
    folder = options.published
    for name in (*FILES, *LABELS):
        if not (folder / name).is_file():
            raise UserError(f"{folder / name}: no such file; name the folder of the published files with --published")
    files = read_file_list(folder / "lakh_clean.csv")
    tagged = [track for track in iter_metadata_csv(folder / "metadata.csv", []) if track.mbtags]
    published = pd.concat(pd.read_csv(folder / name, dtype=str, keep_default_na=False) for name in LABELS)
    published["genre"] = published["genre"].str.lower()
    return pd.DataFrame([*_coverage(files, tagged), *_unknown_is_pop(tagged, published), *_masd(folder, published)])


def _row(what: str, part: int, whole: int, of: str = "files", kappa: float = math.nan) -> dict[str, object]:
    return {"what": what, "files": part, "of": f"{whole:,} {of}", "share": part / whole, "kappa": kappa}


def _coverage(files: Sequence[MidiFile], tagged: Sequence[Track]) -> Iterator[dict[str, object]]:
    """How many files have tags, by the published join and by normalised names."""
    exact = {(track.artist, track.title) for track in tagged}
    artists = {key(track.artist) for track in tagged}
    songs = {f"{key(track.artist)} / {key(track.title)}" for track in tagged}
    joins = {
        "artist and title as written (published)": [(file.artist, file.title) in exact for file in files],
        "artist and title, normalised": [not songs.isdisjoint(song_keys(file.artist, file.title)) for file in files],
        "artist, normalised": [not artists.isdisjoint(artist_keys(file.artist)) for file in files],
    }
    for names, found in joins.items():
        yield _row(f"tags found by {names}", sum(found), len(files))


def _unknown_is_pop(tagged: Sequence[Track], published: pd.DataFrame) -> Iterator[dict[str, object]]:
    """What changes if unknown tags have no weight instead of voting for pop."""
    same = (published["mbtags"].map(dgm_genre) == published["genre"]).sum()
    yield _row("published label reproduced by labelling/dgm.py", same, len(published))
    exact = {(track.artist, track.title) for track in tagged}
    tags = published["mbtags"][[pair in exact for pair in zip(published["artist"], published["title"], strict=True)]]
    known, of = tags.map(lambda text: dgm_genre(text, unknown="")), "files with tags"
    other = ((known != tags.map(dgm_genre)) & (known != "")).sum()
    yield _row("another genre if unknown tags had no weight", other, len(tags), of)
    yield _row("no known tag, pop by default", (known == "").sum(), len(tags), of)


def _masd(folder: Path, published: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Agreement with the styles of the All Music Guide about rock and pop."""
    files = read_file_list(folder / "clean_midi.txt")
    maps = read_md5_labels(folder / "midi_genre_map.json", {file.md5 for file in files}, [])
    for name in ("magd", "masd"):
        yield _row(f"{name.upper()} labels found by MD5 sum", sum(file.md5 in maps[name] for file in files), len(files))
    genre_map, catalogues = GenreMap.read(), Catalogues(metadata=folder / "metadata.csv")
    ours = genre_table(judge(gather(files, catalogues, genre_map, []), genre_map, 0.5), len(files))[MBTAGS]
    masd = pd.Series([_side(maps["masd"].get(file.md5, [])) for file in files])
    genres = dict(zip(map(_plain_path, published["path"]), published["genre"], strict=True))
    theirs = pd.Series([genres.get(_plain_path(file.path), "") for file in files])
    yield _row("labelled by artists' tags and genres.toml", (ours != "").sum(), len(files))
    yield _agreement("published labels agree with MASD", masd, theirs)
    yield _agreement("genres.toml labels agree with MASD", masd, ours)
    both = theirs.where(ours.isin(SIDES), "")
    yield _agreement("published labels agree with MASD, on files that genres.toml labels", masd, both)
    yield _agreement("genres.toml labels agree with the published labels", theirs, ours)


def _plain_path(path: str) -> str:
    """The lists write the same path with different punctuation."""
    return re.sub(r"[\W_]+", " ", path)


def _side(tags: Tags) -> str:
    """Rock or pop, by the majority of a file's styles; "" in a tie or without any."""
    votes = {side: sum(n for tag, n in tags if tag.split("_")[0] in styles) for side, styles in _STYLES.items()}
    return "" if votes[ROCK] == votes[POP] else max(votes, key=votes.__getitem__)


def _agreement(what: str, one: pd.Series, other: pd.Series) -> dict[str, object]:
    sides = one.isin(SIDES) & other.isin(SIDES)
    row = agreement(one[sides], other[sides], SIDES)
    return _row(what, round(row["agreement"] * row["files"]), row["files"], kappa=row["kappa"])


if __name__ == "__main__":
    run_command(lambda: print(format_table(reproduce(parse_options(Options, __doc__)), COLUMNS)))
