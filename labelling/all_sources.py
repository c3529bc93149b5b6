"""Label files by all sources: catalogues, tags, folders, and a language model for songs that these leave without."""

from collections.abc import Mapping, Sequence
from hashlib import sha256

import pandas as pd

from common.errors import UserError
from common.files import check_outputs, write_text
from labelling.dgm import DgmMap
from labelling.file_tables import read_file_tables
from labelling.files import MidiFile, find_midi_files, read_file_list, with_md5
from labelling.genre_map import GenreMap, Verdict
from labelling.labels import SourceLabels, in_order, judge, label
from labelling.llm import LlmOptions, SongQuery, ask, plan
from labelling.llm_answers import Answer
from labelling.msd import Problem
from labelling.names import song_keys
from labelling.options import ANNOTATION, DGM, LLM, TITLE, Options
from labelling.record import describe_sources, record, summary, write_record
from labelling.sources import gather


def label_files(options: Options) -> pd.DataFrame:
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


def requests(options: Options) -> str:
    """The requests to a language model that labelling would make, as text."""
    genre_map, files, sources = _label_without_llm(options, [])
    return plan(list(_songs_to_ask(options, files, sources)), _llm(options, genre_map), options.llm_cache)


def _llm(options: Options, genre_map: GenreMap) -> LlmOptions:
    return LlmOptions(options.llm, genre_map.classes, options.batch_songs)


def _label_without_llm(
    options: Options, problems: list[Problem]
) -> tuple[GenreMap, list[MidiFile], list[SourceLabels]]:
    genre_map = DgmMap.read() if str(options.genre_map) == DGM else GenreMap.read(options.genre_map)
    files = read_file_list(options.files) if options.files else find_midi_files(options.midi_dir, problems)
    if options.midi_dir and (options.match_scores or options.midi_genre_map or options.tables):
        files = with_md5(files, options.midi_dir, progress=True)
    files, evidence = read_file_tables(options.tables, files, problems)
    evidence += gather(files, options, genre_map, problems, cache=options.cache, progress=True)
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
