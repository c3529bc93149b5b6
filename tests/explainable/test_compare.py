"""The grid of trainings: which runs it has, how it trains, measures and skips them, its tables, plots and page."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.options import parse_options
from explainable.comparison import runs as comparison_runs
from explainable.comparison.grid import SIZES, list_runs
from explainable.comparison.options import FOUR, PARTS, TWO, CompareOptions
from explainable.comparison.tables import make_tables
from explainable.measures import MeasureSet
from explainable.options import MeasureSettings
from explainable.prepare import prepare_measures
from explainable.result_tables import BY_ATTRIBUTE_TABLE, BY_SIZE_TABLE, BY_TRAINING_SET_TABLE, RUNS_TABLE
from explainable.stages.stage import StudyStage
from explainable.tokens import MEASURE
from page.explainable import CAPTIONS, PICTURES, explainable_parts
from page.result_folder import AbsentFile, Part, Picture
from programs import study_compare

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


def options(sets: tuple[Path, ...], folder: Path, **changes: object) -> CompareOptions:
    places = {name: folder / name for name in ("checkpoints", "runs", "metrics")}
    short = {"seeds": 1, "sweep_measures": 10, "train_options": TINY}
    return CompareOptions(**{**places, "data": sets, **short, **changes})


@pytest.mark.parametrize("part", PARTS)
def test_the_parts_of_the_grid(sets: tuple[Path, ...], tmp_path: Path, part: str) -> None:
    irish, makam = (len(MeasureSet.open(folder).rows("train")) for folder in sets[:2])
    assert makam < irish
    folk, study = ["irish_folk"], ["irish_folk", "turkish_makam", "bach"]
    measure, adversarial, both = [MEASURE_VAE], [ADVERSARIAL_VAE], [TWO, FOUR]
    columns = {
        "A": (measure + adversarial, folk, (128, 256), [FOUR], [None], [True]),
        "B": (measure, folk, SIZES, both, [None], [True]),
        "C": (measure, study, SIZES, both, [None], [True]),
        "small": (adversarial, folk, (4, 8, 16, 32, 64), [FOUR], [None], [True]),
        "improved": ([ATTRIBUTE_VAE], [*study, "jazz"], (32, 64, 128, 256), [FOUR], [None], [True]),
        "size": (measure, [*study, "jazz"], [32], [FOUR], [None], [True]),
        "augmentation": (measure, ["turkish_makam"], (32, 64), [FOUR], [None], [True, False]),
        "jazz": (measure, ["jazz"], SIZES, both, [None], [True]),
    }
    expected = set(product(*columns[part]))
    if part == "size":
        expected |= set(product(measure, folk, [32], [FOUR], [irish // 2, irish // 4, irish // 8], [True]))
        expected |= set(product(measure, ["irish_folk", "bach", "jazz"], [32], [FOUR], [makam], [True]))
    runs = [(run.model, run.options) for run in list_runs(options(sets, tmp_path, parts=(part,)))]
    found = {(model, o.data.name, o.latent, *o.attributes, o.training_measures, o.transposed) for model, o in runs}
    assert found == expected


def test_runs_are_narrowed_and_listed_once(sets: tuple[Path, ...], tmp_path: Path) -> None:
    narrow = {"latents": (8, 128), "attributes": (FOUR,), "models": (MEASURE_VAE,), "seeds": 2}
    runs = list_runs(options(sets[:1], tmp_path, parts=("A", "B", "C"), **narrow))
    assert [(run.options.latent, run.options.seed) for run in runs] == [(128, 0), (8, 0), (128, 1), (8, 1)]
    shutil.copytree(sets[0], tmp_path / "copy")
    for data, changes, message in (
        (sets, {"parts": ("A",), "latents": (8,)}, "no training is left in A; give more --parts"),
        ((sets[0], sets[0]), {}, "two folders of the same name"),
        ((sets[0], tmp_path / "copy"), {}, "two sets of the same name"),
        (sets[:1], {"measure_options": "'"}, "--measure-options: no closing quotation; check its quotes"),
    ):
        with pytest.raises(UserError, match=message):
            list_runs(options(data, tmp_path, **changes))


def test_options_of_a_model_override_those_of_all(sets: tuple[Path, ...], tmp_path: Path) -> None:
    given = options(sets[1:2], tmp_path, parts=("small", "augmentation"), adversarial_options="--hidden 16 --latent 5")
    runs = {(run.model, run.options.latent, run.options.transposed): run for run in list_runs(given)}
    adversarial, measure = runs[ADVERSARIAL_VAE, 8, True], runs[MEASURE_VAE, 32, False]  # the grid decides z
    assert (adversarial.options.hidden, measure.options.hidden, adversarial.options.epochs) == (16, 8, 1)
    place = "checkpoints/explainable/turkish_makam/measure_vae_z32_4_seed0_untransposed/vae_best.pth"
    assert measure.weights() == tmp_path / place


def test_a_grid_from_end_to_end(
    sets: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training fails, the others are trained and measured; the same command then does the rest."""
    given = options(sets[2:3], tmp_path, parts=("A", "improved"), latents=(128,))
    train = comparison_runs.train

    def fail_once(stage: StudyStage) -> bool:
        if stage.network == ADVERSARIAL_VAE:
            raise MemoryError("no \x1b room")
        return train(stage)

    with monkeypatch.context() as patch, pytest.raises(UserError, match="1 of 3 runs failed, see above"):
        patch.setattr(comparison_runs, "train", fail_once)
        study_compare.compare(given)
    lines = capsys.readouterr().out.splitlines()
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


