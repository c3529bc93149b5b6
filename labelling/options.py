"""The sources of genres, and how they label files."""

from dataclasses import dataclass
from pathlib import Path

from common.errors import UserError
from common.options import CheckedOptions, option
from labelling.genre_map import SHIPPED

ANNOTATION, TITLE, FOLDER, MBTAGS, TERMS, LLM = KINDS = ("annotation", "title", "folder", "mbtags", "terms", "llm")
UNLABELLED, DGM = "unlabelled.csv", "dgm"


@dataclass(frozen=True)
class Catalogues(CheckedOptions):
    """The sources of genres, each optional."""

    msd_h5: tuple[Path, ...] = option((), "HDF5 files of the Million Song Dataset: folders, or files of many songs")
    match_scores: Path | None = option(None, "match_scores.json of Lakh: the tracks that match each MD5 sum")
    annotations: tuple[Path, ...] = option((), ".cls files: a track and its genre in each line (tagtraum, MAGD, MASD)")
    midi_genre_map: Path | None = option(None, "JSON of annotations by MD5 sum")
    metadata: Path | None = option(None, "CSV with artist, title and mbtags, a list of the artist's tags")
    tables: tuple[Path, ...] = option(
        (), "metadata of GigaMIDI or of IMSLP-MIDI, as CSV or parquet, by MD5 sum or file name"
    )
    unique_tracks: Path | None = option(None, "unique_tracks.txt, to find annotated tracks by artist and title")
    folders: bool = option(False, "a folder that is named after a genre labels its files")

    def paths(self) -> list[Path]:
        single = (self.match_scores, self.midi_genre_map, self.metadata, self.unique_tracks)
        return [*self.msd_h5, *self.annotations, *self.tables, *(path for path in single if path)]


@dataclass(frozen=True)
class Options(Catalogues):
    """The files to label, and the choice of their genres."""

    midi_dir: Path | None = option(None, "folder of MIDI files")
    files: Path | None = option(
        None, "CSV with path, artist, title, md5: the files, or with --midi-dir their names of artists and titles"
    )
    out: Path = option(Path("labels.csv"), "label CSV to write, with unlabelled.csv and a .json of its name beside it")
    genre_map: Path = option(SHIPPED, "table of words and their genres; dgm: the rules of the published labels")
    order: tuple[str, ...] = option(
        KINDS, "sources to use, the most trusted first: annotation (by MD5 sum), title (annotation by artist and "
        "title), folder, mbtags and terms (tags of the artist), llm", choices=KINDS,
    )  # fmt: skip
    min_share: float = option(0.5, "share of the weight of all classes that a genre needs", minimum=0, maximum=1)
    llm: str | None = option(None, "language model for songs without a genre; its server gets artists and titles")
    llm_cache: Path = option(Path("llm.jsonl"), "file that keeps the model's answers; stored songs are not sent again")
    check: int = option(0, "number of annotated songs that --llm labels, too, to measure its agreement", minimum=0)
    batch_songs: int = option(20, "songs in a request", minimum=1, maximum=1000)
    cache: Path = option(Path("cache"), "folder that keeps the content of HDF5 files for the next call")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.midi_dir is None and self.files is None:
            raise UserError("give --midi-dir FOLDER, or --files LIST")
        if not (self.paths() or self.folders or self.llm):
            raise UserError("no source of genres: give --metadata, --annotations, --tables, --folders, --llm ...")
        if self.llm and LLM not in self.order:
            raise UserError(f"--llm needs {LLM} in --order: add it there, or leave --llm out")
        if self.check and not self.llm:
            raise UserError("--check measures a language model: give --llm, too")
        if len(set(self.outputs())) < len(self.outputs()):
            raise UserError(f"--out {self.out}: its name is that of another file to write; name one such as labels.csv")

    def outputs(self) -> list[Path]:
        """The label CSV, that of unlabelled files, and the record."""
        return [self.out, self.out.with_name(UNLABELLED), self.out.with_suffix(".json")]

    def inputs(self) -> list[Path]:
        return [*self.paths(), *([self.files] if self.files else []), self.genre_map, self.llm_cache]
