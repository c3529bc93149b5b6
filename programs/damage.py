"""What the Fréchet audio distance sees: real clips against real clips that were damaged.

    python -m programs.damage --store store --embedders MTT_musicnn
    python -m programs.damage --embedders MTT_musicnn,MSD_musicnn --seq-len 128

The reference are real clips chosen as in eval_fad_samples.py, all genres together; the damaged clips are as many others
of the same split, and undamaged they give the floor, by this one division. No model takes part. A distance that damage
does not raise measures no music.

Writes metrics/fad_sanity.csv.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.pianoroll import RollNotes, roll_notes
from data.song import PITCHES
from data.store import WINDOW_LENGTHS, RollStore
from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.fad import EmptyClipOptions, choose_real, defined
from evaluation.samples.clip_embeddings import AudioOptions, ClipEmbedder, open_clip_embedder
from evaluation.samples.clips import RealClipOptions, RealClips, open_real_clips
from evaluation.statistics.distances import frechet_distance, kernel_distance
from evaluation.tables import format_table

UNDAMAGED = "none (floor)"
PIANO_LOW, PIANO_HIGH = 21, 108
JITTER_SECONDS, MAX_SHIFT, DROPPED = 0.1, 3, 0.7


@dataclass(frozen=True)
class Options(RealClipOptions, AudioOptions, EmptyClipOptions):
    """Options of this evaluation."""

    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS, flag="--seq-len")
    clips: int = option(200, "clips of each genre, in the reference and damaged", minimum=2, maximum=1_000_000)


def jitter_onsets(notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note moved in time by a normal number of seconds with standard deviation 0.1, its length kept."""
    moved = np.rint(rng.normal(0, JITTER_SECONDS * frames_per_second, len(notes.start))).astype(np.int64)
    return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)


def shift_pitches(notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note moved by 1 to 3 semitones up or down."""
    size, sign = rng.integers(1, MAX_SHIFT + 1, len(notes.pitch)), rng.choice((-1, 1), len(notes.pitch))
    return notes._replace(pitch=np.clip(notes.pitch + sign * size, 0, PITCHES - 1))


def randomize_pitches(notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Every note on any key of the piano."""
    return notes._replace(pitch=rng.integers(PIANO_LOW, PIANO_HIGH + 1, len(notes.pitch)))


def drop_notes(notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Without 70 % of the notes."""
    kept = rng.random(len(notes.pitch)) >= DROPPED
    return RollNotes(*(field[kept] for field in notes))


Damage = Callable[[RollNotes, np.random.Generator, int], RollNotes]
# Ways that anyone hears.
DAMAGES: dict[str, Damage] = {
    "onsets jittered by 0.1 s": jitter_onsets,
    "notes shifted by up to 3 semitones": shift_pitches,
    "random pitches": randomize_pitches,
    "70 % of notes dropped": drop_notes,
}


def damage_clips(rolls: np.ndarray, damage: Damage, seed: int, frames_per_second: int) -> np.ndarray:
    """Damage clips, bool (n, 128, T); what falls outside of a clip is cut off. Clip k of a seed is always the same."""
    damaged = np.zeros_like(rolls)
    for number, (roll, target) in enumerate(zip(rolls, damaged, strict=True)):
        rng = np.random.default_rng((seed, number))
        for pitch, start, end in zip(*damage(roll_notes(roll), rng, frames_per_second), strict=True):
            target[pitch, max(start, 0) : max(end, 0)] = True
    return damaged


def eval_damage(options: Options) -> pd.DataFrame:
    """Measure, print and write the table, and return it. Raises `UserError`."""
    store = RollStore.open(options.store)
    embedder = open_clip_embedder(options, store.frames_per_second)
    clips = [open_real_clips(options, seq_len, store) for seq_len in options.seq_lens]
    frame = pd.concat([measure_damage(real, options, embedder) for real in clips], ignore_index=True)
    path = DAMAGE_TABLE.write(frame, options.metrics)
    for name, rows in frame.groupby("embedder", sort=False):
        print(f"\n{name}")
        print(format_table(rows, DAMAGE_TABLE.columns))
    print("clips: in the reference, and as many others damaged; empty: damaged ones that are silent (they count)")
    print(path)
    return frame


def measure_damage(real: RealClips, options: Options, embedder: ClipEmbedder) -> pd.DataFrame:
    """A row for each kind of damage, and embedder, at one T. Raises `UserError` where there are too few clips."""
    store, seq_len = real.windows.store, real.windows.seq_len
    pools = [choose_real(real, genre_id, 2 * options.clips, options).rolls for genre_id in range(len(store.genres))]
    reference = np.concatenate([pool[: len(pool) // 2] for pool in pools])
    others = np.concatenate([pool[len(pool) // 2 : len(pool) // 2 * 2] for pool in pools])
    if len(reference) < 2:
        raise UserError(f"{store.folder}: fewer than four {options.split} clips of {seq_len} frames that sound")
    clips = {UNDAMAGED: others} | {
        name: damage_clips(others, damage, options.seed, store.frames_per_second) for name, damage in DAMAGES.items()
    }
    target = embedder.embed(reference, f"T={seq_len} reference")
    rows = []
    for name, rolls in clips.items():
        embedded = embedder.embed(rolls, f"T={seq_len} {name}")
        for each in embedder.embedders:
            pair = target[each.name], embedded[each.name]
            rows.append(
                {
                    "T": seq_len,
                    "damage": name,
                    "n": len(reference),
                    "n_empty": int((~rolls.any(axis=(1, 2))).sum()),
                    "FAD": frechet_distance(*pair),
                    "KAD": defined(kernel_distance, *pair),
                    **embedder.facts(each),
                }
            )
    frame = pd.DataFrame(rows)
    floor = frame[frame["damage"] == UNDAMAGED].set_index("embedder")["FAD"]
    frame["FAD_over_floor"] = frame["FAD"] / frame["embedder"].map(floor.where(floor > 0))
    names = ("empty", "min_notes", "min_note_frames", "split", "seed")
    facts = {name: getattr(options, name) for name in names}
    return frame.assign(**facts, store_content=store.content_hash)


if __name__ == "__main__":
    run_command(lambda: eval_damage(parse_options(Options, __doc__)))
