"""Give a folder of MIDI files genres, from whatever is known of them, as the label CSV that prepare_data.py takes.

    python label_data.py --midi-dir lmd/clean_midi --msd-h5 lmd_matched_h5 --match-scores match_scores.json
    python label_data.py --midi-dir midi --folders                              # folders that are called by a genre
    python label_data.py --files clean_midi.txt --midi-genre-map midi_genre_map.json    # a list, without the files
    python label_data.py --midi-dir lmd/clean_midi --metadata metadata.csv --llm gpt-4o-mini    # asks for the rest

Every source is a file of your own; nothing is fetched, and only --llm asks a server (any with OpenAI's interface:
OPENAI_BASE_URL and OPENAI_API_KEY in the environment). The first source in --order that gives a file a genre decides.
Tags become genres by a table of words, labelling/genres.toml or a copy of it that you have changed. Writes labels.csv
(path, genre, genre_id, artist, title, source, confidence, agree, disagree, tags), unlabelled.csv with the reasons, and
labels.json: what it was made of, and how far the sources agree on files that several label.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pandas as pd

from common.errors import UserError, run_command
from common.files import write_text
from common.options import CheckedOptions, option, parse_options
from labelling.dgm import DgmMap
from labelling.files import MidiFile, find_midi_files, read_file_list, with_md5
from labelling.genre_map import SHIPPED, GenreMap, Verdict
from labelling.labels import Judgement, in_order, judge, label
from labelling.llm import LlmOptions, SongQuery, ask, plan
from labelling.llm_answers import Answer
from labelling.msd import Problem
from labelling.names import song_keys
from labelling.record import describe_sources, record, summary, write_record
from labelling.sources import ANNOTATION, KINDS, LLM, TITLE, Catalogues, gather

UNLABELLED, DGM = "unlabelled.csv", "dgm"


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Which files, what is known of them, and how it becomes a genre."""

    midi_dir: Path | None = option(None, "folder of MIDI files")
    files: Path | None = option(
        None, "list of the files instead, or beside it names of artists and titles: a CSV with path, artist, title, md5"
    )
    out: Path = option(Path("labels.csv"), "label CSV to write; unlabelled.csv and a .json of its name go beside it")
    msd_h5: tuple[Path, ...] = option((), "HDF5 files of the Million Song Dataset: folders, or whole-set files")
    match_scores: Path | None = option(None, "match_scores.json of Lakh: which tracks a file's MD5 sum matches")
    annotations: tuple[Path, ...] = option((), ".cls files: a track's genre on each line (tagtraum, MAGD, MASD)")
    midi_genre_map: Path | None = option(None, "JSON of annotations by MD5 sum")
    metadata: Path | None = option(None, "CSV with artist, title and mbtags, a list of the artist's tags")
    unique_tracks: Path | None = option(None, "unique_tracks.txt, to find annotated tracks by artist and title")
    folders: bool = option(False, "folders that are called by a genre name that of the files in them")
    genre_map: Path = option(
        SHIPPED,
        "table of words and their genres, a changed copy of the shipped one; or dgm: the rules of the published labels",
    )
    order: tuple[str, ...] = option(
        KINDS, "sources, the most trusted first: annotation (by MD5 sum), title (annotation by artist and title), "
        "folder, mbtags and terms (of the artist), llm; what is not named is not used", choices=KINDS,
    )  # fmt: skip
    min_share: float = option(0.5, "what a genre needs of all that the known tags weigh", minimum=0, maximum=1)
    llm: str | None = option(None, "model that is asked for the songs that remain; its server gets artists and titles")
    llm_cache: Path = option(Path("llm.jsonl"), "its answers, which are asked for once")
    check: int = option(0, "annotated songs that --llm is asked for too, to measure it", minimum=0)
    batch_songs: int = option(20, "songs in a request", minimum=1, maximum=1000)
    cache: Path = option(Path("cache"), "folder in which what HDF5 files tell is kept, to be read at once next time")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.midi_dir is None and self.files is None:
            raise UserError("give --midi-dir FOLDER, or --files LIST")
        if not (self.catalogues.paths() or self.folders or self.llm):
            raise UserError(
                "no source to take genres from: give --msd-h5, --metadata, --annotations, --folders, --llm ..."
            )
        if self.llm and LLM not in self.order:
            raise UserError(f"--order leaves {LLM} out, but --llm asks it: name it there, or leave --llm out")
        if self.check and not self.llm:
            raise UserError("--check measures a model: give --llm, too")

    @property
    def catalogues(self) -> Catalogues:
        return Catalogues(
            self.msd_h5, self.match_scores, self.annotations, self.midi_genre_map, self.metadata, self.unique_tracks,
            self.folders,
        )  # fmt: skip


