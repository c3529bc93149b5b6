"""The grid of trainings: what it lists, how it runs, skips, resumes and fails, and the tables and page at its end."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from common.errors import UserError
from common.options import parse_options
from explainable.comparison.grid import (
    FOUR,
    SIZES,
    TWO,
    Run,
    is_finished,
    list_runs,
    train_words,
    trouble_with_measures,
    weights_of,
)
from explainable.measures import MeasureSet
from explainable.tokens import MEASURE
from models.checkpoint import read_checkpoint
from programs import study_compare as compare
from programs import study_evaluate as evaluate
from programs.study_compare import Options, Training, show_runs, train_runs
from programs.study_prepare import MeasureSettings, prepare_measures
from programs.study_train import MODELS

ROOT = Path(__file__).resolve().parents[2]
TINY = "--hidden 8 --epochs 1 --epoch-rows 48 --batch-size 16"


@pytest.fixture(scope="module")
def sets(measures: MeasureSet, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ...]:
    """The same tunes as three data sets of the study and one that it did not have."""
    tunes, folder = measures.folder.parent / "tunes.abc", tmp_path_factory.mktemp("sets")
    names = ("irish_folk", "turkish_makam", "bach", "jazz")
    return tuple(
        prepare_measures([tunes], folder / name, MEASURE, MeasureSettings(transpose=name == "irish_folk")).folder
        for name in names
    )


def options(sets: tuple[Path, ...], folder: Path, **changes: object) -> Options:
    places = {name: folder / name for name in ("checkpoints", "runs", "metrics")}
    return Options(**{**places, "data": sets, "seeds": 1, "sweep_measures": 10, "train_options": TINY, **changes})


# Which trainings


def test_the_parts_of_the_grid(sets: tuple[Path, ...], tmp_path: Path) -> None:
    irish, makam, _, jazz = sets

    def runs(*parts: str, **changes: object) -> list[Run]:
        return list_runs(options(sets, tmp_path, parts=parts, **changes))

    assert {(run.model, run.latent, run.attributes) for run in runs("A")} == {
        (model, size, FOUR) for model in ("measure_vae", "adversarial_vae") for size in (128, 256)
    }
    assert [run.data for run in runs("B")] == [irish] * 14
    assert {(run.data, run.latent, run.attributes) for run in runs("C")} == {
        (data, size, number) for data in sets[:3] for size in SIZES for number in (TWO, FOUR)
    }
    assert {run.data for run in runs("jazz")} == {jazz} and len(runs("jazz")) == 14
    assert {run.latent for run in runs("small")} == set(SIZES) - {128, 256}
    assert {(run.data, run.transposed) for run in runs("augmentation")} == {(makam, True), (makam, False)}
    in_training = len(MeasureSet.open(irish).rows("train"))
    assert [run.training_measures for run in runs("size")] == [None] * 4 + [in_training // share for share in (2, 4, 8)]


def test_sets_of_unequal_size_are_trained_on_as_many_measures(measures: MeasureSet, tmp_path: Path) -> None:
    text = (measures.folder.parent / "tunes.abc").read_text(encoding="utf-8").split("\n\n")
    (tmp_path / "few.abc").write_text("\n\n".join(text[:12]), encoding="utf-8")
    few = prepare_measures([tmp_path / "few.abc"], tmp_path / "few", MEASURE)
    runs = list_runs(options((measures.folder, few.folder), tmp_path, parts=("size",)))
    fewest = len(few.rows("train"))
    assert [run.data for run in runs if run.training_measures == fewest] == [measures.folder]


def test_parts_are_narrowed_and_no_run_is_listed_twice(sets: tuple[Path, ...], tmp_path: Path) -> None:
    narrow = {"latents": (8, 128), "attributes": (FOUR,), "models": ("measure_vae",), "seeds": 2}
    runs = list_runs(options(sets[:1], tmp_path, parts=("A", "B", "C"), **narrow))
    assert [(run.latent, run.seed) for run in runs] == [(128, 0), (8, 0), (128, 1), (8, 1)]
    with pytest.raises(UserError, match="no training is left in A; give more --parts"):
        list_runs(options(sets, tmp_path, parts=("A",), latents=(8,)))
    with pytest.raises(UserError, match="two folders of the same name"):
        list_runs(options((sets[0], sets[0]), tmp_path))
    shutil.copytree(sets[0], tmp_path / "copy")
    with pytest.raises(UserError, match="two sets of the same name"):
        list_runs(options((sets[0], tmp_path / "copy"), tmp_path))
    with pytest.raises(UserError, match="no data set of measures there; make one"):
        list_runs(options((tmp_path,), tmp_path))


def test_trainings_are_told_their_options(sets: tuple[Path, ...], tmp_path: Path) -> None:
    given = options(sets, tmp_path, adversarial_options="--hidden 16 --latent 5")
    run = Run("adversarial_vae", sets[0], 8, TWO, training_measures=20, transposed=False, seed=3)
    trained = parse_options(MODELS[run.model][0], "", train_words(run, given)[1:])
    # The later of two wins, and what the grid decides is the latest.
    assert (trained.hidden, trained.epochs, trained.latent, trained.seed) == (16, 1, 8, 3)
    assert (trained.training_measures, trained.transposed, trained.threads) == (20, False, 1)
    place = weights_of(run, given).relative_to(tmp_path)
    assert str(place) == (
        "checkpoints/explainable/irish_folk/adversarial_vae_z8_2_seed3_measures20_untransposed/vae_best.pth"
    )
    with pytest.raises(UserError, match="--measure-options: no closing quotation; mend its quotes"):
        train_words(dataclasses.replace(run, model="measure_vae"), options(sets, tmp_path, measure_options="'"))


def test_each_model_has_options_of_its_own() -> None:
    names = {field.name for field in dataclasses.fields(Options)}
    assert {f"{model.removesuffix('_vae')}_options" for model in MODELS} <= names


# Running


def program(code: str) -> Training:
    return Training([sys.executable, "-c", code])


def a_run(seed: int) -> Run:
    return Run("measure_vae", Path("data"), 4, FOUR, seed=seed)


def test_a_training_that_fails_is_told_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    codes = {0: "", 1: "import sys; print('bar\\rerror: no \\x1b room', file=sys.stderr); sys.exit(2)", 2: ""}
    failed = train_runs([a_run(seed) for seed in codes], 1, lambda run: program(codes[run.seed]), lambda run: run.seed)
    assert list(failed) == [a_run(1)] and failed[a_run(1)].startswith("error: no ") and "\x1b" not in failed[a_run(1)]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["[1/3] 0", "[2/3] 1", "[3/3] 2"]
    assert "failed: error: no" in lines[1] and "trained in" in lines[2]
    assert train_runs([a_run(0)], 1, lambda run: program("raise SystemExit(9)")) == {a_run(0): "exit code 9"}


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("import sys; sys.stderr.write('no room\\r'); sys.exit(1)", "no room"),
        ("import sys; sys.stderr.write('no room\\n\\r  \\r\\n'); sys.exit(1)", "no room"),
        ("import sys; sys.stderr.write('\\r \\r'); sys.exit(1)", "exit code 1"),
        ("import os, sys; sys.stderr.write('10%|#  |'); sys.stderr.flush(); os.kill(os.getpid(), 9)", compare._DIED),
        (
            "import os, sys; sys.stderr.write('10%|#  |'); sys.stderr.flush(); os.kill(os.getpid(), 15)",
            "killed by signal 15",
        ),
    ],
)
def test_a_training_that_fails_is_never_told_as_trained(code: str, trouble: str) -> None:
    assert train_runs([a_run(0)], 1, lambda _: program(code)) == {a_run(0): trouble}


def test_so_many_run_at_once(tmp_path: Path) -> None:
    """Each waits for the other: alone, neither would end."""
    code = (
        "import pathlib, sys, time\n"
        "own, other = map(pathlib.Path, {!r})\n"
        "own.touch()\n"
        "for _ in range(600):\n"
        "    if other.exists(): sys.exit()\n"
        "    time.sleep(0.1)\n"
        "sys.exit(1)\n"
    )
    names = [str(tmp_path / name) for name in "ab"]
    starts = {0: program_of(code, names), 1: program_of(code, names[::-1])}
    assert train_runs([a_run(0), a_run(1)], 2, lambda run: program(starts[run.seed])) == {}


def program_of(code: str, names: list[str]) -> str:
    return code.format(names)


def test_trainings_end_with_the_program(tmp_path: Path) -> None:
    """SIGTERM is passed on, and waited for."""
    child = "import signal, sys, time, pathlib\n" + (
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), (folder / 'saved').touch(), sys.exit(143)))\n"
        "(folder / 'began').touch()\n"
        "time.sleep(60)\n"
    )
    parent = (
        "import sys\nfrom pathlib import Path\nfrom common.errors import run_command\n"
        "from programs.study_compare import Training, train_runs\nfrom explainable.comparison.grid import Run\n"
        "run = Run('measure_vae', Path('data'), 4, '4')\n"
        f"run_command(lambda: train_runs([run], 1, lambda _: Training([sys.executable, '-c', {child!r}])))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", parent], cwd=ROOT)
    while not (tmp_path / "began").exists():
        assert process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGTERM)
    assert process.wait(60) == 128 + signal.SIGTERM and (tmp_path / "saved").exists()


# From trainings to tables


def test_a_grid_from_end_to_end(sets: tuple[Path, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = options(sets[:1], tmp_path, parts=("A",), latents=(128,), jobs=2)
    verdicts = compare.compare(given)
    assert "not tested" in set(verdicts["verdict"])
    told = capsys.readouterr().out
    assert "2 trainings, 0 of them finished" in told and "2 runs to measure, 0 of them measured before" in told
    table = pd.read_csv(tmp_path / "metrics" / "explainable.csv")
    assert sorted(table["model"]) == ["adversarial_vae", "measure_vae"]
    assert (table["hidden"] == 8).all() and (table["training_seed"] == 0).all()
    assert set(table["trained_with"]) == {"hidden 8, epochs 1, batch size 16, learning rate 0.0001, epoch rows 48"}
    irish = MeasureSet.open(sets[0])
    assert (table["training_rows"] == len(irish.split("train"))).all() and table["transposed"].all()
    assert (table["training_rows_untransposed"] == len(irish.rows("train"))).all()
    files = {path.name for path in (tmp_path / "metrics").iterdir()}
    assert {"explainable_verdicts.csv", "explainable_by_size.csv", "explainable_accuracy.png"} <= files
    assert "explainable_training_set.png" not in files
    assert (tmp_path / "metrics" / "explainable_accuracy.png").read_bytes().startswith(b"\x89PNG")

    assert compare.measure_runs(list_runs(given), given) == 0
    assert "2 runs to measure, 2 of them measured before" in capsys.readouterr().out
    show_runs(given)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("finished  python -m programs.study_train ") for line in lines)


@pytest.fixture(scope="module")
def trained(sets: tuple[Path, ...], tmp_path_factory: pytest.TempPathFactory) -> Options:
    """A grid of one run, which is trained."""
    narrow = {"parts": ("B",), "latents": (4,), "attributes": (TWO,)}
    given = options(sets[1:2], tmp_path_factory.mktemp("trained"), **narrow)
    assert not is_finished(only_run(given), given)
    assert train_runs(list_runs(given), 1, starter(given)) == {}
    return given


def only_run(given: Options) -> Run:
    (run,) = list_runs(given)
    return run


def starter(given: Options) -> Callable[[Run], Training]:
    return lambda run: Training(compare.train_command(run, given))


def test_runs_with_other_options_are_not_taken_for_these(trained: Options, capsys: pytest.CaptureFixture[str]) -> None:
    run = only_run(trained)
    assert is_finished(run, trained)
    # What is free to change does not matter.
    assert is_finished(run, dataclasses.replace(trained, train_options=TINY + " --save-minutes 1"))
    wider = dataclasses.replace(trained, train_options=TINY.replace("8", "12", 1))
    assert not is_finished(run, wider)
    with pytest.raises(UserError, match="1 of 1 runs failed, as told above; the same command tries them again"):
        compare.compare(wider)
    told = capsys.readouterr().out
    assert "failed: error: " in told and "hidden (was 8, is 12)" in told


def test_runs_on_a_set_that_was_made_again_are_told(
    measures: MeasureSet, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tunes, data = measures.folder.parent / "tunes.abc", tmp_path / "set"
    prepare_measures([tunes], data, MEASURE, MeasureSettings(transpose=False))
    narrow = {"parts": ("B",), "attributes": (TWO,)}
    old = options((data,), tmp_path, latents=(4,), **narrow)
    assert train_runs(list_runs(old), 1, starter(old)) == {}
    assert is_finished(only_run(old), old) and not trouble_with_measures(only_run(old), old)

    shutil.rmtree(data)
    prepare_measures([tunes], data, MEASURE, MeasureSettings(transpose=True))
    run, place = only_run(old), "explainable/set/measure_vae_z4_2_seed0"
    assert not is_finished(run, old)
    told = f"{tmp_path}/checkpoints/{place}: trained on other measures than {data} now holds; "
    remedy = f"name other folders with --checkpoints and --runs, or delete this one and {tmp_path}/runs/{place}"
    show_runs(old)
    assert capsys.readouterr().out.endswith(f" s\n{told}{remedy}\n")
    with pytest.raises(UserError, match=r"^1 of 1 runs are of other measures; the lines above tell the remedy$"):
        compare.compare(old)

    both = dataclasses.replace(old, latents=(4, 8))
    capsys.readouterr()
    with pytest.raises(UserError, match=r"^1 of 2 runs are of other measures; the lines above tell the remedy$"):
        compare.compare(both)
    assert f"\n{told}{remedy}\n" in capsys.readouterr().out
    assert pd.read_csv(tmp_path / "metrics" / "explainable.csv")["latent"].tolist() == [8]

    anew = dataclasses.replace(old, train_options=TINY + " --restart")
    assert not trouble_with_measures(run, anew)
    for name in ("checkpoints", "runs"):
        shutil.rmtree(tmp_path / name / place)
    compare.compare(both)
    assert is_finished(run, old)


def test_a_run_goes_on_where_it_ended(trained: Options, tmp_path: Path) -> None:
    for name in ("checkpoints", "runs"):
        shutil.copytree(getattr(trained, name), tmp_path / name)
    longer = TINY.replace("--epochs 1", "--epochs 2") + " --allow-changes"
    places = {name: tmp_path / name for name in ("checkpoints", "runs")}
    given = dataclasses.replace(trained, train_options=longer, **places)
    run = only_run(given)
    assert not is_finished(run, given)
    assert train_runs([run], 1, starter(given)) == {} and is_finished(run, given)
    assert read_checkpoint(weights_of(run, given, "last"))["facts"]["epoch"] == 2
    log = next((tmp_path / "runs").glob("explainable/*/*/log.txt"))
    assert "resumed at train, epoch 2" in log.read_text(encoding="utf-8")


def test_other_weights_are_measured_again(trained: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = dataclasses.replace(trained, metrics=tmp_path)
    table = tmp_path / evaluate.TABLE.file
    assert compare.measure_runs(list_runs(given), given) == 0
    frame = pd.read_csv(table)
    frame.assign(accuracy=0.123).to_csv(table, index=False)
    assert compare.measure_runs(list_runs(given), given) == 0
    assert pd.read_csv(table)["accuracy"].tolist() == [0.123], "the weights are the same"
    assert "1 runs to measure, 1 of them measured before" in capsys.readouterr().out
    frame.assign(accuracy=0.123, checkpoint_sha256="other").to_csv(table, index=False)
    assert compare.measure_runs(list_runs(given), given) == 0
    assert pd.read_csv(table)["accuracy"].tolist() == frame["accuracy"].tolist()


def test_what_cannot_be_measured_is_told(
    trained: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise UserError("no measure")

    monkeypatch.setattr(evaluate, "measure_run", refuse)
    assert compare.measure_runs(list_runs(trained), dataclasses.replace(trained, metrics=tmp_path)) == 1
    assert "measure_vae_z4_2_seed0: failed: no measure" in capsys.readouterr().out


def test_tables_alone_need_a_table(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such table; make it with .*, without --only-tables"):
        compare.compare(Options(only_tables=True, metrics=tmp_path))
