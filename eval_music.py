"""Musical features of generated clips beside real ones: what is wrong with the music, in musical terms.

    python eval_music.py --store store                    # every T that has a generator, 1000 clips a genre
    python eval_music.py --seq-lens 32 --clips 200        # quicker
    python eval_music.py --checkpoint checkpoints/generator_pretrained_best.pth

Writes metrics/music-T{T}.csv, one row a genre and feature, genre_id -1 for all. A picture of the whole in pandas:

    pd.read_csv("metrics/music-T32.csv").pivot(index="feature", columns="genre_name", values="overlap_area")
"""

from collections.abc import Sequence
from dataclasses import dataclass

from common.errors import run_command
from common.options import option, parse_options
from evaluation.measures.music import feature_rows, measure_genres
from evaluation.samples.clips import ClipOptions, ClipSource, open_clip_sources
from evaluation.statistics.musical_features import FEATURES
from evaluation.tables import ALL_ID, Row, format_table, write_table
from models.checkpoint import CheckpointError


@dataclass(frozen=True)
class Options(ClipOptions):
    """Options of this evaluation."""

    clips: int = option(1000, "generated and real clips of a genre; at most half of its real ones", minimum=1)


COLUMNS = {
    "feature": "all genres",
    "unit": "unit",
    "real": "real",
    "generated": "generated",
    "difference": "difference",
    "difference_halves": "(halves)",
    "difference_training": "(training)",
    "overlap_area": "overlap",
    "overlap_halves": "(halves)",
    "overlap_training": "(training)",
}


def eval_music(options: Options) -> list[Row]:
    """Measure, print and write a table for each T; returns the rows of all. Raises `UserError` or `CheckpointError`."""
    return [row for source in open_clip_sources(options) for row in _evaluate(source, options)]


def _evaluate(source: ClipSource, options: Options) -> list[Row]:
    rows = feature_rows(measure_genres(source, options.clips), source.genres, options.seed)
    rows = [{"T": source.seq_len, **row, **source.facts} for row in rows]
    path = options.metrics / f"music-T{source.seq_len}.csv"
    write_table(path, rows)
    every = [row for row in rows if row["genre_id"] == ALL_ID]
    print(format_table(every, COLUMNS))
    print()
    print(_genre_table(rows))
    print(
        f"T = {source.seq_len}, {every[0]['n_fake']} generated clips of {source.facts['checkpoint']} and as many real "
        f"ones of the {options.split} split.\noverlap: area that the distributions of generated and real clips share; "
        "1 if they are alike.\n(halves): real clips against others of the same songs, absolute difference; what "
        "chance leaves.\n(training): real clips of the training songs against the real ones; a generator that plays "
        "those back."
    )
    print(path)
    return rows


def _genre_table(rows: Sequence[Row]) -> str:
    """A line for each feature, a column for each genre."""
    lines = {feature: {"feature": feature} for feature in FEATURES}
    names = {str(row["genre_id"]): row["genre_name"] for row in rows if row["genre_id"] != ALL_ID}
    for row in rows:
        lines[row["feature"]][str(row["genre_id"])] = _cell(row)
    return format_table(list(lines.values()), {"feature": "generated / real (overlap)", **names})


def _cell(row: Row) -> str:
    means = " / ".join("-" if row[side] is None else f"{row[side]:.3g}" for side in ("generated", "real"))
    return means if row["overlap_area"] is None else f"{means} ({row['overlap_area']:.2f})"


if __name__ == "__main__":
    run_command(lambda: eval_music(parse_options(Options, __doc__)), CheckpointError)
