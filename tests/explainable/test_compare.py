"""The grid of trainings: which runs it has, how it trains, measures and skips them, its tables, plots and page."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.options import parse_options
from explainable.measures import MeasureSet
from explainable.result_tables import BY_ATTRIBUTE_TABLE, BY_SIZE_TABLE, BY_TRAINING_SET_TABLE, RUNS_TABLE
from explainable.tokens import MEASURE
from page.explainable_results import CAPTIONS, PICTURES, explainable_parts
from page.result_folder import AbsentFile, Part, Picture
from page.tables import ShownTable
from programs import study_compare
from programs.study_compare import FOUR, SIZES, TWO, Options, list_runs
from programs.study_prepare import MeasureSettings, prepare_measures

ROOT = Path(__file__).resolve().parents[2]
TINY = "--hidden 8 --epochs 1 --epoch-rows 48 --batch-size 16"
MEASURE_VAE, ADVERSARIAL_VAE, ATTRIBUTE_VAE = "measure_vae", "adversarial_vae", "attribute_vae"


@pytest.fixture(scope="module")
def sets(measures: MeasureSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """Three data sets of the study and a new one: the same tunes, of which makam has only some."""
    tunes, folder = measures.folder.parent / "tunes.abc", tmp_path_factory.mktemp("sets")
    few = folder / "few.abc"
    few.write_text("\n\n".join(tunes.read_text(encoding="utf-8").split("\n\n")[:12]), encoding="utf-8")
    return tuple(
        prepare_measures([source], folder / name, MEASURE, MeasureSettings(transpose=name == "irish_folk")).folder
        for name, source in (("irish_folk", tunes), ("turkish_makam", few), ("bach", tunes), ("jazz", tunes))
    )


def options(sets: tuple[Path, ...], folder: Path, **changes: object) -> Options:
    places = {name: folder / name for name in ("checkpoints", "runs", "metrics")}
    return Options(**{**places, "data": sets, "seeds": 1, "sweep_measures": 10, "train_options": TINY, **changes})


def test_the_parts_of_the_grid(sets: tuple[Path, ...], tmp_path: Path) -> None:
    runs = {part: list_runs(options(sets, tmp_path, parts=(part,))) for part in study_compare.PARTS}
    found = {
        part: {(o.data.name, o.latent, *o.attributes, o.training_measures, o.transposed) for _, _, o, _ in own}
        for part, own in runs.items()
    }

    def every(names: tuple[str, ...], numbers: tuple[str, ...], sizes: tuple[int, ...]) -> set[tuple[object, ...]]:
        return {(name, size, number, None, True) for name in names for size in sizes for number in numbers}

    expected = {
        "A": every(("irish_folk",), (FOUR,), (128, 256)),
        "B": every(("irish_folk",), (TWO, FOUR), SIZES),
        "C": every(("irish_folk", "turkish_makam", "bach"), (TWO, FOUR), SIZES),
        "small": every(("irish_folk",), (FOUR,), (4, 8, 16, 32, 64)),
        "improved": every(("irish_folk", "turkish_makam", "bach", "jazz"), (FOUR,), (32, 64, 128, 256)),
        "jazz": every(("jazz",), (TWO, FOUR), SIZES),
    }
    assert {part: found[part] for part in expected} == expected
    assert found["augmentation"] == {
        ("turkish_makam", size, FOUR, None, kept) for size in (32, 64) for kept in (True, False)
    }
    irish, makam = (len(MeasureSet.open(folder).rows("train")) for folder in sets[:2])
    shares = {("irish_folk", 32, FOUR, irish // share, True) for share in (2, 4, 8)}
    equal = {(name, 32, FOUR, makam, True) for name in ("irish_folk", "bach", "jazz")}
    whole = every(("irish_folk", "turkish_makam", "bach", "jazz"), (FOUR,), (32,))
    assert makam < irish and found["size"] == whole | shares | equal
    models = {part: {run.model for run in own} for part, own in runs.items()}
    assert models.pop("A") == {MEASURE_VAE, ADVERSARIAL_VAE}
    assert models.pop("small") == {ADVERSARIAL_VAE} and models.pop("improved") == {ATTRIBUTE_VAE}
    assert set.union(*models.values()) == {MEASURE_VAE}


def test_runs_are_narrowed_and_listed_once(sets: tuple[Path, ...], tmp_path: Path) -> None:
    narrow = {"latents": (8, 128), "attributes": (FOUR,), "models": (MEASURE_VAE,), "seeds": 2}
    runs = list_runs(options(sets[:1], tmp_path, parts=("A", "B", "C"), **narrow))
    assert [(run.options.latent, run.options.seed) for run in runs] == [(128, 0), (8, 0), (128, 1), (8, 1)]
    with pytest.raises(UserError, match="no training is left in A; give more --parts"):
        list_runs(options(sets, tmp_path, parts=("A",), latents=(8,)))
    with pytest.raises(UserError, match="two folders of the same name"):
        list_runs(options((sets[0], sets[0]), tmp_path))
    shutil.copytree(sets[0], tmp_path / "copy")
    with pytest.raises(UserError, match="two sets of the same name"):
        list_runs(options((sets[0], tmp_path / "copy"), tmp_path))


def test_options_of_a_model_override_those_of_all(sets: tuple[Path, ...], tmp_path: Path) -> None:
    given = options(sets[1:2], tmp_path, parts=("small", "augmentation"), adversarial_options="--hidden 16 --latent 5")
    runs = {(run.model, run.options.latent, run.options.transposed): run for run in list_runs(given)}
    adversarial, measure = runs[ADVERSARIAL_VAE, 8, True], runs[MEASURE_VAE, 32, False]
    assert (adversarial.options.hidden, measure.options.hidden, adversarial.options.epochs) == (16, 8, 1)
    assert adversarial.options.threads == 1 and runs.keys() >= {(MEASURE_VAE, 64, True)}, "the grid decides z"
    place = "checkpoints/explainable/turkish_makam/measure_vae_z32_4_seed0_untransposed/vae_best.pth"
    assert measure.weights() == tmp_path / place
    with pytest.raises(UserError, match="--measure-options: no closing quotation; check its quotes"):
        list_runs(replace(given, measure_options="'"))


def test_a_grid_from_end_to_end(
    sets: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training fails, the others are trained and measured; the same command then does the rest."""
    given = options(sets[2:3], tmp_path, parts=("A", "improved"), latents=(128,))
    train = study_compare.train_model

    def fail_once(model: str, *more: object) -> None:
        if model == ADVERSARIAL_VAE:
            raise MemoryError("no \x1b room")
        train(model, *more)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="1 of 3 runs failed, see above"):
        patch.setattr(study_compare, "train_model", fail_once)
        study_compare.compare(given)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 trainings, 0 of them finished"
    assert "adversarial_vae_z128_4_seed0: failed: MemoryError" in lines[2] and "\x1b" not in lines[2]
    study_compare.show_runs(given)
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in shown] == ["finished", "to train", "finished"]

    study_compare.compare(replace(given, jobs=2))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "3 trainings, 2 of them finished" and "3 runs to measure, 2 of them measured before" in lines
    table = pd.read_csv(RUNS_TABLE.path(given.metrics))
    assert sorted(table["model"]) == [ADVERSARIAL_VAE, ATTRIBUTE_VAE, MEASURE_VAE]
    assert set(table["trained_with"]) == {"hidden 8, epochs 1, batch size 16, learning rate 0.0001, epoch rows 48"}
    assert (table["training_rows_untransposed"] == len(MeasureSet.open(sets[2]).rows("train"))).all()
    # The commands that a dry run lists have the options of the runs.
    words = shown[1].split("  ")[1].split()
    run = list_runs(given)[1]
    assert words[:4] == ["python", "-m", "programs.study_train", run.model]
    assert parse_options(type(run.options), "", words[4:]) == run.options


