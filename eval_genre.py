"""Does generated music obey the genre asked for? A genre classifier's accuracy on generated and on real clips.

    python eval_genre.py --store store                    # every T that has a generator, 1000 clips a genre
    python eval_genre.py --seq-len 32 --clips 200 --classifier-steps 200         # quicker
    python eval_genre.py --checkpoints checkpoints/shuffled --metrics metrics/shuffled

The classifier is trained on real training windows, with the labels as given, chosen by validation accuracy and kept in
--cache. Its accuracy on real test windows is the ceiling for generated ones. About a minute for each T the first time.

Writes metrics/genre-T{T}.csv, one row a genre, genre_id -1 for all, with the confusion table.
"""

from dataclasses import dataclass

import pandas as pd

from common.errors import UserError, run_command
from common.options import option, parse_options
from evaluation.metrics.genre_accuracy import GENRE_TABLE, answer_columns, measure_genre_accuracy
from evaluation.metrics.genre_classifier import ClassifierOptions, open_classifier
from evaluation.published import GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER
from evaluation.samples.clips import ClipOptions, ClipSource, open_clip_sources
from evaluation.tables import format_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(ClipOptions, ClassifierOptions):
    """Options of this evaluation."""

    clips: int = option(1000, "generated clips of each genre", minimum=1, maximum=1_000_000)


LEGEND = """
T = {T}, {checkpoint}. Classifier: validation accuracy {classifier_accuracy_val:.3f}, temperature \
{classifier_temperature:.2f}. all: mean over the {condition} names that have clips.
A silent clip is never right; of sounding clips: without those. real: the ceiling, on all test windows; by window: each
counting alike, beside the answer that is always the commonest one.
IS: exp E KL(p(y|x) || p(y)), between 1 and {n_genres}, on {n_inception:g} clips of each.
Paper [1] reports {paper:.1%} and an IS of {paper_IS}, on other music by a classifier that it does not describe; with
its 4 genres that IS is impossible."""


def eval_genre(options: Options) -> pd.DataFrame:
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    if options.split != "test":
        raise UserError(f"--split {options.split}: the classifier has seen these songs; leave the option out")
    frame = pd.concat([_measure(source, options) for source in open_clip_sources(options)], ignore_index=True)
    print(*GENRE_TABLE.write_lengths(frame, options.metrics), sep="\n")
    return frame


def _measure(source: ClipSource, options: Options) -> pd.DataFrame:
    classifier = open_classifier(source.of_split("train"), source.of_split("val"), options)
    frame = measure_genre_accuracy(source, classifier, options.clips)
    condition = source.trained.condition
    print(format_table(frame, GENRE_TABLE.columns, condition))
    for origin in ("real", "generated"):
        print(f"\nshare of {origin} clips that the classifier takes for")
        print(format_table(frame, answer_columns(origin, source.genres), condition))
    facts = frame.iloc[-1].to_dict()
    paper = {"paper": GENRE_ACCURACY_PAPER, "paper_IS": INCEPTION_SCORE_PAPER}
    print(LEGEND.format(**facts, **paper, n_genres=len(source.genres)))
    for row in frame[frame["note"] != ""].itertuples():
        print(f"{row.genre_name}: {row.note}")
    return frame


if __name__ == "__main__":
    run_command(lambda: eval_genre(parse_options(Options, __doc__)), CheckpointError)
