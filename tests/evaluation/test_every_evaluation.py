"""All evaluations together: the plan of evaluate.py, and two trainings of one preset in every table and on the page."""

import os
import runpy
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest
from fake_embedders import FakeRenderer, embedder_of
from weights import save_hybrids

import eval_elbo
import eval_fad_samples
import eval_genre
import eval_mse
import eval_music
import evaluate
import report
from common.errors import UserError
from evaluation.options import DamageOptions, FadOptions, FormOptions, LatentPlotOptions
from evaluation.tables import MADE_BY
from page import assemble
from page.options import ReportOptions
from programs import damage, form, genre_likelihood, latent_plots, probes, restyle

ROOT = Path(evaluate.__file__).parent


def test_the_plan_has_every_evaluation() -> None:
    programs = [words[2 if words[1] == "-m" else 1] for words in evaluate.plan(evaluate.Options())]
    in_root = {path.name for path in ROOT.glob("eval_*.py")}
    in_programs = {path.stem for path in (ROOT / "programs").glob("*.py")}
    others = {f"programs.{name}" for name in in_programs if not name.startswith(("study_", "train_", "__"))}
    assert set(programs) == in_root | others | {"report.py"} and programs[-1] == "report.py"


def test_every_option_of_the_plan_reaches_its_program(capsys: pytest.CaptureFixture[str]) -> None:
    """Each program prints its resolved options."""
    changed = {"sources": ("cvae", "generator"), "latents": ("prior",), "seq_lens": (128, 32), "temperature": 0.5}
    sizes = {"clips": 7, "generation_seeds": 2, "latent_windows": 30, "classifier_steps": 9, "synth": "tinysoundfont"}
    for words in evaluate.plan(evaluate.Options(checkpoints=(Path("a"), Path("b")), **changed, **sizes)):
        program, *options = words[2:] if words[1] == "-m" else words[1:]
        with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as ended:
            patch.setattr(sys, "argv", [program, *options, "--dry-run"])
            runpy.run_path(str(ROOT / f"{program.removesuffix('.py').replace('.', '/')}.py"), run_name="__main__")
        assert ended.value.code == 0, words
        resolved = capsys.readouterr().out
        for value in options[1::2]:
            for item in value.split(",") if not value.startswith("--") else ():
                assert item in resolved


def test_two_trainings_of_one_preset_are_told_apart_everywhere(
    places: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    places["checkpoints"] = tuple(save_hybrids(places["store"], Path(name), seed) for seed, name in enumerate("AB"))
    classifier = {"classifier_steps": 2, "cache": Path("cache")}
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder_of(Path("cache")))
    monkeypatch.setattr("evaluation.metrics.form.MINUTE_SECONDS", 8)
    few = {"generation_seeds": 1, "floor_seeds": 2}
    frames = {
        "fad": eval_fad_samples.eval_fad_samples(FadOptions(**places, clips=4, **few)),
        "genre": eval_genre.eval_genre(eval_genre.Options(**places, clips=3, **classifier)),
        "music": eval_music.eval_music(eval_music.Options(**places, clips=3, novelty_clips=1)),
        "mse": eval_mse.eval_mse(eval_mse.Options(**places)),
        "leaking": eval_mse.eval_mse(eval_mse.Options(**places, leak_target=True)),
        "elbo": eval_elbo.eval_elbo(eval_elbo.Options(**places, importance_samples=0)),
        "elbo latents": pd.read_csv("metrics/eval_elbo_latents-T32.csv"),
        "likelihood": genre_likelihood.identify_genres(genre_likelihood.Options(**places, **classifier)),
        "probes": probes.probe_vectors(probes.Options(**places)),
        "restyling": restyle.eval_restyling(restyle.Options(**places, windows=2, **classifier)),
        "form": form.eval_form(FormOptions(**places, minutes=2, pieces=1)),
    }
    rows_of = {"music": ["feature", "genre_id"], "elbo latents": ["dimension"], "restyling": ["from_id", "to_id"]}
    rows_of |= {"likelihood": ["method", "unit"], "probes": ["probe", "vectors"], "form": ["minute", "genre_id"]}
    for name, frame in frames.items():
        assert not frame.duplicated([*MADE_BY, *rows_of.get(name, ["genre_id"])]).any(), name
        made_by = frame[MADE_BY].drop_duplicates()
        assert made_by["checkpoint_sha256"].is_unique, name
        assert [origin.partition(": ")[0] for origin in made_by["origin"]] == ["A", "B"], name
        assert frame.groupby(MADE_BY).size().nunique() == 1
    latents = latent_plots.plot_latents(LatentPlotOptions(**places, windows=30))
    assert set(latents["space"]) == {"z hybrid A", "z hybrid B", "rolls"}
    assert latents["checkpoint_sha256"].nunique() == 2

    monkeypatch.setattr(assemble, "open_renderer", lambda *_: FakeRenderer())
    page = report.report(ReportOptions(**places, real_clips=0, generated_clips=1)).read_text()
    assert "Out of date" not in page
    for folder in "AB":
        for network in ("generator (mlp), normal", "cvae (frame-gru)"):
            assert page.count(f"{folder}: {network}") > 5