@pytest.fixture(scope="module")
def trained(sets: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A grid of one run, which is trained and measured."""
    folder = tmp_path_factory.mktemp("trained")
    shutil.copytree(sets[2], folder / "set")
    given = options((folder / "set",), folder, parts=("B",), latents=(4,), attributes=(TWO,))
    study_compare.compare(given)
    return given


def test_only_other_weights_are_measured_again(trained: Options) -> None:
    path, runs = RUNS_TABLE.path(trained.metrics), list_runs(trained)
    frame = pd.read_csv(path)
    frame.assign(accuracy=0.123).to_csv(path, index=False)
    assert study_compare.measure_runs(runs, trained) == 1
    assert pd.read_csv(path)["accuracy"].tolist() == [0.123], "the weights are the same"
    for other in (frame.assign(accuracy=0.123, checkpoint_sha256="other"), frame.drop(columns="sweep_measures")):
        other.to_csv(path, index=False)
        assert study_compare.measure_runs(runs, trained) == 1
        assert pd.read_csv(path)["accuracy"].tolist() == frame["accuracy"].tolist()


def test_runs_with_other_options_or_measures_are_not_finished(
    trained: Options, sets: tuple[Path, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    def is_finished(train_options: str) -> bool:
        return list_runs(replace(trained, train_options=train_options))[0].is_finished()

    assert is_finished(TINY) and is_finished(TINY + " --save-minutes 1"), "this may change"
    wider = TINY.replace("8", "12", 1)
    assert not is_finished(wider) and not is_finished(TINY.replace("--epochs 1", "--epochs 2"))
    with pytest.raises(UserError, match="1 of 1 runs failed, see above"):
        study_compare.compare(replace(trained, train_options=wider))
    assert "hidden (was 8, is 12)" in capsys.readouterr().out

    shutil.copytree(sets[1], trained.data[0], dirs_exist_ok=True)
    assert not is_finished(TINY)
    with pytest.raises(UserError, match="1 of 1 runs failed, see above"):
        study_compare.compare(trained)
    assert "measures_content (was " in capsys.readouterr().out


# Tables, plots and page, from the runs of benchmarks/results.md


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    shutil.copy(ROOT / "benchmarks" / "explainable_runs.csv", RUNS_TABLE.path(folder))
    study_compare.compare(Options(only_tables=True, metrics=folder))
    return folder


def test_means_over_seeds(metrics: Path) -> None:
    """Against the tables of benchmarks/results.md."""
    setting = ["data", "model", "controls", "latent"]
    sizes = pd.read_csv(BY_SIZE_TABLE.path(metrics)).set_index(setting).sort_index()
    one = sizes.loc["irish_folk", MEASURE_VAE, 4, 32]
    accuracy = one[["accuracy", "accuracy_lowest", "accuracy_highest"]].tolist()
    assert accuracy == pytest.approx([0.830, 0.780, 0.860], abs=5e-4)
    means = ["control_interpretability", "control_leakage", "control_leakage_beside_controls", "output_independence"]
    assert one[means].tolist() == pytest.approx([0.91, 0.09, 0.27, 0.34], abs=5e-3) and one["trainings"] == 3
    adversarial = sizes.loc["irish_folk", ADVERSARIAL_VAE, 4, 32]
    assert np.isnan(adversarial["control_interpretability"]), "its controls are outside z"
    assert adversarial[means[1:]].tolist() == pytest.approx([0.60, 0.60, 0.32], abs=5e-3)

    attributes = pd.read_csv(BY_ATTRIBUTE_TABLE.path(metrics)).set_index([*setting, "attribute"]).sort_index()
    assert attributes.loc["bach", MEASURE_VAE, 4, 32]["interpretability"].min() == pytest.approx(0.02, abs=5e-3)
    assert attributes.loc["irish_folk", MEASURE_VAE, 2, 8].index.tolist() == ["note_density", "rhythmic_complexity"]
    training_sets = pd.read_csv(BY_TRAINING_SET_TABLE.path(metrics)).set_index("data")
    irish = training_sets.loc["irish_folk"].set_index("training_rows_untransposed")["accuracy"].sort_index()
    assert irish.index.tolist() == [2396, 3089, 4826, 9650, 19323]
    assert irish.tolist() == pytest.approx([0.860, 0.843, 0.848, 0.857, 0.830], abs=5e-4)


def test_tables_need_a_complete_table_of_runs(metrics: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such table; make it with .*, without --only-tables"):
        study_compare.make_tables(tmp_path)
    frame = pd.read_csv(RUNS_TABLE.path(metrics))
    frame.drop(columns="transposed").to_csv(RUNS_TABLE.path(tmp_path), index=False)
    with pytest.raises(UserError, match="has no column transposed; make it again"):
        study_compare.make_tables(tmp_path)


def parts_of_page(metrics: Path) -> list[Part]:
    folder = SimpleNamespace(
        options=SimpleNamespace(metrics=metrics),
        command=lambda program, *_: f"python {program}",
        picture=lambda name, alt, _: Picture(name, alt, str((metrics / name).stat().st_size)),
    )
    return explainable_parts(folder)


def test_the_page_shows_what_the_comparison_writes(metrics: Path, tmp_path: Path) -> None:
    assert parts_of_page(tmp_path) == [AbsentFile(RUNS_TABLE.file, "python -m programs.study_compare")]
    parts = parts_of_page(metrics)
    assert [part.source for part in parts if isinstance(part, Picture)] == list(PICTURES)
    tables = [part for part in parts if isinstance(part, ShownTable)]
    assert [table.source for table in tables] == [table.file for table in CAPTIONS.values()]
    assert len(tables[-1].lines) == len(pd.read_csv(RUNS_TABLE.path(metrics)))
    # With a single setting nothing remains to compare: earlier files go.
    frame = pd.read_csv(RUNS_TABLE.path(metrics)).query("model == 'adversarial_vae' and latent == 256")
    shutil.copytree(metrics, tmp_path, dirs_exist_ok=True)
    frame.to_csv(RUNS_TABLE.path(tmp_path), index=False)
    study_compare.make_tables(tmp_path)
    assert {part.source for part in parts_of_page(tmp_path)} == {
        "explainable_accuracy.png", "explainable_independence.png", "explainable_by_size.csv",
        "explainable_by_attribute.csv", "explainable.csv",
    }  # fmt: skip
