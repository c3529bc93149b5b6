"""Sensitivity of the distances of sound (FAD, KAD, MIND): real clips against real clips with damaged notes.

    python -m programs.damage --store store --embedders MTT_musicnn
    python -m programs.damage --embedders MTT_musicnn,MSD_musicnn --seq-len 128

Reference: real clips chosen as in eval_fad_samples.py, all genres together. The damaged clips are as many others of the
same split; undamaged they give the floor, from this one division. A distance that damage does not raise is useless.
A distance detects a damage that lifts it three standard deviations above its mean over undamaged clips, divided into
random halves --floor-seeds times. More clips detect more.

Writes metrics/fad_sanity.csv.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import parse_options
from common.torchrun import run_divided
from evaluation.options import DamageOptions

if TYPE_CHECKING:
    import pandas as pd


def eval_damage(options: DamageOptions) -> "pd.DataFrame":
    """Measure, print and write the table; returns it. Raises `UserError`."""
    from data.store import RollStore
    from evaluation.metrics.damage import DAMAGE_TABLE, measure_damage
    from evaluation.samples.clip_embeddings import open_clip_embedder
    from evaluation.samples.clips import open_real_clips
    from evaluation.tables import format_table, run_table

    store = RollStore.open(options.store)
    embedder = open_clip_embedder(options, store.frames_per_second)

    def show(frame: "pd.DataFrame") -> Iterator[str]:
        for name, rows in frame.groupby("embedder", sort=False):
            yield f"\n{name}\n{format_table(rows, DAMAGE_TABLE.columns)}"
        yield "clips: in the reference, and damaged; empty: silent damaged ones, which count"
        yield "std: standard deviations above the mean of undamaged clips; detected by: distances with at least three"

    clips = [open_real_clips(options, seq_len, store) for seq_len in options.seq_lens]
    return run_table(
        DAMAGE_TABLE, clips, lambda real: measure_damage(real, options, embedder), options.metrics, options.seq_lens,
        show, together=True,
    )  # fmt: skip


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_damage(parse_options(DamageOptions, __doc__))))
