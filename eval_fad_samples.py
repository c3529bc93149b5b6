"""Fréchet audio distance of generated clips to real ones, genre by genre, for every T that has a trained generator.

    python eval_fad_samples.py --store store --ast-dir ast          # the report's protocol
    python eval_fad_samples.py --embedders MTT_musicnn,MSD_musicnn  # embedders that need no download
    python eval_fad_samples.py --embedders MTT_musicnn --clips 50 --synth tinysoundfont     # quick

200 real test clips a genre and 200 of G(z, y) with z ~ N(0, I), thresholded, without notes under 2 frames, played as a
piano at 16 kHz. Beside the distance: the same between real clips (floor) and of training clips, its spread over seeds
of generation, its extrapolation to infinitely many clips, an unbiased kernel distance, and the empty clips.

Writes metrics/fad_results.csv and a chart, metrics/fad_results.png. Embeddings are kept in --cache: interrupted, the
same command goes on where it was.
"""

from common.errors import run_command
from common.options import parse_options
from evaluation.measures.fad import FadOptions, measure_fad
from evaluation.published import FAD, FAD_PAPER, published_for
from evaluation.samples.clip_embeddings import open_clip_embedder
from evaluation.samples.clips import open_clip_sources
from evaluation.tables import Row, format_table, write_table
from models.checkpoint import CheckpointError
from page.figures.fad_chart import save_fad_chart

COLUMNS = {
    "T": "T",
    "genre_name": "genre",
    "n_real": "real",
    "n_fake": "fake",
    "n_empty": "empty",
    "FAD": "FAD",
    "FAD_seeds_std": "+- seeds",
    "FAD_floor": "floor",
    "FAD_floor_std": "+-",
    "FAD_over_floor": "FAD/floor",
    "FAD_train": "train",
    "FAD_infinity": "FAD inf",
    "KAD": "KAD",
    "KAD_floor": "floor",
    "KAD_floor_std": "+-",
    "reported": "reported",
    "reported_paper": "reported [1]",
}
LEGEND = """\
empty: generated clips with too few notes that were met on the way ({empty}). +- seeds: standard deviation over {seeds}
seeds of generation. floor: random halves of the real clips against each other. train: real training clips against the
real ones: what a generator that knows its training data by heart would reach. FAD inf: extrapolated to infinitely many
clips. KAD: unbiased kernel distance, 0 for equal distributions. Rows of another T or embedder do not compare.
reported: on other music, by embeddings of AST; [1] by a protocol of its own."""


def eval_fad_samples(options: FadOptions) -> list[Row]:
    """Measure, print and write table and chart; returns the rows. Raises `UserError` or `CheckpointError`."""
    sources = open_clip_sources(options)
    embedder = open_clip_embedder(options, sources[0].trained.frames_per_second)
    rows = [row for source in sources for row in measure_fad(source, options, embedder)]
    path = options.metrics / "fad_results.csv"
    write_table(path, rows)
    save_fad_chart(path.with_suffix(".png"), rows)
    print_fad(rows, sources[0].genres)
    print(LEGEND.format(empty=options.empty, seeds=options.generation_seeds))
    print(f"{path}\n{path.with_suffix('.png')}")
    return rows


def print_fad(rows: list[Row], genres: list[str]) -> None:
    """A table for each embedder, with the published figures beside ours, and the notes on empty cells."""
    for embedder in dict.fromkeys(row["embedder"] for row in rows):
        shown = [
            row
            | {"reported": published_for(FAD, row["T"], genres).get(row["genre_name"])}
            | {"reported_paper": published_for(FAD_PAPER, row["T"], genres).get(row["genre_name"])}
            for row in rows
            if row["embedder"] == embedder
        ]
        print(f"\n{embedder}, {shown[0]['synth']}, {shown[0]['soundfont']}")
        print(format_table(shown, COLUMNS))
        rows_of_note: dict[str, list[str]] = {}
        for row in shown:
            rows_of_note.setdefault(row["note"], []).append(f"T = {row['T']} {row['genre_name']}")
        for note in filter(None, rows_of_note):
            first, *others = rows_of_note[note]
            print(f"{first}{f' and {len(others)} more rows' if others else ''}: {note}")


if __name__ == "__main__":
    run_command(lambda: eval_fad_samples(parse_options(FadOptions, __doc__)), CheckpointError)
