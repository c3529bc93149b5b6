"""The Fréchet audio distance: which clips, which figures, what is said where there are none."""

import csv
import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_embedders import FakeEmbedder, clips, embedder_of
from frames import records
from huggingface_hub import constants
from tiny_stores import make_store
from weights import save_weights

import eval_fad_samples
from common.errors import UserError, run_command
from common.options import parse_options
from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.fad import EmptyClipOptions, FadOptions, choose_clips, choose_real, measure_fad
from evaluation.samples.clips import open_clip_sources
from evaluation.statistics.distances import frechet_distance
from models import Generator
from models.checkpoint import CheckpointError


@pytest.fixture
def options(tiny_store: Path, tmp_path: Path) -> FadOptions:
    """A generator of T = 32 with random weights that plays about as much as the data does."""
    store = RollStore.open(tiny_store)
    torch.manual_seed(0)
    generator = Generator(len(store.genres), 32)
    generator.start_at(WindowSource(store, "train", 32).pitch_rate().mul(8).clamp(0.01, 0.6))
    facts = {"genres": store.genres, "frames_per_second": 16, "seq_len": 32}
    save_weights(generator, tmp_path / "checkpoints" / "hybrid_G_best_T32.pth", **facts)
    folders = {name: tmp_path / name for name in ("metrics", "cache")}
    weights = (tmp_path / "checkpoints",)
    few = {"clips": 6, "generation_seeds": 2, "floor_seeds": 3}
    return FadOptions(store=tiny_store, checkpoints=weights, **folders, **few, device="cpu")


def draw_from(rolls: np.ndarray) -> object:
    return lambda first, count: rolls[first : first + count]


def test_empty_clips_are_counted_and_others_drawn() -> None:
    rolls = clips(8)
    rolls[[0, 2, 3, 7]] = False
    chosen = choose_clips(draw_from(rolls), 3, 8, EmptyClipOptions())
    assert np.array_equal(chosen.rolls, rolls[[1, 4, 5]]) and chosen.n_empty == 3
    all_of_them = choose_clips(draw_from(rolls), 8, 8, EmptyClipOptions())
    assert np.array_equal(all_of_them.rolls, rolls[[1, 4, 5, 6]]) and all_of_them.n_empty == 4
    kept = choose_clips(draw_from(rolls), 3, 8, EmptyClipOptions(empty="silence"))
    assert np.array_equal(kept.rolls, rolls[:3]) and kept.n_empty == 2


def test_a_clip_with_fewer_notes_than_asked_for_counts_as_empty() -> None:
    rolls = np.zeros((3, 128, 16), bool)
    rolls[0, 60, 2:9] = True  # one note
    rolls[1, 60, [0, 1, 3, 4, 8]] = True  # three notes
    rolls[2, 60:63, 5:] = True  # three at once
    chosen = choose_clips(draw_from(rolls), 2, 3, EmptyClipOptions(min_notes=2))
    assert np.array_equal(chosen.rolls, rolls[1:]) and chosen.n_empty == 1


def test_a_source_without_clips_gives_none() -> None:
    chosen = choose_clips(draw_from(clips(0)), 4, 0, EmptyClipOptions())
    assert chosen.rolls.shape == (0, 128, 16) and chosen.n_empty == 0


def test_rows_measure_the_clips_they_name(options: FadOptions) -> None:
    source = open_clip_sources(options)[0]
    embedder = embedder_of(options.cache)
    rows = records(measure_fad(source, options, embedder))
    assert [row["genre_id"] for row in rows] == [0, 1, 2, -1]
    for row in rows[:-1]:
        pool = embedder.embed(choose_real(source, row["genre_id"], 12, options).rolls)["fake"]
        train = choose_real(source.of_split("train"), row["genre_id"], 6, options)
        fakes = choose_clips(
            lambda first, count, genre=row["genre_id"]: source.generated(genre, first, count),
            6,
            120,
            options,
        )
        fake = embedder.embed(fakes.rolls)["fake"]
        assert row["FAD"] == pytest.approx(frechet_distance(pool[:6], fake))
        assert row["FAD_train"] == pytest.approx(frechet_distance(pool[:6], embedder.embed(train.rolls)["fake"]))
        assert (row["n_real"], row["n_fake"], row["n_floor"], row["n_seeds"]) == (6, 6, 6, 2)
        assert row["FAD_over_floor"] == pytest.approx(row["FAD"] / row["FAD_floor"])
        assert row["n_infinity"] == 12 and row["FAD_infinity"] is not None and row["note"] == ""
    overall = rows[-1]
    assert overall["n_real"] == overall["n_fake"] == 18
    assert overall["FAD"] != pytest.approx(sum(row["FAD"] for row in rows[:-1]) / 3), "one distance over all clips"


