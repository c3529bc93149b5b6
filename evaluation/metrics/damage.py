"""Sensitivity of the distances of sound: real clips against real clips with damaged notes."""

import numpy as np
import pandas as pd
import torch

from common.errors import UserError
from data.pianoroll import RollNotes, roll_notes
from data.song import PITCHES
from evaluation.metrics.fad import choose_clips, defined, over
from evaluation.options import DamageOptions
from evaluation.samples.clip_embeddings import ClipEmbedder
from evaluation.samples.clips import RealClips
from evaluation.statistics.distances import DISTANCES, floor_halves
from evaluation.tables import LABEL, OURS, ResultTable, columns

UNDAMAGED = "none (floor)"
SPREAD, JITTERED, REDRAWN, SHIFTED, RANDOM_PITCHES, THINNED = NOTE_DAMAGES = (
    "chord notes spread by one frame", "onsets jittered by 0.1 s", "chords at random frames of their second",
    "notes shifted by up to 3 semitones", "random pitches", "70 % of notes dropped",
)  # fmt: skip
EXCHANGED = "each second from another clip"
DAMAGES = (*NOTE_DAMAGES, EXCHANGED)
PIANO_LOW, PIANO_HIGH = 21, 108
JITTER_SECONDS, MAX_SHIFT, DROPPED = 0.1, 3, 0.7
# Standard deviations above the mean of undamaged clips from which on a damage counts as detected.
DETECTED = 3

DAMAGE_TABLE = ResultTable(
    "fad_sanity.csv",
    "-m programs.damage",
    (
        *columns(LABEL, T="T", damage="damage"),
        *columns(OURS, n="clips", n_empty="empty", FAD="FAD", FAD_over_floor="FAD / floor", KAD="KAD", MIND="MIND"),
        *columns(OURS, **{f"{name}_deviations": f"{name}, std" for name in DISTANCES}),
        *columns(LABEL, detected_by="detected by"),
    ),
)


