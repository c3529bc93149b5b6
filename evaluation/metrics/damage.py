"""Sensitivity of the Fréchet audio distance: real clips against real clips with damaged notes."""

import numpy as np
import pandas as pd

from common.errors import UserError
from data.pianoroll import RollNotes, roll_notes
from data.song import PITCHES
from evaluation.metrics.fad import choose_clips, defined
from evaluation.options import DamageOptions
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import RealClips
from evaluation.statistics.distances import frechet_distance, kernel_distance
from evaluation.tables import LABEL, OURS, ResultTable, columns

UNDAMAGED = "none (floor)"
JITTERED, SHIFTED, RANDOM_PITCHES, THINNED = DAMAGES = (
    "onsets jittered by 0.1 s", "notes shifted by up to 3 semitones", "random pitches", "70 % of notes dropped",
)  # fmt: skip
PIANO_LOW, PIANO_HIGH = 21, 108
JITTER_SECONDS, MAX_SHIFT, DROPPED = 0.1, 3, 0.7

DAMAGE_TABLE = ResultTable(
    "fad_sanity.csv",
    "-m programs.damage",
    (
        *columns(LABEL, T="T", damage="damage"),
        *columns(OURS, n="clips", n_empty="empty", FAD="FAD", FAD_over_floor="FAD / floor", KAD="KAD"),
    ),
)


def damage_notes(kind: str, notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Damage notes by one of `DAMAGES`, each of which is plainly audible."""
    n = len(notes.pitch)
    if kind == JITTERED:  # lengths stay
        moved = np.rint(rng.normal(0, JITTER_SECONDS * frames_per_second, n)).astype(np.int64)
        return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)
    if kind == SHIFTED:
        size, sign = rng.integers(1, MAX_SHIFT + 1, n), rng.choice((-1, 1), n)
        return notes._replace(pitch=np.clip(notes.pitch + sign * size, 0, PITCHES - 1))
    if kind == RANDOM_PITCHES:
        return notes._replace(pitch=rng.integers(PIANO_LOW, PIANO_HIGH + 1, n))
    kept = rng.random(n) >= DROPPED
    return RollNotes(*(field[kept] for field in notes))


def damage_clips(rolls: np.ndarray, kind: str, seed: int, frames_per_second: int) -> np.ndarray:
    """Damage clips, bool (n, 128, T), and cut them to T. The damage of clip k depends on `seed` and k only."""
    damaged = np.zeros_like(rolls)
    for number, (roll, target) in enumerate(zip(rolls, damaged, strict=True)):
        rng = np.random.default_rng((seed, number))
        for pitch, start, end in zip(*damage_notes(kind, roll_notes(roll), rng, frames_per_second), strict=True):
            target[pitch, max(start, 0) : max(end, 0)] = True
    return damaged


def measure_damage(real: RealClips, options: DamageOptions, embedder: ClipEmbedder) -> pd.DataFrame:
    """A row for each kind of damage and embedder, at one T. Raises `UserError` if there are too few clips."""
    store, seq_len = real.windows.store, real.windows.seq_len
    pools = [choose_clips(real, genre_id, 2 * options.clips, options).rolls for genre_id in range(len(store.genres))]
    reference = np.concatenate([pool[: len(pool) // 2] for pool in pools])
    others = np.concatenate([pool[len(pool) // 2 : len(pool) // 2 * 2] for pool in pools])
    if len(reference) < 2:
        raise UserError(f"{store.folder}: fewer than four {options.split} clips of {seq_len} frames that sound")
    clips = {UNDAMAGED: others} | {
        name: damage_clips(others, name, options.seed, store.frames_per_second) for name in DAMAGES
    }
    target = embedder.embed(reference, f"T={seq_len} reference")
    rows = []
    for name, rolls in clips.items():
        embedded = embedder.embed(rolls, f"T={seq_len} {name}")
        for each in embedder.embedders:
            pair = target[each.name], embedded[each.name]
            numbers = {"n": len(reference), "n_empty": int((~rolls.any(axis=(1, 2))).sum())}
            values = {"FAD": frechet_distance(*pair), "KAD": defined(kernel_distance, *pair)}
            rows.append({"T": seq_len, "damage": name} | numbers | values | embedder.facts(each))
    frame = pd.DataFrame(rows)
    floor = frame[frame["damage"] == UNDAMAGED].set_index("embedder")["FAD"]
    frame["FAD_over_floor"] = frame["FAD"] / frame["embedder"].map(floor.where(floor > 0))
    facts = {name: getattr(options, name) for name in ("empty", "min_notes", "min_note_frames", "split", "seed")}
    return frame.assign(**facts, store_content=store.content_hash)