def test_weights_are_measured_once_and_other_options_or_data_are_refused(
    sets: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(sets[2], tmp_path / "set")
    given = options((folder,), tmp_path, parts=("B",), latents=(4,), attributes=(TWO,))
    with pytest.raises(UserError, match="1 of 1 runs failed, see above; the same command tries them again"):
        study_compare.compare(replace(given, train_options=TINY + " --max-hours 1e-9"))
    assert "failed: stopped after --max-hours 1e-09\n" in capsys.readouterr().out
    study_compare.compare(given)
    path, runs = RUNS_TABLE.path(given.metrics), list_runs(given)
    frame = pd.read_csv(path)
    for measured, other in (
        (frame.assign(accuracy=0.123), [0.123]),  # the weights are the same
        (frame.assign(accuracy=0.123, checkpoint_sha256="other"), frame["accuracy"].tolist()),
        (frame.drop(columns="sweep_measures"), frame["accuracy"].tolist()),
    ):
        measured.to_csv(path, index=False)
        assert comparison_runs.measure_runs(runs, given) == 1
        assert pd.read_csv(path)["accuracy"].tolist() == other

    def is_finished(train_options: str) -> bool:
        return list_runs(replace(given, train_options=train_options))[0].is_finished()

    assert is_finished(TINY) and is_finished(TINY + " --save-minutes 1"), "this may change"
    wider = replace(given, train_options=TINY.replace("8", "12", 1))
    assert not is_finished(wider.train_options) and not is_finished(TINY.replace("--epochs 1", "--epochs 2"))
    for refused, message in ((wider, "hidden (was 8, is 12)"), (given, "measures_content (was ")):
        with pytest.raises(UserError, match="1 of 1 runs failed, see above"):
            study_compare.compare(refused)
        assert message in capsys.readouterr().out
        shutil.copytree(sets[1], folder, dirs_exist_ok=True)


@pytest.mark.parametrize("name", ["explainable.csv", "explainable_by_size.csv"])
def test_other_tables_are_refused_before_the_work(
    sets: tuple[Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(comparison_runs, "train_runs", lambda *_: pytest.fail("trains"))
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / name).write_text("other\n1\n")
    with pytest.raises(UserError, match=rf"{name}: "):
        study_compare.compare(options(sets[2:3], tmp_path, parts=("improved",)))


# Tables, plots and page, from the runs of benchmarks/results.md


@pytest.fixture(scope="module")
def metrics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("metrics")
    shutil.copy(ROOT / "benchmarks" / "explainable_runs.csv", RUNS_TABLE.path(folder))
    study_compare.compare(CompareOptions(only_tables=True, metrics=folder))
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


def parts_of_page(metrics: Path) -> list[Part]:
    return explainable_parts(
        SimpleNamespace(
            options=SimpleNamespace(metrics=metrics),
            command=lambda program, *_: f"python {program}",
            picture=lambda name, alt, _: Picture(name, alt, str((metrics / name).stat().st_size)),
        )
    )


def test_the_page_shows_what_the_comparison_writes(metrics: Path, tmp_path: Path) -> None:
    assert parts_of_page(tmp_path) == [AbsentFile(RUNS_TABLE.file, "python -m programs.study_compare")]
    with pytest.raises(UserError, match=r"no such table; make it with .*, without --only-tables"):
        make_tables(tmp_path)
    names = [part.source for part in parts_of_page(metrics)]
    assert sorted(names) == sorted([*PICTURES, *(table.file for table in CAPTIONS.values())])
    # With a single setting nothing remains to compare: earlier files go.
    frame = pd.read_csv(RUNS_TABLE.path(metrics)).query("model == 'adversarial_vae' and latent == 256")
    shutil.copytree(metrics, tmp_path, dirs_exist_ok=True)
    frame.to_csv(RUNS_TABLE.path(tmp_path), index=False)
    make_tables(tmp_path)
    assert {part.source for part in parts_of_page(tmp_path)} == {
        "explainable_accuracy.png", "explainable_independence.png", "explainable_by_size.csv",
        "explainable_by_attribute.csv", "explainable.csv",
    }  # fmt: skip
    frame.drop(columns="transposed").to_csv(RUNS_TABLE.path(tmp_path), index=False)
    with pytest.raises(UserError, match="has no column transposed; make it again"):
        make_tables(tmp_path)