def damage_notes(kind: str, notes: RollNotes, rng: np.random.Generator, frames_per_second: int) -> RollNotes:
    """Damage notes by one of `NOTE_DAMAGES`, each of which is plainly audible."""
    n = len(notes.pitch)
    if kind == SPREAD:  # one note of each chord stays, the others begin one frame earlier or later
        by_chord = np.lexsort((rng.random(n), notes.start))
        _, first = np.unique(notes.start[by_chord], return_index=True)
        moved = rng.choice((-1, 1), n)
        moved[by_chord[first]] = 0
        return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)
    if kind == JITTERED:  # lengths stay
        moved = np.rint(rng.normal(0, JITTER_SECONDS * frames_per_second, n)).astype(np.int64)
        return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)
    if kind == REDRAWN:  # what begins together goes on to do so, in the same order
        begins, of_note = np.unique(notes.start, return_inverse=True)
        drawn = begins.copy()
        for second in np.unique(begins // frames_per_second):
            within = begins // frames_per_second == second
            places = rng.choice(frames_per_second, within.sum(), replace=False)
            drawn[within] = second * frames_per_second + np.sort(places)
        moved = (drawn - begins)[of_note]
        return RollNotes(notes.pitch, notes.start + moved, notes.end + moved)
    if kind == SHIFTED:
        size, sign = rng.integers(1, MAX_SHIFT + 1, n), rng.choice((-1, 1), n)
        return notes._replace(pitch=np.clip(notes.pitch + sign * size, 0, PITCHES - 1))
    if kind == RANDOM_PITCHES:
        return notes._replace(pitch=rng.integers(PIANO_LOW, PIANO_HIGH + 1, n))
    kept = rng.random(n) >= DROPPED
    return RollNotes(*(field[kept] for field in notes))


def damage_clips(rolls: np.ndarray, kind: str, seed: int, frames_per_second: int) -> np.ndarray:
    """Damage the notes of clips, bool (n, 128, T), and cut them to T. That of clip k depends on `seed` and k only."""
    damaged = np.zeros_like(rolls)
    for number, (roll, target) in enumerate(zip(rolls, damaged, strict=True)):
        rng = np.random.default_rng((seed, number))
        for pitch, start, end in zip(*damage_notes(kind, roll_notes(roll), rng, frames_per_second), strict=True):
            target[pitch, max(start, 0) : max(end, 0)] = True
    return damaged


def exchange_seconds(rolls: np.ndarray, frames_per_second: int) -> np.ndarray:
    """Clips, bool (n, 128, T), of which second s is that of the s-th following clip."""
    exchanged = rolls.copy()
    for second in range(-(-rolls.shape[2] // frames_per_second)):
        frames = slice(second * frames_per_second, (second + 1) * frames_per_second)
        exchanged[..., frames] = np.roll(rolls[..., frames], -second, axis=0)
    return exchanged


def measure_damage(real: RealClips, options: DamageOptions, embedder: ClipEmbedder) -> pd.DataFrame:
    """A row for each embedder and kind of damage, at one T. Raises `UserError` if there are too few clips.

    *_deviations: standard deviations of the distance above its mean, both over random divisions of the undamaged clips
    into halves. `detected_by`: the distances with at least three.
    """
    store, seq_len = real.windows.store, real.windows.seq_len
    pools = [choose_clips(real, genre_id, 2 * options.clips, options).rolls for genre_id in range(len(store.genres))]
    sizes = [len(pool) // 2 for pool in pools]
    reference = np.concatenate([pool[:size] for pool, size in zip(pools, sizes, strict=True)])
    others = np.concatenate([pool[size : 2 * size] for pool, size in zip(pools, sizes, strict=True)])
    if len(reference) < 2:
        raise UserError(f"{store.folder}: fewer than four {options.split} clips of {seq_len} frames that sound")
    rate, of_genres = store.frames_per_second, np.split(others, np.cumsum(sizes)[:-1])
    clips = {
        UNDAMAGED: others,
        **{name: damage_clips(others, name, options.seed, rate) for name in NOTE_DAMAGES},
        EXCHANGED: np.concatenate([exchange_seconds(clips, rate) for clips in of_genres]),
    }
    target = embedder.embed(reference, f"T={seq_len} reference")
    embedded = {name: embedder.embed(rolls, f"T={seq_len} {name}") for name, rolls in clips.items()}
    rows = []
    for each in embedder.embedders:
        parts = (vectors[each.name].split(sizes) for vectors in (target, embedded[UNDAMAGED]))
        floors = _floors([torch.cat(genre) for genre in zip(*parts, strict=True)], options)
        for name, rolls in clips.items():
            row = {"T": seq_len, "damage": name, "n": len(reference), "n_empty": int((~rolls.any(axis=(1, 2))).sum())}
            for key, distance in DISTANCES.items():
                row[key] = defined(distance, target[each.name], embedded[name][each.name])
                row[f"{key}_deviations"] = (row[key] - floors[key].mean()) / (floors[key].std() or np.nan)
            detected_by = [key for key in DISTANCES if row[f"{key}_deviations"] >= DETECTED]
            rows.append(row | {"detected_by": ", ".join(detected_by) or "none"} | embedder.facts(each))
    frame = pd.DataFrame(rows)
    floor = frame[frame["damage"] == UNDAMAGED].set_index("embedder")["FAD"]
    frame["FAD_over_floor"] = frame["FAD"] / frame["embedder"].map(floor.where(floor > 0))
    facts = ("empty", "min_notes", "min_note_frames", "split", "seed", "floor_seeds")
    return frame.assign(**{name: getattr(options, name) for name in facts}, store_content=store.content_hash)


def _floors(strata: list[torch.Tensor], options: DamageOptions) -> dict[str, pd.Series]:
    """Each distance between random halves of undamaged clips, given the embeddings of each genre."""
    halves = floor_halves(strata, options.seed, options.floor_seeds)
    return {name: over(distance, halves) for name, distance in DISTANCES.items()}
