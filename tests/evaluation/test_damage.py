"""Damaged clips, and the table of their distances."""

from pathlib import Path

import numpy as np
import pytest
from fake_embedders import clips, embedder_of
from frames import records

import programs.damage as program
from data.pianoroll import RollNotes
from evaluation.metrics import damage
from evaluation.options import DamageOptions


def test_damages() -> None:
    many = RollNotes(*np.array([(60 + k % 12, k, k + 4) for k in range(1000)]).T)
    rng = np.random.default_rng(0)
    jittered, shifted, random, thinned = (damage.damage_notes(kind, many, rng, 16) for kind in damage.DAMAGES)
    moved = jittered.start - many.start
    assert np.array_equal(jittered.end - jittered.start, many.end - many.start)
    assert moved.std() == pytest.approx(1.6, rel=0.1) and abs(moved.mean()) < 0.2
    assert set(np.abs(shifted.pitch - many.pitch)) == {1, 2, 3} and np.array_equal(shifted.start, many.start)
    assert random.pitch.min() == 21 and random.pitch.max() == 108
    assert len(thinned.pitch) == pytest.approx(300, abs=50)


@pytest.mark.parametrize("kind", damage.DAMAGES)
def test_damaged_clips_depend_on_their_number_and_the_seed_alone(kind: str) -> None:
    rolls = clips(3, frames=32)
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
    assert rows[-1]["FAD"] > rows[0]["FAD"], "dropping notes lowers the polyphony that this embedder sees"
    assert (tmp_path / "metrics" / "fad_sanity.csv").is_file()
