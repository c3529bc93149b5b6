"""Label a folder of MIDI files with genres from catalogues, tags or folder names; writes a CSV for prepare_data.py.

    python label_data.py --midi-dir lmd/clean_midi --msd-h5 lmd_matched_h5 --match-scores match_scores.json
    python label_data.py --midi-dir midi --folders                                      # folders named after genres
    python label_data.py --files clean_midi.txt --midi-genre-map midi_genre_map.json    # a list, without the files
    python label_data.py --midi-dir lmd/clean_midi --metadata metadata.csv --llm gpt-4o-mini    # a model for the others

All sources are local files; only --llm uses a server (any with OpenAI's interface: set OPENAI_BASE_URL and
OPENAI_API_KEY). The first source in --order that gives a file a genre decides. A table of words maps tags to genres:
labelling/genres.toml, or a changed copy of it. Writes labels.csv (path, genre, genre_id, artist, title, source,
confidence, agree, disagree, tags), unlabelled.csv with the reasons, and labels.json with the sources and their
agreement on files that several of them label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd

from common.errors import UserError, run_command
from common.files import check_outputs, write_text
from common.options import option, parse_options
from labelling.dgm import DgmMap
from labelling.files import MidiFile, find_midi_files, read_file_list, with_md5
from labelling.genre_map import SHIPPED, GenreMap, Verdict
from labelling.labels import SourceLabels, in_order, judge, label
from labelling.llm import LlmOptions, SongQuery, ask, plan
from labelling.llm_answers import Answer
from labelling.msd import Problem
from labelling.names import song_keys
from labelling.record import describe_sources, record, summary, write_record
from labelling.sources import ANNOTATION, KINDS, LLM, TITLE, Catalogues, gather

UNLABELLED, DGM = "unlabelled.csv", "dgm"


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
            raise UserError("no source of genres: give --msd-h5, --metadata, --annotations, --folders, --llm ...")
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


def label_data(options: Options) -> pd.DataFrame:
    """Write the labels, print a summary, and return them. Raises `UserError` for unusable files, or without a label."""
    check_outputs(options.outputs(), options.inputs())
    problems: list[Problem] = []
    genre_map, files, sources = _label_without_llm(options, problems)
    if options.llm:
        songs = _songs_to_ask(options, files, sources)
        answers = ask(list(songs), _llm(options, genre_map), options.llm_cache)
        sources.append(_labels_of_answers(songs, answers, genre_map.classes))
    sources = in_order(sources, options.order)
    labels, unlabelled = label(files, sources, genre_map.classes)
    if labels.empty:
        raise UserError(_why_no_label(unlabelled, problems))
    facts = {"sources": describe_sources(options.paths()), "min_share": options.min_share, "llm": options.llm}
    content = record(labels, len(files), sources, genre_map, facts, problems)
    print(summary(labels, content))
    _, without, _ = options.outputs()
    for path, table in ((options.out, labels), (without, unlabelled)):
        write_text(path, table.to_csv(index=False, lineterminator="\n"))
    write_record(content, options.out)
    print(f"{options.out}\n{without}: {len(unlabelled):,} files without a genre, with the reasons")
    return labels


def _why_no_label(unlabelled: pd.DataFrame, problems: Sequence[Problem]) -> str:
    reasons = unlabelled["reason"].value_counts()
    lines = [f"no file gets a label; of {len(unlabelled):,} files {reasons.iloc[0]:,}: {reasons.index[0]}"]
    if problems:
        lines.append(f"{len(problems):,} records could not be read, such as: {': '.join(problems[0])}")
    return "; ".join([*lines, "name more sources"])


def print_plan(options: Options) -> None:
    """Print the requests to a language model, for --dry-run."""
    if options.llm:
        genre_map, files, sources = _label_without_llm(options, [])
        print(plan(list(_songs_to_ask(options, files, sources)), _llm(options, genre_map), options.llm_cache))


def _llm(options: Options, genre_map: GenreMap) -> LlmOptions:
    return LlmOptions(options.llm, genre_map.classes, options.batch_songs)


def _label_without_llm(
    options: Options, problems: list[Problem]
) -> tuple[GenreMap, list[MidiFile], list[SourceLabels]]:
    genre_map = DgmMap.read() if str(options.genre_map) == DGM else GenreMap.read(options.genre_map)
    files = read_file_list(options.files) if options.files else find_midi_files(options.midi_dir, problems)
    if options.midi_dir and (options.match_scores or options.midi_genre_map):
        files = with_md5(files, options.midi_dir, progress=True)
    evidence = gather(files, options, genre_map, problems, cache=options.cache, progress=True)
    return genre_map, files, judge(evidence, genre_map, options.min_share)


def _songs_to_ask(
    options: Options, files: Sequence[MidiFile], sources: Sequence[SourceLabels]
) -> dict[SongQuery, list[int]]:
    """The songs without a genre, and --check random annotated ones: each with the positions of its files."""
    labelled = _with_genre(in_order(sources, options.order))
    annotated = _with_genre([each for each in sources if each.kind in (ANNOTATION, TITLE)])
    songs: dict[SongQuery, list[int]] = {}
    for number, file in enumerate(files):
        keys = song_keys(file.artist, file.title)
        if keys:
            songs.setdefault(SongQuery(keys[0], file.artist, file.title), []).append(number)
    shuffled = sorted(songs, key=lambda song: sha256(song.key.encode()).digest())
    checked = set([song for song in shuffled if annotated.intersection(songs[song])][: options.check])
    return {song: own for song, own in songs.items() if song in checked or not labelled.issuperset(own)}


def _with_genre(sources: Sequence[SourceLabels]) -> set[int]:
    """Positions of the files with a genre by any of the sources."""
    return {number for each in sources for number, verdict in each.verdicts.items() if verdict.genre}


def _labels_of_answers(
    songs: Mapping[SongQuery, Sequence[int]], answers: Mapping[str, Answer], classes: Sequence[str]
) -> SourceLabels:
    verdicts = {}
    for song, numbers in songs.items():
        answer = answers.get(song.key)
        if answer and answer.genre in classes:
            verdict = Verdict(answer.genre, answer.confidence, "")
        else:
            verdict = Verdict("", 0.0, f"says {answer.genre}" if answer else "no valid answer")
        verdicts |= dict.fromkeys(numbers, verdict)
    return SourceLabels(LLM, LLM, verdicts, {})


if __name__ == "__main__":
    run_command(lambda: label_data(parse_options(Options, __doc__, dry_run=print_plan)))
