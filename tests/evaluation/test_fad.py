"""The Fréchet audio distance: which clips are compared, the values of each row, and notes on missing values."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_embedders import FakeEmbedder, clips, embedder_of
from frames import records
from tiny_stores import make_store

import eval_fad_samples
from common.errors import UserError
from common.randomness import rng_at
from evaluation.metrics.fad import choose_clips, measure_fad
from evaluation.options import EmptyClipOptions, FadOptions
from evaluation.samples.clips import ClipSource, open_clip_sources
from evaluation.statistics.distances import DISTANCES, frechet_distance, random_halves


@pytest.fixture
def options(places: dict[str, object], tmp_path: Path) -> FadOptions:
    return FadOptions(**places, cache=tmp_path / "cache", clips=6, generation_seeds=2, floor_seeds=3)


def rows_of(options: FadOptions, **changed: object) -> list[dict]:
    options = dataclasses.replace(options, **changed)
    (source,) = open_clip_sources(options)
    return records(measure_fad(source, options, embedder_of(options.cache)))


@dataclasses.dataclass
class Fixed:
    """The same clips for every genre."""

    rolls: np.ndarray

    def clips(self, genre_id: int, first: int, count: int) -> np.ndarray:
        return self.rolls[first : first + count]


def test_empty_clips_are_counted_and_redrawn() -> None:
    rolls = clips(8)
    rolls[[0, 2, 3, 7]] = False
    fixed = Fixed(rolls)
    for wanted, at_most, expected, n_empty in ((3, 8, [1, 4, 5], 3), (8, np.inf, [1, 4, 5, 6], 4), (3, 4, [1], 3)):
        chosen = choose_clips(fixed, 0, wanted, EmptyClipOptions(), at_most)
        assert np.array_equal(chosen.rolls, rolls[expected]) and chosen.n_empty == n_empty
    kept = choose_clips(fixed, 0, 3, EmptyClipOptions(empty="silence"))
    assert np.array_equal(kept.rolls, rolls[:3]) and kept.n_empty == 2
    assert choose_clips(Fixed(clips(0)), 0, 4, EmptyClipOptions()).rolls.shape == (0, 128, 16)


def test_a_clip_with_fewer_notes_than_the_minimum_counts_as_empty() -> None:
    rolls = np.zeros((2, 128, 16), bool)
    rolls[0, 60, 2:9] = rolls[1, 60, [0, 1, 3, 4, 8]] = True  # one note, and three
    chosen = choose_clips(Fixed(rolls), 0, 1, EmptyClipOptions(min_notes=2))
    assert np.array_equal(chosen.rolls, rolls[1:]) and chosen.n_empty == 1


def test_rows_are_of_the_clips_they_name(options: FadOptions) -> None:
    (source,) = open_clip_sources(options)
    embed = embedder_of(options.cache).embed
    rows = records(measure_fad(source, options, embedder_of(options.cache)))
    assert [row["genre_id"] for row in rows] == [0, 1, 2, -1]
    for genre_id, row in enumerate(rows[:-1]):
        pool = embed(choose_clips(source.real, genre_id, 12, options).rolls)["fake"]
        train = embed(choose_clips(source.real.of_split("train"), genre_id, 6, options).rolls)["fake"]
        distances = []
        floor = [random_halves([pool], rng_at("floor", 0, number)) for number in range(3)]
        fakes = embed(choose_clips(source, genre_id, 6, options, 120).rolls)["fake"]
        for name in ("FAD", "MIND"):  # the halves of one genre are too uniform for KAD
            distance = DISTANCES[name]
            assert row[name] == pytest.approx(distance(pool[:6], fakes))
            assert row[f"{name}_train"] == pytest.approx(distance(pool[:6], train))
            assert row[f"{name}_floor"] == pytest.approx(np.mean([distance(*halves) for halves in floor]))
            assert row[f"{name}_floor_std"] == pytest.approx(np.std([distance(*halves) for halves in floor], ddof=1))
        for seed in (0, 1):
            fakes = choose_clips(dataclasses.replace(source, seed=seed), genre_id, 6, options, 120)
            distances.append(frechet_distance(pool[:6], embed(fakes.rolls)["fake"]))
        assert row["FAD_seeds_mean"] == pytest.approx(np.mean(distances)) and distances[0] != distances[1]
        assert (row["n_real"], row["n_fake"], row["n_floor"], row["n_seeds"]) == (6, 6, 6, 2)
        assert row["FAD_over_floor"] == pytest.approx(row["FAD"] / row["FAD_floor"])
        assert row["n_infinity"] == 12 and row["FAD_infinity"] is not None and row["note"] == ""
    overall = rows[-1]
    assert overall["n_real"] == overall["n_fake"] == 18
    assert overall["FAD"] != pytest.approx(sum(row["FAD"] for row in rows[:-1]) / 3), "one distance over all clips"


def test_a_generator_of_the_real_clips_reaches_the_floor(options: FadOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = rows_of(options)[-1]

    def other_real_clips(source: ClipSource, genre_id: int, first: int, count: int) -> np.ndarray:
        return source.real.rolls(source.real.order(genre_id).roll(-6)[first:][:count])

    monkeypatch.setattr(ClipSource, "clips", other_real_clips)
    perfect = rows_of(options)[-1]
    assert perfect["FAD"] < 3 * perfect["FAD_floor"] < honest["FAD"]
    assert abs(perfect["KAD"]) < 4 * perfect["KAD_floor_std"] < honest["KAD"]


def test_training_clips_are_not_compared_with_themselves(options: FadOptions) -> None:
    for row in rows_of(options, split="train"):
        assert row["n_train"] == 0 and row["FAD_train"] is None and row["FAD"] > 0


def test_missing_values_have_a_note(options: FadOptions) -> None:
    row = rows_of(options, clips=10, generation_seeds=1)[0]
    assert row["n_real"] == 10 > row["n_floor"]
    assert row["FAD_over_floor"] is None and row["FAD_seeds_std"] is None
    assert row["note"] == f"no ratio to the floor: it has {row['n_floor']} clips a side"
    row = rows_of(options, clips=2, generation_seeds=1)[0]
    assert row["FAD_infinity"] is None and "no FAD_infinity: 2 clips a side, but it needs 8" in row["note"]


def test_a_silent_generator_has_no_distance(options: FadOptions) -> None:
    rows = rows_of(options, threshold=1.0)
    assert all(row["FAD"] is None and row["n_fake"] == 0 and row["KAD"] is row["MIND"] is None for row in rows)
    assert rows[0]["n_empty"] == 20 * 6 and rows[-1]["n_empty"] == 3 * 20 * 6
    assert "no FAD: fewer than two clips on a side" in rows[0]["note"]
    assert "only 0 of 6 generated clips were not empty in 20 times as many draws" in rows[0]["note"]
    rows = rows_of(options, threshold=1.0, empty="silence")
    assert all(row["FAD"] > 0 and row["n_fake"] == row["n_empty"] for row in rows)


def test_each_embedder_has_its_rows_and_part_of_the_printed_table(
    options: FadOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [FakeEmbedder("one", "one 1"), FakeEmbedder("two", "two 1")]
    embedder = embedder_of(options.cache, *both)
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder)
    rows = eval_fad_samples.eval_fad_samples(options)
    written = pd.read_csv(options.metrics / "fad_results.csv")
    assert written["embedder"].tolist() == ["one 1"] * 4 + ["two 1"] * 4
    assert written["FAD"].tolist() == pytest.approx(rows["FAD"].tolist(), rel=1e-4)
    assert (options.metrics / "fad_results.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "one 1, fake synth 1, fake.sf2" in printed and "two 1, fake synth 1, fake.sf2" in printed


def test_the_command_line_with_a_trained_embedder_and_again_from_the_cache(options: FadOptions) -> None:
    words = ["--clips", "4", "--generation-seeds", "1", "--checkpoints", str(options.checkpoints[0])]
    words += ["--embedders", "MTT_musicnn", "--synth", "tinysoundfont"]
    for name in ("store", "metrics", "cache"):
        words += [f"--{name}", str(getattr(options, name))]
    tables = []
    for _ in range(2):
        done = subprocess.run([sys.executable, eval_fad_samples.__file__, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        tables.append((options.metrics / "fad_results.csv").read_bytes())
    assert tables[0] == tables[1], "cached embeddings are equal to the last digit"
    rows = pd.read_csv(options.metrics / "fad_results.csv")
    assert len(rows) == 4 and (rows["FAD"] > 0).all() and (rows["n_fake"] > 0).all()
    assert rows["embedder"][0].startswith("MTT_musicnn ") and rows["synth"][0].startswith("TinySoundFont ")


def test_a_folder_without_weights_is_named(options: FadOptions, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no generator there \(hybrid_G_best_T32.pth, .*--checkpoint$"):
        rows_of(options, checkpoints=(Path("nowhere"),))
    earlier = tmp_path / "generator_pretrained_best.pth"
    earlier.touch()
    with pytest.raises(UserError, match=f"or name weights with --checkpoint {earlier}$"):
        rows_of(options, checkpoints=(tmp_path,))


def test_genres_of_uneven_size_weigh_alike_on_both_sides(
    options: FadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third genre has far fewer test clips than the first, and the second has none."""
    splits = [("train", *("test",) * 6), ("train",), ("train", "test")]
    wanted = dataclasses.replace(options, store=make_store(tmp_path / "uneven", splits=splits), clips=30)
    (source,) = open_clip_sources(wanted)
    order = [source.real.order(genre_id) for genre_id in range(3)]
    assert len(order[0]) >= 60 > 30 > len(order[2]) > len(order[1]) == 0

    def real_ones(self: object, genre_id: int, first: int, count: int) -> np.ndarray:
        """A perfect generator: it plays real clips, from the other end, in a loop."""
        return source.real.rolls(order[genre_id].flip(0).repeat(40)[first:][:count])

    monkeypatch.setattr(ClipSource, "clips", real_ones)
    rows = records(measure_fad(source, wanted, embedder_of(options.cache)))
    real = [choose_clips(source.real, genre_id, 30, wanted).rolls for genre_id in (0, 2)]
    fake = [real_ones(source, genre_id, 0, 30) for genre_id in (0, 2)]
    n, embed = 30 + len(choose_clips(source.real, 2, 60, wanted).rolls), embedder_of(options.cache).embed
    in_other_shares = frechet_distance(*(embed(np.concatenate(rolls))["fake"] for rolls in (real, fake)))
    assert rows[-1]["n_real"] == rows[-1]["n_fake"] == n
    assert rows[-1]["FAD"] < rows[0]["FAD"] < in_other_shares
    assert f"{n} clips a side: each genre has as many real as generated ones" in rows[-1]["note"]
    assert rows[1]["note"] == "no test clips" and rows[1]["FAD"] is None