def test_a_generator_of_the_real_clips_reaches_the_floor(options: FadOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_clip_sources(options)[0]
    honest = records(measure_fad(source, options, embedder_of(options.cache)))
    order = [source.real_order(genre_id) for genre_id in range(3)]

    def real_ones(self: object, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        return source.real(order[genre_id].roll(-6)[first:][:count])

    monkeypatch.setattr(type(source), "generated", real_ones)
    perfect = records(measure_fad(source, options, embedder_of(options.cache)))
    assert perfect[-1]["FAD"] < 3 * perfect[-1]["FAD_floor"] < honest[-1]["FAD"]
    assert abs(perfect[-1]["KAD"]) < 4 * perfect[-1]["KAD_floor_std"] < honest[-1]["KAD"]


def test_training_clips_are_not_compared_with_themselves(options: FadOptions) -> None:
    own = FadOptions(**{**vars(options), "split": "train"})
    rows = records(measure_fad(open_clip_sources(own)[0], own, embedder_of(options.cache)))
    assert all(row["n_train"] == 0 and row["FAD_train"] is None and row["FAD"] > 0 for row in rows)


def test_a_store_at_another_frame_rate_is_refused(options: FadOptions) -> None:
    path = options.checkpoints[0] / "hybrid_G_best_T32.pth"
    content = torch.load(path, weights_only=True)
    torch.save({**content, "facts": {**content["facts"], "frames_per_second": 8}}, path)
    with pytest.raises(CheckpointError, match=r"trained at 8 frames a second, but .* has 16"):
        open_clip_sources(options)


def test_what_cannot_be_measured_is_empty_and_says_why(options: FadOptions) -> None:
    wanting = FadOptions(**{**vars(options), "clips": 10, "generation_seeds": 1})
    row = records(measure_fad(open_clip_sources(wanting)[0], wanting, embedder_of(options.cache)))[0]
    available = row["n_floor"] * 2
    assert row["n_real"] == 10 > row["n_floor"] and available < 20
    assert row["FAD_over_floor"] is None and row["FAD_seeds_std"] is None
    assert row["note"] == f"no ratio to the floor: it has {row['n_floor']} clips a side"
    few = FadOptions(**{**vars(options), "clips": 2, "generation_seeds": 1})
    row = records(measure_fad(open_clip_sources(few)[0], few, embedder_of(options.cache)))[0]
    assert row["FAD_infinity"] is None and "no FAD_infinity: 2 clips a side, but it needs 8" in row["note"]


def test_a_silent_generator_is_not_given_a_distance(options: FadOptions) -> None:
    silent = FadOptions(**{**vars(options), "threshold": 1.0})
    rows = records(measure_fad(open_clip_sources(silent)[0], silent, embedder_of(options.cache)))
    assert all(row["FAD"] is None and row["n_fake"] == 0 and row["KAD"] is None for row in rows)
    assert rows[0]["n_empty"] == 20 * 6 and rows[-1]["n_empty"] == 3 * 20 * 6
    assert "no FAD: fewer than two clips on a side" in rows[0]["note"]
    assert "only 0 of 6 generated clips were not empty in 20 times as many draws" in rows[0]["note"]
    embedded = FadOptions(**{**vars(silent), "empty": "silence"})
    rows = records(measure_fad(open_clip_sources(embedded)[0], embedded, embedder_of(options.cache)))
    assert all(row["FAD"] > 0 and row["n_fake"] == row["n_empty"] for row in rows)


def test_the_command_writes_table_and_chart(
    options: FadOptions, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    both = [FakeEmbedder("one", "one 1"), FakeEmbedder("two", "two 1")]
    monkeypatch.setattr(eval_fad_samples, "open_clip_embedder", lambda *_: embedder_of(options.cache, *both))
    rows = records(eval_fad_samples.eval_fad_samples(options))
    with (options.metrics / "fad_results.csv").open(newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert list(written[0])[:6] == ["T", "genre_id", "genre_name", "n_real", "n_fake", "FAD"]
    assert [row["embedder"] for row in written] == ["one 1"] * 4 + ["two 1"] * 4
    assert float(written[3]["FAD"]) == pytest.approx(rows[3]["FAD"], rel=1e-4)
    for fact in ("synth", "soundfont_sha256", "threshold", "seed", "checkpoint_sha256", "store_content", "empty"):
        assert written[0][fact]
    assert (options.metrics / "fad_results.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "one 1, fake synth 1, fake.sf2" in printed and "two 1, fake synth 1, fake.sf2" in printed


def test_without_a_generator_there_is_one_line(options: FadOptions, tmp_path: Path) -> None:
    elsewhere = FadOptions(**{**vars(options), "checkpoints": (tmp_path / "nowhere",)})
    with pytest.raises(UserError, match=r"nowhere: no generator there .*train it with train_hybrid.py"):
        eval_fad_samples.eval_fad_samples(elsewhere)


def command_line(options: FadOptions, *more: str) -> list[str]:
    words = ["--clips", "4", "--generation-seeds", "1", "--checkpoints", str(options.checkpoints[0])]
    for name in ("store", "metrics", "cache"):
        words += [f"--{name}", str(getattr(options, name))]
    return [*words, *more]


def test_the_command_line_with_a_trained_embedder_and_again_from_the_cache(options: FadOptions) -> None:
    table = options.metrics / "fad_results.csv"
    words = command_line(options, "--embedders", "MTT_musicnn", "--synth", "tinysoundfont")
    tables = []
    for _ in range(2):
        done = subprocess.run([sys.executable, eval_fad_samples.__file__, *words], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        tables.append(table.read_bytes())
    assert tables[0] == tables[1], "embeddings come back from the cache to the last digit"
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and all(float(row["FAD"]) > 0 and row["n_fake"] for row in rows)
    assert rows[0]["embedder"].startswith("MTT_musicnn ") and rows[0]["synth"].startswith("TinySoundFont ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--embedders", "vggish"], "--embedders must be one of ast, MTT_musicnn, MSD_musicnn, but is vggish"),
        (["--synth", "tinysoundfont"], "the weights of AST are not in the Hugging Face cache; get them on a machine"),
        (["--clips", "1"], "--clips must be at least 2, but is 1"),
    ],
)
def test_what_is_wrong_is_one_line(
    options: FadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], message: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    words = command_line(options, *arguments)
    with pytest.raises(SystemExit) as caught:
        run_command(lambda: eval_fad_samples.eval_fad_samples(parse_options(FadOptions, "", words)))
    assert caught.value.code == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(f"error: {message}")


def uneven(tmp_path: Path) -> Path:
    """A store whose third genre has far fewer test clips than the others, and whose second has none."""
    test = ("test",) * 6
    return make_store(tmp_path / "uneven", splits=[("train", *test), ("train",), ("train", "test")])


def test_genres_of_uneven_size_weigh_alike_on_both_sides(
    options: FadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = dataclasses.replace(options, store=uneven(tmp_path), clips=30)
    (source,) = open_clip_sources(wanted)
    order = [source.real_order(genre_id) for genre_id in range(3)]
    assert len(order[0]) >= 60 > 30 > len(order[2]) > len(order[1]) == 0

    def real_ones(self: object, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        """A perfect generator: it plays real clips, from the other end, as often as it is asked."""
        return source.real(order[genre_id].flip(0).repeat(40)[first:][:count])

    monkeypatch.setattr(type(source), "generated", real_ones)
    rows = records(measure_fad(source, wanted, embedder_of(options.cache)))
    assert [row["genre_id"] for row in rows] == [0, 1, 2, -1]
    every = rows[-1]
    n = 30 + len(choose_real(source, 2, 60, wanted).rolls)
    assert every["n_real"] == every["n_fake"] == n
    embed = embedder_of(options.cache).embed
    real = [choose_real(source, genre_id, n_of_genre, wanted).rolls for genre_id, n_of_genre in ((0, 30), (2, 30))]
    fake = [real_ones(source, genre_id, 0, 30) for genre_id in (0, 2)]
    in_other_shares = frechet_distance(*(embed(np.concatenate(rolls))["fake"] for rolls in (real, fake)))
    assert every["FAD"] < rows[0]["FAD"] < in_other_shares
    assert f"{n} clips a side: each genre has as many real as generated ones" in every["note"]
    assert rows[1]["note"] == "no test clips" and rows[1]["FAD"] is None


def test_a_generator_short_of_clips_is_compared_with_as_many(
    options: FadOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    (source,) = open_clip_sources(options)

    def often_empty(self: object, genre_id: int, first: int, count: int, *, seed: int | None = None) -> np.ndarray:
        rolls = source.real(source.real_order(genre_id)[:1]).repeat(count, axis=0)
        sounds = np.arange(first, first + count) < (3 if genre_id == 2 else 100)
        return rolls & sounds[:, None, None]

    monkeypatch.setattr(type(source), "generated", often_empty)
    rows = records(measure_fad(source, options, embedder_of(options.cache)))
    assert [(row["n_real"], row["n_fake"]) for row in rows] == [(6, 6), (6, 6), (3, 3), (15, 15)]
    assert "only 3 of 6 generated clips were not empty in 20 times as many draws" in rows[2]["note"]


def test_clips_are_saved_for_other_tools(options: FadOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = open_clip_sources(options)
    written = {}

    def write(folder: Path, rolls: dict, rate: int, renderer: object, wav_folder: Path) -> None:
        assert (folder.name, wav_folder.name, folder.parent) == ("midi", "wav", wav_folder.parent)
        written.setdefault(folder.parent.relative_to(tmp_path / "clips").as_posix(), {}).update(rolls)

    monkeypatch.setattr("evaluation.metrics.fad.write_roll_files", write)
    saving = dataclasses.replace(options, save_clips=tmp_path / "clips")
    measure_fad(source, saving, embedder_of(options.cache))
    generated = [f"T32/generator_mlp_normal_seed{seed}" for seed in range(2)]
    assert sorted(written) == sorted(["T32/real", "T32/training", *generated])
    assert all(len([name for name in rolls if name.startswith("chords_")]) >= 6 for rolls in written.values())
    np.testing.assert_array_equal(written["T32/real"]["chords_000"], source.real(source.real_order(0)[:1])[0])