M = "evaluation.metrics"
OUTPUTS = {
    "fad_results.csv": (eval_fad_samples.eval_fad_samples, f"{M}.fad.measure_fad", FadOptions),
    "fad_results.png": (eval_fad_samples.eval_fad_samples, f"{M}.fad.measure_fad", FadOptions),
    "genre-T32.csv": (eval_genre.eval_genre, f"{M}.genre_accuracy.measure_genre_accuracy", eval_genre.Options),
    "music-T32.csv": (eval_music.eval_music, f"{M}.music.measure_music", eval_music.Options),
    "eval_mse-T32.csv": (eval_mse.eval_mse, f"{M}.reconstruction.measure_reconstruction", eval_mse.Options),
    "eval_elbo-T32.csv": (eval_elbo.eval_elbo, f"{M}.elbo.measure_elbo", eval_elbo.Options),
    "eval_elbo_latents-T32.csv": (eval_elbo.eval_elbo, f"{M}.elbo.measure_elbo", eval_elbo.Options),
    "restyling-T32.csv": (restyle.eval_restyling, f"{M}.restyling.measure_restyling", restyle.Options),
    "probes-T32.csv": (probes.probe_vectors, f"{M}.probes.measure_probes", probes.Options),
    **{
        f"genre_likelihood-T32.{ending}": (
            genre_likelihood.identify_genres,
            f"{M}.genre_classifier.open_classifier",
            genre_likelihood.Options,
        )
        for ending in ("csv", "png")
    },
    "form.csv": (form.eval_form, f"{M}.form.measure_form", FormOptions),
    "fad_sanity.csv": (damage.eval_damage, f"{M}.damage.measure_damage", DamageOptions),
    **{
        name: (latent_plots.plot_latents, f"{M}.latent_plots.draw_windows", LatentPlotOptions)
        for name in ("latent-T32.csv", "latent_tsne-T32.png", "rolls_embedding-T32.png")
    },
}


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_foreign_file_is_refused_before_the_work(
    name: str, places: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, work, options = OUTPUTS[name]
    monkeypatch.setattr(work, lambda *_, **__: pytest.fail("computes"))
    monkeypatch.setattr(f"{M}.form.MINUTE_SECONDS", 6)  # songs of the store last 26 s
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder_of(tmp_path))
    given = {each.name for each in fields(options)}
    (tmp_path / "metrics").mkdir()
    (tmp_path / "metrics" / name).write_text("by hand")
    with pytest.raises(UserError, match=rf"{name}: exists, and no program of ours wrote it"):
        run(options(**{key: value for key, value in places.items() if key in given}))


@pytest.mark.parametrize(
    "changed", ["real/midi/chords_000.mid", "training/wav/melody_001.wav", "*_seed1/wav/bass_000.wav"]
)
def test_a_foreign_clip_is_refused_before_the_work(
    changed: str, places: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder_of(tmp_path))
    few = {"clips": 4, "generation_seeds": 2, "floor_seeds": 2, "save_clips": tmp_path / "clips"}
    for _ in range(2):  # clips of our own are replaced
        eval_fad_samples.eval_fad_samples(FadOptions(**places, **few))
    (clip,) = (tmp_path / "clips" / "T32").glob(changed)
    clip.write_bytes(b"by hand")
    (clip.parent / "notes.txt").write_text("of no matter")
    monkeypatch.setattr("evaluation.metrics.fad.measure_fad", lambda *_: pytest.fail("computes"))
    with pytest.raises(UserError, match=f"{clip.name}: was changed since it was written"):
        eval_fad_samples.eval_fad_samples(FadOptions(**places, **few))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_evaluations_end_with_the_program_that_runs_them(
    number: signal.Signals, places: dict[str, object], tmp_path: Path
) -> None:
    """The pipe ends only when evaluate.py and its programs have ended."""
    given = {name: str(places[name]) for name in ("store", "metrics")} | {"checkpoints": str(places["checkpoints"][0])}
    words = [word for name, value in given.items() for word in (f"--{name}", value)]
    words += ["--embedders", "MTT_musicnn", "--synth", "tinysoundfont", "--cache", str(tmp_path / "cache")]
    command = [sys.executable, evaluate.__file__, *words]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    run = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, **pipes)
    for line in run.stdout:
        if "clips" in line:  # the first program computes
            break
    (os.killpg if number == signal.SIGINT else os.kill)(run.pid, number)  # as a terminal does: all of the group
    printed, _ = run.communicate(timeout=60)
    assert run.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert printed.count("interrupted") == (number == signal.SIGINT) and "Traceback" not in printed
    assert not list(tmp_path.rglob("*.partial"))
