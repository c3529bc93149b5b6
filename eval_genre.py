"""Does generated music obey the genre asked for? A genre classifier's accuracy on generated and on real clips.

    python eval_genre.py --store store                    # every T that has a generator, 1000 clips a genre
    python eval_genre.py --seq-lens 32 --clips 200 --classifier-steps 200         # quicker
    python eval_genre.py --checkpoints checkpoints/shuffled --metrics metrics/shuffled

The classifier is trained on real training windows, with the labels as given, chosen by validation accuracy and kept in
--cache. Its accuracy on real test windows is the ceiling for generated ones. About a minute for each T the first time.

Writes metrics/genre-T{T}.csv, one row a genre, genre_id -1 for all, with the confusion table.
"""

from dataclasses import dataclass

from common.errors import UserError, run_command
from common.options import option, parse_options
from evaluation.measures.genre_accuracy import SILENCE, measure_genres
from evaluation.measures.genre_classifier import ClassifierOptions, open_classifier
from evaluation.published import GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER
from evaluation.samples.clips import ClipOptions, ClipSource, open_clip_sources, open_real_clips
from evaluation.tables import Row, format_table, write_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(ClipOptions, ClassifierOptions):
    """Options of this evaluation."""

    clips: int = option(1000, "generated clips of each genre", minimum=1)


COLUMNS = {
    "genre_name": "genre",
    "accuracy_generated": "generated",
    "accuracy_sounding": "(sounding)",
    "accuracy_real": "real",
    "chance": "chance",
    "n_generated": "n",
    "n_empty": "empty",
    "n_real": "n real",
    "n_empty_real": "empty",
    "windows_accuracy_real": "by window",
    "windows_majority": "majority",
    "inception_generated": "IS generated",
    "inception_real": "IS real",
}
LEGEND = """
T = {T}, {checkpoint}. Classifier: validation accuracy {classifier_accuracy_val:.3f}, temperature \
{classifier_temperature:.2f}. all: mean over genres.
A silent clip is never right; (sounding): without those. real: the ceiling, on all test windows; by window: each
counting alike, beside the answer that is always the commonest genre.
IS: exp E KL(p(y|x) || p(y)), between 1 and {n_genres}, on {n_inception} clips of each genre.
Paper [1] reports {paper:.1%} and an IS of {paper_IS}, on other music by a classifier that it does not describe; with
its 4 genres that IS is impossible."""


def eval_genre(options: Options) -> list[Row]:
    """Measure, print and write a table for each T; returns the rows of all. Raises `UserError` or `CheckpointError`."""
    if options.split != "test":
        raise UserError(f"--split {options.split}: the classifier has seen these songs; leave the option out")
    return [row for source in open_clip_sources(options) for row in _evaluate(source, options)]


def _evaluate(source: ClipSource, options: Options) -> list[Row]:
    train, val = (open_real_clips(options, source.seq_len, split) for split in ("train", "val"))
    rows = measure_genres(source, open_classifier(train, val, options), options.clips)
    path = options.metrics / f"genre-T{source.seq_len}.csv"
    write_table(path, rows)
    _print(rows, source)
    print(path)
    return rows


def _print(rows: list[Row], source: ClipSource) -> None:
    print(format_table(rows, COLUMNS))
    for clips in ("real", "generated"):
        columns = {f"{clips}_as_{name}": name for name in (*source.genres, SILENCE)}
        print(f"\nshare of {clips} clips that the classifier takes for")
        print(format_table(rows, {"genre_name": "genre", **columns}))
    print(LEGEND.format(**rows[-1], n_genres=len(rows) - 1, paper=GENRE_ACCURACY_PAPER, paper_IS=INCEPTION_SCORE_PAPER))


if __name__ == "__main__":
    run_command(lambda: eval_genre(parse_options(Options, __doc__)), CheckpointError)
