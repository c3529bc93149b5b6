"""Fréchet audio distance of generated clips to real ones, genre by genre, for every T that has a trained generator.

    python eval_fad_samples.py --store store --ast-dir ast          # the report's protocol
    python eval_fad_samples.py --embedders MTT_musicnn,MSD_musicnn  # embedders that need no download
    python eval_fad_samples.py --embedders MTT_musicnn --clips 50 --synth tinysoundfont     # quick

    python eval_fad_samples.py --sources generator,cvae --latents normal,prior,posterior --temperature 0.9
    python eval_fad_samples.py --save-clips clips                   # MIDI and WAV folders for other tools

200 real test clips a genre and 200 of G(z, y) with z from its prior, thresholded, without notes under 2 frames, played
as a piano at 16 kHz. Beside the distance: the same between real clips (floor) and of training clips, its spread over
seeds of generation, its extrapolation to infinitely many clips, an unbiased kernel distance, and the empty clips.

Writes metrics/fad_results.csv and a chart, metrics/fad_results.png. Embeddings are kept in --cache: interrupted, the
same command goes on where it was.
"""

import pandas as pd

from common.errors import run_command
from common.options import parse_options
from evaluation.metrics.fad import FAD_TABLE, FadOptions, measure_fad
from evaluation.samples.clip_embeddings import open_clip_embedder
from evaluation.samples.clips import open_clip_sources
from evaluation.tables import format_table
from figures.fad_chart import save_fad_chart
from models.checkpoint import CheckpointError

LEGEND = """\
empty: generated clips with too few notes that were met on the way ({empty}). ± seeds: standard deviation over {seeds}
seeds of generation. floor: random halves of the real clips against each other. training clips: clips of training songs
against the real ones: what a generator that knows them by heart would reach. FAD∞: extrapolated to infinitely many
clips. KAD: unbiased kernel distance, 0 for equal distributions. Rows of another T or embedder do not compare.
reported: on other music, by embeddings of AST; [1] by a protocol of its own."""


def eval_fad_samples(options: FadOptions) -> pd.DataFrame:
    """Measure, print and write table and chart; returns the table. Raises `UserError` or `CheckpointError`."""
    sources = open_clip_sources(options)
    embedder = open_clip_embedder(options, sources[0].trained.frames_per_second)
    frame = pd.concat([measure_fad(source, options, embedder) for source in sources], ignore_index=True)
    path = FAD_TABLE.write(frame, options.metrics)
    save_fad_chart(path.with_suffix(".png"), frame)
    for (name, synth, soundfont), rows in frame.groupby(["embedder", "synth", "soundfont"], sort=False):
        print(f"\n{name}, {synth}, {soundfont}")
        print(format_table(rows, FAD_TABLE.columns, sources[0].trained.condition))
        print_notes(rows)
    print(LEGEND.format(empty=options.empty, seeds=options.generation_seeds))
    print(f"{path}\n{path.with_suffix('.png')}")
    return frame


def print_notes(frame: pd.DataFrame) -> None:
    """Each note once, with the first row that has it."""
    for note, rows in frame[frame["note"] != ""].groupby("note", sort=False):
        first, more = rows.iloc[0], f" and {len(rows) - 1} more rows" if len(rows) > 1 else ""
        print(f"T = {first['T']} {first['genre_name']}{more}: {note}")


if __name__ == "__main__":
    run_command(lambda: eval_fad_samples(parse_options(FadOptions, __doc__)), CheckpointError)