def label_data(options: Options) -> pd.DataFrame:
    """Write the labels, print a summary, and return them. Raises `UserError` with a sentence where that cannot be."""
    genre_map = _genre_map(options)
    problems: list[Problem] = []
    files, judgements = _judge_without_llm(options, genre_map, problems)
    if options.llm:
        songs = _songs_to_ask(options, files, judgements)
        answers = ask(list(songs), _llm(options, genre_map), options.llm_cache)
        judgements.append(_of_answers(songs, answers, genre_map.classes))
    judgements = in_order(judgements, options.order)
    labels, unlabelled = label(files, judgements, genre_map.classes)
    facts = {
        "sources": describe_sources(options.catalogues.paths()), "min_share": options.min_share, "llm": options.llm,
    }  # fmt: skip
    told = record(labels, len(files), judgements, genre_map, facts, problems)
    print(summary(labels, told))
    write_text(options.out, labels.to_csv(index=False, lineterminator="\n"))
    write_text(options.out.with_name(UNLABELLED), unlabelled.to_csv(index=False, lineterminator="\n"))
    write_record(told, options.out)
    print(f"{options.out}\n{len(unlabelled):,} files without a genre, and why: {options.out.with_name(UNLABELLED)}")
    return labels


def _genre_map(options: Options) -> GenreMap:
    return DgmMap.read() if str(options.genre_map) == DGM else GenreMap.read(options.genre_map)


def _judge_without_llm(
    options: Options, genre_map: GenreMap, problems: list[Problem]
) -> tuple[list[MidiFile], list[Judgement]]:
    files = read_file_list(options.files) if options.files else find_midi_files(options.midi_dir, problems)
    if options.midi_dir and options.catalogues.by_md5:
        files = with_md5(files, options.midi_dir, progress=True)
    evidence = gather(files, options.catalogues, genre_map, problems, cache=options.cache, progress=True)
    return files, judge(evidence, genre_map, options.min_share)


def _songs_to_ask(
    options: Options, files: Sequence[MidiFile], judgements: Sequence[Judgement]
) -> dict[SongQuery, list[int]]:
    """The songs that no other source labels, and --check annotated ones: each with its files' positions."""
    labelled = _given_a_genre(in_order(judgements, options.order))
    annotated = _given_a_genre(each for each in judgements if each.kind in (ANNOTATION, TITLE))
    songs: dict[SongQuery, list[int]] = {}
    for number, file in enumerate(files):
        keys = song_keys(file.artist, file.title)
        if keys:
            songs.setdefault(SongQuery(keys[0], file.artist, file.title), []).append(number)
    by_chance = sorted(songs, key=lambda song: sha256(song.key.encode()).digest())
    checked = set([song for song in by_chance if annotated.intersection(songs[song])][: options.check])
    return {
        song: numbers for song, numbers in songs.items()
        if song in checked or not labelled.issuperset(numbers)
    }  # fmt: skip


def _given_a_genre(judgements: Iterable[Judgement]) -> set[int]:
    """Positions of the files that any of them gives a genre."""
    return {number for each in judgements for number, verdict in each.verdicts.items() if verdict.genre}


def _llm(options: Options, genre_map: GenreMap) -> LlmOptions:
    return LlmOptions(options.llm, genre_map.classes, batch_songs=options.batch_songs)


def _of_answers(
    songs: Mapping[SongQuery, Sequence[int]], answers: Mapping[str, Answer], classes: Sequence[str]
) -> Judgement:
    verdicts = {}
    for song, numbers in songs.items():
        answer = answers.get(song.key)
        known = answer is not None and answer.genre in classes
        verdict = Verdict(answer.genre, answer.confidence, "") if known else Verdict("", 0.0, _why_not(answer))
        verdicts.update(dict.fromkeys(numbers, verdict))
    return Judgement(LLM, LLM, verdicts, {})


def _why_not(answer: Answer | None) -> str:
    return f"says {answer.genre}" if answer else "no valid answer"


def tell_plan(options: Options) -> None:
    """What a run would ask a model, for --dry-run."""
    if options.llm:
        genre_map = _genre_map(options)
        files, judgements = _judge_without_llm(options, genre_map, [])
        songs = _songs_to_ask(options, files, judgements)
        print(plan(list(songs), _llm(options, genre_map), options.llm_cache))


if __name__ == "__main__":
    run_command(lambda: label_data(parse_options(Options, __doc__, dry_run=tell_plan)))