def test_a_generator_short_of_clips_is_compared_with_as_many(
    options: FadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def often_empty(source: ClipSource, genre_id: int, first: int, count: int) -> np.ndarray:
        sounds = np.arange(first, first + count) < (3 if genre_id == 2 else 100)
        return source.real.clips(genre_id, 0, 1) & sounds[:, None, None]

    monkeypatch.setattr(ClipSource, "clips", often_empty)
    rows = rows_of(options)
    assert [(row["n_real"], row["n_fake"]) for row in rows] == [(6, 6), (6, 6), (3, 3), (15, 15)]
    assert "only 3 of 6 generated clips were not empty in 20 times as many draws" in rows[2]["note"]


def test_clips_are_saved_for_other_tools(options: FadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = {}

    def write(folder: Path, rolls: dict, rate: int, renderer: object, wav_folder: Path) -> None:
        assert (folder.name, wav_folder) == ("midi", folder.parent / "wav")
        written.setdefault(folder.parent.name, {}).update(rolls)

    monkeypatch.setattr("evaluation.metrics.fad.write_roll_files", write)
    rows_of(options, save_clips=tmp_path)
    *generated, real, training = sorted(written, key=lambda name: (name in ("real", "training"), name))
    assert (real, training, len(generated)) == ("real", "training", 2)
    assert all(name.endswith(f"checkpoints_generator_mlp_normal_seed{n}") for n, name in enumerate(generated))
    assert all(len([name for name in rolls if name.startswith("chords_")]) >= 6 for rolls in written.values())
    np.testing.assert_array_equal(written["real"]["chords_000"], open_clip_sources(options)[0].real.clips(0, 0, 1)[0])
