"""Does generated music fit its genre? Accuracy of a genre classifier on generated and on real clips.

    python eval_genre.py --store store                    # every T that has a generator, 1000 clips of each genre
    python eval_genre.py --seq-len 32 --clips 200 --classifier-steps 200         # quicker
    python eval_genre.py --checkpoints checkpoints,shuffled                      # also weights of shuffled labels

The classifier is trained on real training windows, with the store's labels, chosen by validation accuracy and cached in
--cache. Its accuracy on real test windows is the ceiling for generated ones. About a minute for each T the first time.

Writes metrics/genre-T{T}.csv, a row for each genre, genre_id -1 for all, with the confusion table.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import option, parse_options
from common.torchrun import run_divided
from evaluation.options import ClassifierOptions, ClipOptions
from evaluation.published import GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.samples.clips import ClipSource


@dataclass(frozen=True)
class Options(ClipOptions, ClassifierOptions):
    """Options of this evaluation."""

    clips: int = option(1000, "generated clips of each genre", minimum=1, maximum=1_000_000)


LEGEND = f"""
T = {{T}}, {{checkpoint}}. Classifier: validation accuracy {{classifier_accuracy_val:.3f}}, temperature
{{classifier_temperature:.2f}}. all: mean over the {{condition}} names that have clips.
A silent clip is never right; of sounding clips: without those. real: the ceiling, on all test windows; by window: all
windows weighted equally; majority: always the commonest {{condition}}.
IS: exp E KL(p(y|x) || p(y)), between 1 and {{n_genres}}, on {{n_inception:g}} clips of each.
Paper [1] reports {GENRE_ACCURACY_PAPER:.1%} and an IS of {INCEPTION_SCORE_PAPER}, on other music by a classifier that
it does not describe; with its 4 genres that IS is impossible."""


def eval_genre(options: Options) -> "pd.DataFrame":
    """Measure, print and write a table for each T; returns all rows. Raises `UserError` or `CheckpointError`."""
    from common.device import select_device
    from evaluation.metrics.genre_accuracy import GENRE_TABLE, answer_columns, measure_genre_accuracy
    from evaluation.metrics.genre_classifier import open_classifier
    from evaluation.samples.clips import open_clip_sources
    from evaluation.tables import format_table, note_lines, run_table

    def measure(source: "ClipSource") -> "pd.DataFrame":
        classifier = open_classifier(source.real, options, select_device(options.device))
        return measure_genre_accuracy(source, classifier, options.clips)

    def show(rows: "pd.DataFrame") -> Iterator[str]:
        genres = rows["genre_name"].iloc[:-1]
        yield format_table(rows, GENRE_TABLE.columns)
        for side in ("real", "generated"):
            yield f"\nshare of {side} clips by predicted {rows['condition'].iloc[0]}"
            yield format_table(rows, answer_columns(side, genres))
        yield LEGEND.format(**rows.iloc[-1], n_genres=len(genres))
        yield from note_lines(rows)

    return run_table(GENRE_TABLE, open_clip_sources(options), measure, options.metrics, options.seq_lens, show)


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_genre(parse_options(Options, __doc__))), CheckpointError)
