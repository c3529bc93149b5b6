"""Fréchet audio distance of generated clips to real ones, genre by genre, for every T that has trained weights.

    python eval_fad_samples.py --store store --ast-dir ast          # the report's protocol
    python eval_fad_samples.py --embedders MTT_musicnn,MSD_musicnn  # embedders that need no download
    python eval_fad_samples.py --embedders MTT_musicnn --clips 50 --synth tinysoundfont     # quick

    python eval_fad_samples.py --source generator,cvae --latents normal,prior,posterior --temperature 0.9
    python eval_fad_samples.py --save-clips clips                   # MIDI and WAV folders for other tools

200 real test clips of each genre and 200 of G(z, y) with z from the prior, thresholded, without notes under 2 frames,
played as a piano at 16 kHz. Also measured: the same between real clips (floor) and of training clips, the spread over
seeds of generation, the extrapolation to infinitely many clips, two other distances (KAD, MIND), and the empty clips.

Writes metrics/fad_results.csv and a chart, metrics/fad_results.png. Embeddings are cached in --cache: after an
interruption the same command continues where it was.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import parse_options
from common.torchrun import run_divided
from evaluation.options import FadOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

LEGEND = """\
empty: generated clips with too few notes, counted on the way ({empty}). ± seeds: standard deviation over {n_seeds}
seeds of generation. floor: random halves of the real clips against each other. training clips: clips of training songs
against the real ones, the score of a generator that memorised them. FAD∞: extrapolated to infinitely many clips.
KAD: unbiased kernel distance, 0 for equal distributions. MIND: sliced Wasserstein distance, times the dimension of the
embeddings; biased like FAD. Rows of another T or embedder do not compare.
reported: on other music, by embeddings of AST; [1] by another protocol."""


def eval_fad_samples(options: FadOptions) -> "pd.DataFrame":
    """Measure, print and write table and chart; returns the table. Raises `UserError` or `CheckpointError`."""
    from evaluation.metrics.fad import FAD_TABLE, measure_fad, saved_clips
    from evaluation.samples.clip_embeddings import open_clip_embedder
    from evaluation.samples.clips import open_clip_sources
    from evaluation.tables import format_table, note_lines, run_table
    from figures.fad_chart import save_fad_chart

    sources = open_clip_sources(options)
    embedder = open_clip_embedder(options, sources[0].trained.frames_per_second)

    def show(frame: "pd.DataFrame") -> Iterator[str]:
        for (name, synth, soundfont), rows in frame.groupby(["embedder", "synth", "soundfont"], sort=False):
            yield f"\n{name}, {synth}, {soundfont}\n{format_table(rows, FAD_TABLE.columns)}"
            yield from note_lines(rows)
        yield LEGEND.format(**frame.iloc[0])

    chart = FAD_TABLE.path(options.metrics).with_suffix(".png")
    frame = run_table(
        FAD_TABLE, sources, lambda source: measure_fad(source, options, embedder), options.metrics, options.seq_lens,
        show, also=[chart, *saved_clips(sources, options)], together=True,
    )  # fmt: skip
    save_fad_chart(chart, frame)
    print(chart)
    return frame


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_fad_samples(parse_options(FadOptions, __doc__))), CheckpointError)
