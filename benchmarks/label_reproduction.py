"""The report's own figures of labels, measured again from the published CSVs, and what better rules make of them.

    python -m benchmarks.label_reproduction --published published

`published` holds what the authors of the report and others have published: lakh_clean.csv, metadata.csv,
lakh_clean_merged_homologado_{train,val,test}.csv, clean_midi.txt and midi_genre_map.json. None of it is part of this
repository. Prints one table.
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
from evaluation.tables import LABEL, Column, format_table
from labelling.agreement import agreement
from labelling.annotations import NamedTags, Tags, iter_metadata_csv, read_md5_labels
from labelling.dgm import DgmMap, dgm_genre
from labelling.files import MidiFile, read_file_list
from labelling.genre_map import GenreMap
from labelling.labels import judge
from labelling.names import artist_keys, key, song_keys
from labelling.sources import Catalogues, gather

COLUMNS = (
    Column("what", "what", LABEL),
    Column("of", "of", LABEL),
    Column("files", "files", alone=True),
    Column("share", "share"),
    Column("kappa", "kappa"),
)
# All Music Guide's styles (MASD) on the two sides of the line that is hardest to draw.
_ROCK_SIDE, _POP_SIDE = ("Rock", "Metal", "Punk", "Grunge"), ("Pop",)


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Where the published files are."""

    published: Path = option(Path("published"), "folder of the published CSVs, clean_midi.txt and midi_genre_map.json")


def reproduce(options: Options) -> pd.DataFrame:
    """The table: what, how many files, of which, share, Cohen's kappa. Raises `UserError` without the files."""
    folder = options.published
    files = read_file_list(_there(folder / "lakh_clean.csv"))
    records = list(iter_metadata_csv(_there(folder / "metadata.csv"), []))
    published = pd.concat(
        pd.read_csv(_there(folder / f"lakh_clean_merged_homologado_{split}.csv"), dtype=str, keep_default_na=False)
        for split in SPLITS
    )
    rows = [
        *_coverage(files, records),
        *_unknown_is_pop(files, records, published),
        *_against_masd(folder, published),
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _there(path: Path) -> Path:
    if not path.is_file():
        raise UserError(f"{path}: no such file; name the folder of the published files with --published")
    return path


def _row(what: str, part: int, of: str, whole: int, kappa: float = math.nan) -> dict[str, object]:
    return {"what": what, "files": part, "of": of, "share": part / whole, "kappa": kappa}


def _coverage(files: Sequence[MidiFile], records: Sequence[NamedTags]) -> Iterator[dict[str, object]]:
    """How many files find an artist's tags, by the published join and by better ones."""
    tagged = [record for record in records if record.tags]
    exact = {(record.artist, record.title) for record in tagged}
    songs = {f"{key(record.artist)} / {key(record.title)}" for record in tagged}
    artists = {key(record.artist) for record in tagged}
    joins = {
        "tags found by artist and title as written (published)": [(file.artist, file.title) in exact for file in files],
        "tags found by artist and title, normalised": [
            not songs.isdisjoint(song_keys(file.artist, file.title)) for file in files
        ],
        "tags found by artist, normalised": [not artists.isdisjoint(artist_keys(file.artist)) for file in files],
    }
    for what, found in joins.items():
        yield _row(what, sum(found), f"{len(files):,} files", len(files))


def _unknown_is_pop(
    files: Sequence[MidiFile], records: Sequence[NamedTags], published: pd.DataFrame
) -> Iterator[dict[str, object]]:
    """What changes where unknown tags count for nothing instead of for pop."""
    reproduced = published["mbtags"].map(dgm_genre)
    same = (reproduced == published["genre"].str.lower()).sum()
    yield _row("published label reproduced by labelling/dgm.py", same, f"{len(published):,} files", len(published))
    exact = {(record.artist, record.title): record for record in records if record.tags}
    tagged = published[[pair in exact for pair in zip(published["artist"], published["title"], strict=True)]]
    known = tagged["mbtags"].map(lambda tags: dgm_genre(tags, unknown=""))
    with_pop = tagged["mbtags"].map(dgm_genre)
    of = f"{len(tagged):,} files with tags"
    yield _row(
        "another genre, if unknown tags counted for nothing",
        ((known != with_pop) & (known != "")).sum(),
        of,
        len(tagged),
    )
    yield _row("no known tag, pop by default", (known == "").sum(), of, len(tagged))


def _against_masd(folder: Path, published: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Agreement with the styles of All Music Guide on what is rock and what pop, of the files that both tell."""
    files = read_file_list(_there(folder / "clean_midi.txt"))
    sums = {file.md5 for file in files}
    maps = read_md5_labels(_there(folder / "midi_genre_map.json"), sums, [])
    for name in ("magd", "masd"):
        found = sum(file.md5 in maps[name] for file in files)
        yield _row(f"{name.upper()} labels found by MD5 sum", found, f"{len(files):,} files", len(files))
    masd = pd.Series({number: _side(maps["masd"].get(file.md5, [])) for number, file in enumerate(files)})
    genre_of_path = dict(zip(map(_plain_path, published["path"]), published["genre"].str.lower(), strict=True))
    theirs = pd.Series({number: genre_of_path.get(_plain_path(file.path), "") for number, file in enumerate(files)})
    catalogues = Catalogues(metadata=folder / "metadata.csv")
    ours = {}
    for name, genre_map in (("this table of words", GenreMap.read()), ("dgm", DgmMap.read())):
        (of_tags,) = judge(gather(files, catalogues, genre_map, []), genre_map, 0.5)
        ours[name] = pd.Series({n: verdict.genre for n, verdict in of_tags.verdicts.items()}).reindex(
            theirs.index, fill_value=""
        )
    own = ours["this table of words"]
    labelled = (own != "").sum()
    yield _row("labelled by the artist's tags and this table of words", labelled, f"{len(files):,} files", len(files))
    yield _agreement("published labels agree with MASD", masd, theirs)
    yield _agreement("this table's labels agree with MASD", masd, own)
    yield _agreement(
        "published labels, of the files that this table labels, agree with MASD",
        masd,
        theirs[own.isin(["rock", "pop"])],
    )
    yield _agreement("this table's labels agree with the published", theirs, own)


def _plain_path(path: str) -> str:
    """Lists write one path with other signs."""
    return re.sub(r"[\W_]+", " ", path)


def _side(tags: Tags) -> str:
    """Rock or pop, whichever more of a file's styles are; "" for neither."""
    votes = {
        side: sum(weight for tag, weight in tags if tag.split("_")[0] in names)
        for side, names in (("rock", _ROCK_SIDE), ("pop", _POP_SIDE))
    }  # fmt: skip
    return "" if votes["rock"] == votes["pop"] else max(votes, key=votes.__getitem__)


def _agreement(what: str, one: pd.Series, other: pd.Series) -> dict[str, object]:
    pairs = pd.DataFrame({"one": one, "other": other}).dropna()
    pairs = pairs[(pairs["one"] != "") & (pairs["other"] != "")]
    sides = pairs[pairs["one"].isin(["rock", "pop"]) & pairs["other"].isin(["rock", "pop"])]
    told = agreement(sides["one"], sides["other"], ["rock", "pop"])
    return _row(what, round(told["agreement"] * len(sides)), f"{len(sides):,} files", len(sides), told["kappa"])


if __name__ == "__main__":
    run_command(lambda: print(format_table(reproduce(parse_options(Options, __doc__)), COLUMNS)))
