"""Musical features of hand-made rolls, distributions with known overlap, and the table of both."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from frames import records
from midi_files import roll_with

import eval_music
from common.errors import UserError
from data.pianoroll import roll_notes
from evaluation.metrics.music import ALL_FEATURES, genre_features, measure_music, overlap_area
from evaluation.samples.clips import ClipSource, RealClips, open_clip_sources
from evaluation.statistics.features import FEATURES, musical_features
from evaluation.statistics.novelty import NOVELTY, KnownWindows

UNDEFINED_IN_SILENCE = {
    "chord_size", "onset_follows", "polyphony", "note_length", "pitch_range", "pitch_class_entropy",
    "scale_consistency", "repetition", "beat", "likeness",
}  # fmt: skip


def clip(*notes: tuple[int, int, int], frames: int = 32) -> torch.Tensor:
    return torch.from_numpy(roll_with(*notes, frames=frames))[None]


def features_of(roll: torch.Tensor) -> dict[str, float]:
    return {name: value.item() for name, value in musical_features(roll, 16).items()}


def repetition_of(*notes: tuple[int, int], frames: int = 64) -> float:
    """Of notes (pitch, onset), each of one frame, in blocks of eight frames."""
    return features_of(clip(*((pitch, onset, onset + 1) for pitch, onset in notes), frames=frames))["repetition"]


def random_rolls(n: int, frames: int = 32, seed: int = 0) -> torch.Tensor:
    """Clips of many notes of several frames, some clips denser than others."""
    rng = np.random.default_rng(seed)
    rolls = torch.zeros(n, 128, frames, dtype=torch.bool)
    for roll in rolls:
        for _ in range(rng.integers(1, 40)):
            pitch, start = rng.integers(0, 128), rng.integers(0, frames)
            roll[pitch, start : start + rng.integers(1, 12)] = True
    return rolls


def test_a_clip_with_known_answers() -> None:
    values = features_of(clip((60, 0, 8), (64, 0, 8), (67, 0, 8), (61, 16, 20)))
    assert list(values) == list(FEATURES)
    assert values["empty"] == 0
    assert values["silent_frames"] == pytest.approx(20 / 32)
    assert values["note_density"] == pytest.approx(4 / 2)
    assert values["onset_frames"] == pytest.approx(2 / 32)
    assert values["chord_size"] == 2
    assert values["onset_follows"] == 0
    assert values["polyphony"] == pytest.approx((3 * 8 + 1 * 4) / 12)
    assert values["note_length"] == pytest.approx((3 * 0.5 + 0.25) / 4)
    assert values["pitch_range"] == 7
    assert values["pitch_classes"] == 4
    assert values["pitch_class_entropy"] == pytest.approx(2)
    # C major has three of the notes C, C sharp, E, G; no major scale has all.
    assert values["scale_consistency"] == pytest.approx(3 / 4)
    assert values["repetition"] == 0
    assert values["likeness"] == pytest.approx(0)


def test_a_beat_is_a_frequency_of_the_onsets() -> None:
    steady = clip(*((60, begin, begin + 2) for begin in range(0, 64, 8)), frames=64)
    # Onsets every 8 of 64 frames: the frequencies 8, 16, 24 and 32 have the same power, and 32 lies at the end.
    assert features_of(steady)["beat"] == pytest.approx(1 / 4)
    assert features_of(clip(*((60, begin, begin + 1) for begin in range(0, 64, 2)), frames=64))["beat"] == 1
    one_onset = features_of(clip((60, 7, 30), frames=64))["beat"]
    assert one_onset == pytest.approx(1 / 32), "all frequencies alike"


def test_likeness_is_of_the_keys_of_the_seconds_that_sound() -> None:
    assert features_of(clip((60, 0, 8), (60, 20, 22), (67, 40, 44), frames=64))["likeness"] == pytest.approx(1 / 3)
    assert features_of(clip((60, 0, 16), (60, 16, 24), (64, 24, 32)))["likeness"] == pytest.approx(0.5**0.5)
    of_one_second = clip((60, 0, 8), (61, 0, 3), (62, 0, 3))  # whose cosine with itself is rounded
    assert math.isnan(features_of(of_one_second)["likeness"])


def test_chords_that_begin_at_once_and_note_by_note() -> None:
    at_once = features_of(clip((60, 4, 8), (64, 4, 8), (67, 4, 8), (60, 12, 14), (72, 13, 14)))
    assert (at_once["onset_frames"], at_once["chord_size"]) == (3 / 32, 5 / 3)
    assert at_once["onset_follows"] == pytest.approx(1 / 3)
    spread = features_of(clip((60, 4, 8), (64, 3, 8), (67, 5, 8)))
    assert (spread["onset_frames"], spread["chord_size"]) == (3 / 32, 1)
    assert spread["onset_follows"] == pytest.approx(2 / 3)
    # The first frame follows none, a held note begins once, and one frame of silence separates.
    assert features_of(clip((60, 0, 32), (64, 2, 4), (64, 30, 32)))["onset_follows"] == 0
    assert features_of(clip((60, 0, 2), (61, 1, 2), (62, 31, 32)))["onset_follows"] == pytest.approx(1 / 3)


def test_silence_has_no_notes_to_describe_nor_an_effect_on_other_clips() -> None:
    rolls = random_rolls(5)
    rolls[4] = False
    together = musical_features(rolls, 16)
    values = {name: value[4].item() for name, value in together.items()}
    assert {name for name, value in values.items() if math.isnan(value)} == UNDEFINED_IN_SILENCE
    assert values["empty"] == values["silent_frames"] == 1
    assert values["note_density"] == values["onset_frames"] == values["pitch_classes"] == 0
    for index in range(len(rolls)):
        for name, alone in musical_features(rolls[index : index + 1], 16).items():
            torch.testing.assert_close(alone, together[name][index : index + 1], equal_nan=True)


def test_repetition_needs_no_beat_and_forgives_a_frame() -> None:
    motif = [(60, 9), (62, 11), (64, 13)]
    # The motif's own block repeats nothing; 21 frames later it falls into two blocks, both repeated.
    assert repetition_of(*motif, *((pitch, onset + 21) for pitch, onset in motif)) == pytest.approx(2 / 3)
    assert repetition_of(*motif, (60, 30), (62, 32), (64, 35)) == pytest.approx(2 / 3)
    # One note of the second block is three frames late: one of two onsets is the same, 2 * 1 / (2 + 2).
    assert repetition_of(*motif, (60, 30), (62, 32), (64, 37)) == pytest.approx((0 + 1 + 0.5) / 3)
    assert repetition_of(*motif, *((pitch + 1, onset + 16) for pitch, onset in motif)) == 0


def test_repetition_is_of_earlier_onsets() -> None:
    chord = [(60, 2), (64, 2), (67, 2)]
    assert repetition_of(*chord, *((pitch, 18) for pitch, _ in chord), frames=32) == pytest.approx(1)
    # Two of three notes come back: 2 * 2 / (3 + 2); and with a new one, 2 * 2 / (3 + 3).
    assert repetition_of(*chord, (60, 18), (64, 18), frames=32) == pytest.approx(4 / 5)
    assert repetition_of(*chord, (60, 18), (64, 18), (70, 18), frames=32) == pytest.approx(4 / 6)
    # Later blocks do not count, so the first of two like ones repeats nothing.
    assert repetition_of((60, 9), (60, 17), frames=32) == pytest.approx(1 / 2)
    held = clip((60, 0, 32), (64, 0, 32))
    assert math.isnan(features_of(held)["repetition"])
    assert math.isnan(features_of(clip((60, 0, 4)))["repetition"])


def test_features_agree_with_muspy() -> None:
    import muspy

    rolls = random_rolls(20)
    ours = musical_features(rolls, 16)
    theirs = {
        "polyphony": muspy.polyphony,
        "pitch_range": muspy.pitch_range,
        "pitch_classes": muspy.n_pitch_classes_used,
        "pitch_class_entropy": muspy.pitch_class_entropy,
        "scale_consistency": muspy.scale_consistency,
    }
    for index, roll in enumerate(rolls.numpy()):
        pitch, start, end = (field.tolist() for field in roll_notes(roll))
        notes = [muspy.Note(s, p, e - s) for p, s, e in zip(pitch, start, end, strict=True)]
        music = muspy.Music(tracks=[muspy.Track(notes=notes)])
        for name, function in theirs.items():
            assert ours[name][index].item() == pytest.approx(function(music)), name
        assert ours["note_density"][index].item() == len(notes) / 2
        assert ours["note_length"][index].item() == pytest.approx(np.mean([note.duration for note in notes]) / 16)


def test_overlap_of_known_samples() -> None:
    sample = torch.tensor([0.0, 1, 1, 2], dtype=torch.float64)
    assert overlap_area(sample, sample, 1) == pytest.approx(1)
    assert overlap_area(sample, sample.repeat(5), 1) == pytest.approx(1)
    assert overlap_area(sample, sample + 3, 1) == 0
    # Shares 1/4, 1/2, 1/4 and, one to the right, the same: 1/4 + 1/4 in common.
    assert overlap_area(sample, sample + 1, 1) == pytest.approx(0.5)
    assert overlap_area(sample, sample + 0.5, 1) == pytest.approx(1)
    assert overlap_area(-sample, -sample - 1, 1) == pytest.approx(0.5)
    assert math.isnan(overlap_area(sample, sample[:0], 1))


TUNE = (60, 0, 4), (64, 4, 8), (67, 8, 16), (72, 20, 22)


def test_a_transposed_window_is_memorised() -> None:
    known = KnownWindows([clip((40, 1, 4)), clip(*((pitch + 6, *rest) for pitch, *rest in TUNE))])
    assert torch.stack(list(known.novelty(clip(*TUNE)).values())).tolist() == [[1]] * len(NOVELTY)


def test_similarity_to_the_nearest_window_is_counted() -> None:
    # Of four notes two begin at the same place on the same key, one of them lasting half as long.
    found = KnownWindows([clip((60, 0, 4), (64, 4, 6), (30, 9, 10))]).novelty(clip(*TUNE))
    assert found["nearest_note_share"].item() == 0.5 and found["memorised"].item() == 0
    assert found["nearest_frame_F1"].item() == pytest.approx(2 * 6 / (18 + 7))
    found = KnownWindows([clip((20, 0, 4))]).novelty(torch.cat([clip((60, 0, 4)), clip()]))
    assert found["nearest_frame_F1"][0] == found["nearest_note_share"][0] == 0
    assert all(values[1].isnan() for values in found.values()), "silence has no similarity"


@pytest.fixture
def options(places: dict[str, object]) -> eval_music.Options:
    return eval_music.Options(**places)


def by_feature(rows: list[dict], genre_id: int = -1) -> dict[str, dict]:
    return {row["feature"]: row for row in rows if row["genre_id"] == genre_id}


def test_table(options: eval_music.Options) -> None:
    rows = records(eval_music.eval_music(replace(options, novelty_clips=0)))
    written = pd.read_csv(options.metrics / "music-T32.csv")
    expected = [(genre_id, feature) for genre_id in (0, 1, 2, -1) for feature in FEATURES]
    assert list(zip(written["genre_id"], written["feature"], strict=True)) == expected
    (source,) = open_clip_sources(options)
    for genre_id in range(3):
        half = len(source.real.order(genre_id)) // 2
        clips = {"real": source.real.clips(genre_id, 0, half), "generated": source.clips(genre_id, 0, half)}
        features = {side: musical_features(torch.from_numpy(rolls), 16) for side, rolls in clips.items()}
        for feature, row in by_feature(rows, genre_id).items():
            for side, count in (("real", "n_real"), ("generated", "n_fake")):
                assert row[count] == int((~features[side][feature].isnan()).sum())
                mean = features[side][feature].nanmean().item()
                assert row[side] == (pytest.approx(mean) if row[count] else None)
            if row["n_real"]:
                assert row["difference"] == pytest.approx(row["generated"] - row["real"])
                assert all(0 <= row[f"overlap_{name}"] <= 1 for name in ("area", "halves", "training"))
            else:
                assert row["overlap_area"] is row["overlap_halves"] is row["overlap_training"] is None
    every = by_feature(rows)["note_density"]
    assert every["n_fake"] == sum(by_feature(rows, genre_id)["note_density"]["n_fake"] for genre_id in range(3))
    assert every["overlap_area"] < every["overlap_halves"], "noise is not music"


def test_a_generator_that_makes_the_real_clips_is_perfect(
    options: eval_music.Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClipSource, "clips", lambda source, *which: source.real.clips(*which))
    rows = [row for row in records(eval_music.eval_music(options)) if row["n_real"]]
    assert len(rows) == 4 * len(ALL_FEATURES) - 1
    for row in rows:
        assert row["difference"] == 0
        assert row["overlap_area"] == pytest.approx(1)
        assert row["overlap_halves"] <= 1 and row["difference_halves"] >= 0


def test_a_silent_generator_has_empty_cells_and_a_rate(options: eval_music.Options) -> None:
    rows = by_feature(records(eval_music.eval_music(replace(options, threshold=1.0, clips=4))))
    assert rows["empty"]["generated"] == 1 and rows["empty"]["n_fake"] == 12
    assert rows["empty"]["overlap_area"] == pytest.approx(1 - rows["empty"]["difference"])
    for feature in UNDEFINED_IN_SILENCE:
        row = rows[feature]
        assert row["n_fake"] == 0 and row["n_real"] > 0
        assert row["generated"] is row["difference"] is row["overlap_area"] is row["generated_std"] is None
        assert row["overlap_halves"] is not None


def test_training_clips_are_not_compared_with_themselves(options: eval_music.Options) -> None:
    for row in records(eval_music.eval_music(replace(options, split="train", clips=6))):
        assert row["n_training"] == 0
        assert row["overlap_training"] is row["difference_training"] is None
        assert (row["overlap_halves"] is None) == (row["n_real"] == 0)


def test_rows_over_all_genres_pool_their_clips(options: eval_music.Options) -> None:
    (source,) = open_clip_sources(options)
    row = by_feature(records(measure_music(source, 3)))["pitch_range"]
    pooled = torch.cat([genre.real["pitch_range"] for genre in genre_features(source, 3)])
    assert row["real"] == pytest.approx(pooled.nanmean().item())
    assert row["real_std"] == pytest.approx(pooled[~pooled.isnan()].std(correction=0).item())


def test_a_genre_needs_two_real_clips(options: eval_music.Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RealClips, "order", lambda clips, genre_id: torch.arange(1))
    with pytest.raises(UserError, match=r"no genre has two test windows of 32 frames .* shorter windows"):
        eval_music.eval_music(options)
