"""What the Fréchet audio distance sees: real clips against real clips that were damaged.

    python -m evaluation.damage --store store --embedders MTT_musicnn
    python -m evaluation.damage --embedders MTT_musicnn,MSD_musicnn --seq-lens 128

The reference are real clips chosen as in eval_fad_samples.py, all genres together; the damaged clips are as many others
of the same split, and undamaged they give the floor, by this one division. No model takes part. A distance that damage
does not raise measures no music.

Writes metrics/fad_sanity.csv.
"""

from dataclasses import dataclass

import numpy as np

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from evaluation.measures.fad import EmptyClipOptions, choose_real, defined
from evaluation.samples.clip_embeddings import AudioOptions, ClipEmbedder, open_clip_embedder
from evaluation.samples.clips import RealClipOptions, RealClips, open_real_clips
from evaluation.samples.corruption import CORRUPTIONS, corrupt
from evaluation.statistics.distances import frechet_distance, kernel_distance
from evaluation.tables import Row, format_table, write_table

UNDAMAGED = "none (floor)"
COLUMNS = {
    "T": "T",
    "damage": "damage",
    "n": "clips",
    "n_empty": "empty",
    "FAD": "FAD",
    "FAD_over_floor": "FAD/floor",
    "KAD": "KAD",
}


@dataclass(frozen=True)
class Options(RealClipOptions, AudioOptions, EmptyClipOptions):
    """Options of this evaluation."""

    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS)
    clips: int = option(200, "clips of each genre, in the reference and damaged", minimum=2)


def measure_sanity(options: Options) -> list[Row]:
    """Measure, print and write the table; returns its rows. Raises `UserError`."""
    options.metrics.mkdir(parents=True, exist_ok=True)
    rows: list[Row] = []
    for seq_len in options.seq_lens:
        real = open_real_clips(options, seq_len)
        embedder = open_clip_embedder(options, real.windows.store.frames_per_second)
        rows += measure_damage(real, options, embedder)
    path = options.metrics / "fad_sanity.csv"
    write_table(path, rows)
    for name in dict.fromkeys(row["embedder"] for row in rows):
        print(f"\n{name}")
        print(format_table([row for row in rows if row["embedder"] == name], COLUMNS))
    print("clips: in the reference, and as many others damaged; empty: damaged ones that are silent (they count)")
    print(path)
    return rows


def measure_damage(real: RealClips, options: Options, embedder: ClipEmbedder) -> list[Row]:
    """A row for each kind of damage, and embedder, at one T. Raises `UserError` where there are too few clips."""
    store, seq_len = real.windows.store, real.windows.seq_len
    pools = [choose_real(real, genre_id, 2 * options.clips, options).rolls for genre_id in range(len(store.genres))]
    reference = np.concatenate([pool[: len(pool) // 2] for pool in pools])
    others = np.concatenate([pool[len(pool) // 2 : len(pool) // 2 * 2] for pool in pools])
    if len(reference) < 2:
        raise UserError(f"{options.store}: fewer than four {options.split} clips of {seq_len} frames that sound")
    damaged = {UNDAMAGED: others} | {
        name: corrupt(others, corruption, options.seed, store.frames_per_second)
        for name, corruption in CORRUPTIONS.items()
    }
    target = embedder.embed(reference, f"T={seq_len} reference")
    rows, floor = [], {}
    for name, rolls in damaged.items():
        embedded = embedder.embed(rolls, f"T={seq_len} {name}")
        for each in embedder.embedders:
            distance = frechet_distance(target[each.name], embedded[each.name])
            undamaged = floor.setdefault(each.name, distance)
            rows.append(
                {
                    "T": seq_len,
                    "damage": name,
                    "n": len(reference),
                    "n_empty": int((~rolls.any(axis=(1, 2))).sum()),
                    "FAD": distance,
                    "FAD_over_floor": distance / undamaged if undamaged > 0 else None,
                    "KAD": defined(kernel_distance, target[each.name], embedded[each.name]),
                    **embedder.facts(each),
                    "empty": options.empty,
                    "min_notes": options.min_notes,
                    "min_note_frames": options.min_note_frames,
                    "split": options.split,
                    "seed": options.seed,
                    "store_fingerprint": store.fingerprint,
                }
            )
    return rows


if __name__ == "__main__":
    run_command(lambda: measure_sanity(parse_options(Options, __doc__)))
