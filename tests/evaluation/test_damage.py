"""Damaged clips, and the table of their distances."""

from pathlib import Path

import numpy as np
import pytest
from fake_embedders import clips, embedder_of
from frames import records

import programs.damage as program
from common.randomness import rng_at
from data.pianoroll import RollNotes
from data.store import RollStore
from evaluation.metrics import damage
from evaluation.metrics.fad import choose_clips
from evaluation.options import DamageOptions
from evaluation.samples.clips import open_real_clips
from evaluation.statistics.distances import DISTANCES, frechet_distance, random_halves


def test_damages() -> None:
    many = RollNotes(*np.array([(60 + k % 12, k, k + 4) for k in range(1000)]).T)
    rng = np.random.default_rng(0)
    _, jittered, _, shifted, random, thinned = (
        damage.damage_notes(kind, many, rng, 16) for kind in damage.NOTE_DAMAGES
    )
    moved = jittered.start - many.start
    assert np.array_equal(jittered.end - jittered.start, many.end - many.start)
    assert moved.std() == pytest.approx(1.6, rel=0.1) and abs(moved.mean()) < 0.2
    assert set(np.abs(shifted.pitch - many.pitch)) == {1, 2, 3} and np.array_equal(shifted.start, many.start)
    assert random.pitch.min() == 21 and random.pitch.max() == 108
    assert len(thinned.pitch) == pytest.approx(300, abs=50)


def test_one_note_of_a_chord_stays_and_the_others_move_by_one_frame() -> None:
    notes = [(48 + 2 * k, 10 * chord, 10 * chord + 3 + k) for chord in range(300) for k in range(4)]
    chords = RollNotes(*np.array(notes).T)
    alone = RollNotes(*(np.append(field, value) for field, value in zip(chords, (60, 5, 9), strict=True)))
    spread = damage.damage_notes(damage.SPREAD, alone, np.random.default_rng(0), 16)
    moved = spread.start - alone.start
    assert moved[-1] == 0, "a single note is no chord"
    assert np.array_equal(spread.end - alone.end, moved) and np.array_equal(spread.pitch, alone.pitch)
    moved = moved[:-1].reshape(300, 4)
    assert (np.sort(np.abs(moved), axis=1) == [0, 1, 1, 1]).all()
    assert np.abs((moved == 0).mean(0) - 1 / 4).max() < 0.1, "each note is as likely to stay"
    assert abs(moved.sum()) < 100, "earlier as often as later"


def test_chords_begin_at_random_frames_of_their_second_in_the_same_order() -> None:
    notes = [(48 + k, begin, begin + 3 + k) for begin in range(0, 3200, 4) for k in range(2)]
    chords = RollNotes(*np.array(notes).T)
    redrawn = damage.damage_notes(damage.REDRAWN, chords, np.random.default_rng(0), 16)
    assert np.array_equal(redrawn.end - redrawn.start, chords.end - chords.start)
    begins = redrawn.start.reshape(200, 4, 2)  # seconds, chords, notes
    assert (begins[..., 0] == begins[..., 1]).all() and (np.diff(begins[..., 0]) > 0).all()
    assert (begins // 16 == np.arange(200)[:, None, None]).all()
    assert np.bincount(begins[..., 0].flatten() % 16, minlength=16).min() > 25, "each of 16 frames, of 800 chords"


def test_each_second_is_from_another_clip() -> None:
    rolls = np.stack([np.full((128, 40), number % 2 == 0) for number in range(5)])
    rolls[:, 0] = np.arange(5)[:, None] > 1
    exchanged = damage.exchange_seconds(rolls, 16)
    assert np.array_equal(exchanged[..., :16], rolls[..., :16])
    assert np.array_equal(exchanged[0, :, 16:32], rolls[1, :, 16:32])
    assert np.array_equal(exchanged[4, :, 32:], rolls[1, :, 32:])


@pytest.mark.parametrize("kind", damage.NOTE_DAMAGES)
def test_damaged_clips_depend_on_their_number_and_the_seed_alone(kind: str) -> None:
    rolls = clips(3, frames=32) & (np.arange(32) % 3 == 0)  # onsets in some frames only
    damaged = damage.damage_clips(rolls, kind, 0, 16)
    assert damaged.shape == rolls.shape and damaged.dtype == bool and not np.array_equal(damaged, rolls)
    assert np.array_equal(damage.damage_clips(rolls[:2], kind, 0, 16), damaged[:2])
    assert not np.array_equal(damage.damage_clips(rolls, kind, 1, 16), damaged)


def test_the_sanity_table_has_its_floor_first(
    tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = embedder_of(tmp_path / "cache")
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder)
    options = DamageOptions(store=tiny_store, metrics=tmp_path / "metrics", seq_lens=(32,), clips=6)
    rows = records(program.eval_damage(options))
    assert [row["damage"] for row in rows] == [damage.UNDAMAGED, *damage.DAMAGES]
    assert rows[0]["FAD_over_floor"] == 1 and all(row["n"] == 18 for row in rows)
    for row in rows:
        detected = [name for name in DISTANCES if row[f"{name}_deviations"] >= 3]
        assert row["detected_by"] == (", ".join(detected) or "none")
    assert rows[0]["detected_by"] == "none"
    assert rows[-2]["detected_by"] == "FAD, KAD, MIND", "dropping notes lowers the polyphony that this embedder sees"
    assert (tmp_path / "metrics" / "fad_sanity.csv").is_file()


def test_deviations_are_over_halves_of_the_undamaged_clips(tiny_store: Path, tmp_path: Path) -> None:
    embedder = embedder_of(tmp_path / "cache")
    options = DamageOptions(store=tiny_store, seq_lens=(32,), clips=6, floor_seeds=4)
    real = open_real_clips(options, 32, RollStore.open(tiny_store))
    rows = records(damage.measure_damage(real, options, embedder))
    pools = [embedder.embed(choose_clips(real, genre_id, 12, options).rolls)["fake"] for genre_id in range(3)]
    floor = [frechet_distance(*random_halves(pools, rng_at("floor", 0, number))) for number in range(4)]
    for row in rows:
        expected = (row["FAD"] - np.mean(floor)) / np.std(floor, ddof=1)
        assert row["FAD_deviations"] == pytest.approx(expected)
