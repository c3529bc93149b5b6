"""Every option of every program has an effect: another value gives other weights, losses, clips, tables or files."""

import importlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from inspect import getsource
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from midi_files import write
from option_runs import Program, W, fakes, make_world, run

from common.options import CheckedOptions
from explainable.comparison.options import CompareOptions
from explainable.measures import MeasureSet
from explainable.options import TRAININGS, PrepareOptions
from models import LARGE, PAPER
from models.names import AUTOREGRESSIVE
from playground.options import Options as PageOptions
from playground.studio import Studio
from programs import study_compare, study_prepare
from programs.study_train import train_model

ROOT = Path(study_prepare.__file__).parents[1]
ABSENT = "mps" if torch.cuda.is_available() else "cuda"
DERIVED = object()  # another value by the type and range of the option
OTHER, REFUSED, SAME, UNTESTED = "another result", "one of both runs ends in an error", "equal results", "no run"


class Rule(NamedTuple):
    """Another value of an option, the other options of both runs with which it counts, and what has to come of it."""

    value: Any = DERIVED
    context: dict[str, Any] = {}
    outcome: str = OTHER


def to(value: Any = DERIVED, outcome: str = OTHER, **context: Any) -> Rule:
    return Rule(value, context, outcome)


refused, same, untested = (partial(to, outcome=outcome) for outcome in (REFUSED, SAME, UNTESTED))
STORE, OTHER_STORE = W / "store/store", W / "other/store"
MEASURES, OTHER_MEASURES = W / "sets/measures", W / "sets/others/measures"
A, B, STRANGE, NOTES, SOUNDFONT = (W / name for name in ("A", "B", "strange", "large", "other.sf2"))
VAE, OTHER_VAE = (
    W / f"study{suffix}/explainable/measures/measure_vae_z5_2_seed{seed}/vae_best.pth"
    for seed, suffix in enumerate(("", "_2"))
)
SONGS, TUNES = (W / "song a.mid", W / "song b.mid"), W / "tunes/tunes.abc"
INFILL = {"infill": SONGS[0], "checkpoints": NOTES}
NOTE_CVAE = {"architecture": LARGE, "hidden": 16, "latent": 2, "event_size": None, "depth": 1}
NOTE_GAN = {"architecture": LARGE, "hidden": 16, "genre_size": None, "checkpoints": Path("large")}
NOTE_HYBRID = NOTE_GAN | {"reconstruction": "nll"}

# Options of these names in all programs, unless a program has another rule.
COMMON = {
    # training
    "threads": to(2), "warm_up": to(3), "clip_norm": to(0.01), "critic_learning_rate": to(0.1),
    "compile": untested(),  # equal results after minutes: tests/training/test_compiling.py
    "gan_betas": to((0.1, 0.9)), "free_nats": to(1e4), "init_from": to(A),
    "save_minutes": same(1e-9),  # only the state is saved more often
    "max_hours": to(1e-9),
    "restart": refused(earlier={"clip_norm": 9.0}), "allow_changes": refused(earlier={"clip_norm": 9.0}),
    "allow_other_songs": refused(checkpoints=Path("strange")), "allow_other_cvae": refused(init_from=W / "apart"),
    # music, weights and clips
    "device": refused(ABSENT), "store": to(OTHER_STORE), "split": to("val"), "seq_lens": to((32, 64)),
    "checkpoint": to(B / "hybrid_cvae_best_T32.pth"), "feedback": to("sampled"), "min_note_frames": to(4),
    "ast_dir": to(W), "soundfont": to(SOUNDFONT), "min_notes": to(4), "empty": to("silence", min_notes=4),
    "workers": same(2),  # speed alone
    # the study
    "attributes": to(("note_density", "note_range")), "training_measures": to(12), "validation_rows": to(9),
    "teacher_forcing": to(0.0, teacher_forcing=1.0), "sampling_k": to(1e-3), "weights": to(OTHER_VAE),
    "model": to("adversarial_vae", weights=None, checkpoints=W / "study"),
}  # fmt: skip


def gan(**large: Any) -> dict[str, Rule]:
    return {
        "architecture": refused(PAPER, **large), "critic_takes_z": to(**large), "noise": to(2, **large),
        "outline": to(16, **large),
    }  # fmt: skip


def optimizers(**large: Any) -> dict[str, Rule]:
    muon = to(optimizer="muon", **large)
    return {"optimizer": to("muon", **large), "matrix_learning_rate": muon, "dropout": to(0.5, **large)}


def evaluation(**playing: Any) -> dict[str, Rule]:
    """Rules for evaluations of weights; with `playing` the CVAE plays."""
    notes = {"checkpoints": (NOTES,), **playing}
    return {
        "checkpoints": to((B,)), "allow_other_songs": refused(checkpoints=(STRANGE,)),
        "feedback": to("sampled", **playing), "temperature": to(0.1, **notes), "nucleus": to(0.1, **notes),
        "batch_size": same(5),  # memory alone
    }  # fmt: skip


def prepare_measures(options: PrepareOptions) -> bytes:
    study_prepare.prepare(options)
    return MeasureSet.open(options.out or Path("measures/pop")).split("train").tokens.tobytes()


def compare(options: CompareOptions) -> None:
    study_compare.show_runs(options)
    study_compare.compare(options)


def play(options: PageOptions) -> bytes:
    """What the page of app.py makes at the first click and the first slider, after reading a file."""
    studio, folder = Studio(options), Path("played")
    studio.read(SONGS[0])
    made = [*studio.music(folder), *studio.melody(folder, 0, 1, {})]
    return b"".join(each.sound.read_bytes() for each in made)


SHORT = {"device": "cpu", "threads": 1, "epochs": 1, "batch_size": 8}
ROLLS = SHORT | {"store": STORE, "epoch_windows": 16, "hidden": 4, "genre_size": 2}
STUDY = SHORT | {"data": MEASURES, "hidden": 8, "latent": 6, "epoch_rows": 16, "validation_rows": 16}
TINY = "--hidden 8 --epochs 1 --epoch-rows 16 --batch-size 8 --validation-rows 16"
GRID = {"parts": ("B",), "latents": (32,), "attributes": ("4",), "models": ("measure_vae",), "seeds": 1}
WEIGHTS = {"store": STORE, "device": "cpu", "seq_lens": (32,), "checkpoints": (A,)}
SOUND = {"embedders": ("MTT_musicnn",), "clips": 4, "workers": 1}
CLIPS = evaluation(sources=("cvae",), latents=("normal",)) | {
    "group_onsets": to(False, checkpoints=(NOTES,)), "exact": to(latents=("normal",)),
    "genre_draws": to(8, checkpoints=(NOTES,), latents=("prior",)),
}  # fmt: skip
PROGRAMS = {
    "train_cvae": Program(
        "train_cvae:train_cvae", ROLLS | {"checkpoints": Path("new"), "latent": 4, "event_size": 4},
        optimizers(**NOTE_CVAE) | {
            "architecture": to(LARGE, hidden=16, event_size=None), "depth": to(2, **NOTE_CVAE),
            "prior": to(AUTOREGRESSIVE),
        },
    ),
    "train_cgan": Program("train_cgan:train_cgan", ROLLS | {"critic_steps": 1}, gan(**NOTE_GAN)),
    "train_hybrid": Program(
        "train_hybrid:train_hybrid", ROLLS | {"seq_lens": (32,), "epochs": (1,), "critic_steps": 1},
        gan(**NOTE_HYBRID) | optimizers(**NOTE_HYBRID) | {
            "prior": to(AUTOREGRESSIVE), "epochs": to((2,)), "seq_lens": to((64,)),
        },
    ),
    "train_prior": Program(
        "programs.train_prior:train_prior",
        SHORT | {"store": STORE, "epoch_windows": 16, "init_from": NOTES, "seq_len": 32, "piece_seconds": (2, 4)},
        {
            "init_from": refused(A), "seq_len": to(64), "piece_seconds": to((3,)), "schedule": to("constant", epochs=2),
        },
    ),
    **{
        name: Program(partial(train_model, name), STUDY, {"data": to(OTHER_MEASURES)}, options=options)
        for name, options in TRAININGS.items()
    },
    "study_prepare": Program(
        prepare_measures, {"input": W / "odd", "out": Path("out")},
        {
            "name": to("pop"), "input": to(W / "tunes"), "out": to(None, name="pop"), "lowest": to(61),
            "highest": to(70), "metres": to(("2/2",)), "off_grid": to("measure"),
        },
    ),
    "study_evaluate": Program(
        "programs.study_evaluate:evaluate_models",
        {"data": MEASURES, "checkpoints": W / "study", "runs": W / "study_runs", "sweep_measures": 10},
        {"data": refused(OTHER_MEASURES), "runs": to(Path("none"))},
    ),
    "study_compare": Program(
        compare, GRID | {"data": (MEASURES,), "train_options": TINY},
        {
            "parts": to(("B", "size")), "data": to((OTHER_MEASURES,)), "latents": to((64,)), "attributes": to(("2",)),
            "models": to(("adversarial_vae",), parts=("B", "small")), "train_options": to(f"{TINY} --beta 0.5"),
            "measure_options": to("--beta 0.5"),
            "adversarial_options": to("--kl-weight 0.5", parts=("small",), models=("adversarial_vae",)),
            "attribute_options": to("--beta 0.5", parts=("improved",), models=("attribute_vae",)),
        },
        prints=True,
    ),
    "study_generate": Program(
        "programs.study_generate:generate", {"weights": VAE, "count": 2},
        {
            "checkpoints": to(W / "study_2", weights=None, checkpoints=W / "study"),
            "changes": to(("note_density=0.6",)), "correlation": to(0.1, measures=3), "source": to(TUNES, count=8),
            "tune": to(2, source=TUNES, count=8), "guess_melody": refused(source=W / "odd/parts.mid", count=8),
            "synth": to(wav=True), "soundfont": to(SOUNDFONT, wav=True),
        },
    ),
    "study_surface_maps": Program(
        "programs.study_surface_maps:draw_maps", {"weights": VAE, "points": 3},
        {
            "checkpoints": to(W / "study_2", weights=None, checkpoints=W / "study"), "dimensions": to((0, 3)),
            "data": to(MEASURES), "measure": to(1, data=MEASURES),
        },
    ),
    "study_sweeps": Program(
        "programs.study_sweeps:make_sweeps", {"data": (MEASURES,), "checkpoints": W / "study", "measures": 2},
        {"data": refused((OTHER_MEASURES,)), "weights": to((OTHER_VAE,))},
    ),
    "generate": Program(
        "generate:generate", {"checkpoints": A, "seq_len": 32, "genre": "melody", "count": 2, "device": "cpu"},
        {
            "genre": to("bass"), "temperature": to(0.1, checkpoints=NOTES), "nucleus": to(0.1, checkpoints=NOTES),
            "group_onsets": to(False, checkpoints=NOTES, source="generator"), "genre_draws": to(8, checkpoints=NOTES),
            "correlation": to(0.1, windows=3), "reconstruct": to(SONGS[0]), "interpolate": to(SONGS),
            "continue_file": to(SONGS[0], checkpoints=NOTES), "infill": to(SONGS[1], **INFILL, span=(1, 3)),
            "span": to((2, 4), **INFILL, span=(1, 3)), "draws": to(30, **INFILL, span=(1, 3)),
            "vary": to(SONGS[0], checkpoints=NOTES), "amount": to(0.8, checkpoints=NOTES, vary=SONGS[0]),
            "steps": to(3, interpolate=SONGS),
            "preset": refused(PAPER, checkpoints=None), "checkpoints": to(B), "batch_size": same(1),
            "cvae": to(B / "hybrid_cvae_best_T32.pth", reconstruct=SONGS[0]), "exact": to(latents="normal"),
            "device": refused(ABSENT, exact=False), "synth": to(wav=True), "soundfont": to(SOUNDFONT, wav=True),
        },
    ),
    "score": Program(
        "score:score", {"files": (SONGS[0],), "checkpoints": NOTES, "seq_len": 32, "device": "cpu"},
        {
            "files": to(SONGS), "notes": to(2), "other": to(SONGS[1]), "batch_size": same(2), "checkpoints": refused(B),
            "checkpoint": to(NOTES / "hybrid_cvae_best_T64.pth"),
        },
        prints=True,
    ),
    "eval_fad_samples": Program(
        "eval_fad_samples:eval_fad_samples", WEIGHTS | SOUND | {"generation_seeds": 1, "floor_seeds": 2},
        CLIPS | {"save_clips": to(Path("saved"))},
    ),
    "eval_genre": Program(
        "eval_genre:eval_genre", WEIGHTS | {"clips": 4, "classifier_steps": 6}, CLIPS | {"split": refused("val")}
    ),
    "eval_music": Program("eval_music:eval_music", WEIGHTS | {"clips": 3, "novelty_clips": 1}, CLIPS),
    "eval_mse": Program("eval_mse:eval_mse", WEIGHTS, evaluation() | {"seed": to(feedback="sampled")}),
    "eval_elbo": Program("eval_elbo:eval_elbo", WEIGHTS | {"importance_samples": 2}, evaluation()),
    "form": Program(
        "programs.form:eval_form",
        WEIGHTS | {"embedders": ("MTT_musicnn",), "workers": 1, "minutes": 2, "pieces": 2},
        CLIPS | {"split": to("val"), "seq_lens": to((32, 64)), "latents": to(("normal",))},
    ),
    "restyle": Program(
        "programs.restyle:eval_restyling", WEIGHTS | {"windows": 2, "classifier_steps": 6},
        evaluation() | {"split": refused("val")},
    ),
    "genre_likelihood": Program(
        "programs.genre_likelihood:identify_genres", WEIGHTS | {"song_windows": 2, "classifier_steps": 6},
        {"split": refused("val"), "allow_other_songs": refused(checkpoints=(STRANGE,)), "checkpoints": to((B,)),
         "batch_size": untested()},  # its pictures have the rounding of other batches
    ),
    "probes": Program(
        "programs.probes:probe_vectors", WEIGHTS | {"song_windows": 2, "artist_songs": 1},
        {"allow_other_songs": refused(checkpoints=(STRANGE,)), "checkpoints": to((B,)), "batch_size": same(2),
         "artist_songs": to(4), "artists_of": to("chords")},
    ),
    "damage": Program(
        "programs.damage:eval_damage", SOUND | {"store": STORE, "device": "cpu", "seq_lens": (32,)},
        evaluation() | {"metrics": to(Path("tables"))},  # metrics_2 holds a table of the world
    ),
    "latent_plots": Program(
        "programs.latent_plots:plot_latents", {"store": STORE, "device": "cpu", "windows": 30},
        {
            "windows": to(36), "balanced": to(windows=31), "split": to("val", windows=36),
            "allow_other_songs": refused(checkpoints=(Path("strange"),)),
            "batch_size": untested(),  # t-SNE enlarges the rounding of other batches
        },
    ),
    "report": Program(
        "report:report", WEIGHTS | {"real_clips": 1, "generated_clips": 1, "piece_minutes": 0.1, "workers": 1},
        CLIPS | {"runs": to(W / "runs")},
    ),
    "app": Program(
        play, {"checkpoints": NOTES, "study_weights": VAE},
        {
            "port": untested(),  # tests/programs/test_app.py
            "checkpoints": refused(B), "study_weights": to(OTHER_VAE), "minutes": refused(0.01),
        },
    ),
    "evaluate": Program("evaluate:evaluate", prints=True),
    "export": Program("export:export", rules={"license": to("mit")}),
    "prepare_data": Program(
        "prepare_data:prepare_data", {"midi_dir": W / "corpus/midi", "labels": W / "labels.csv", "workers": 1},
        {
            "midi_dir": refused(W / "store"), "labels": to(W / "few.csv"), "genres": to(("low", "high")),
            "genre_column": to("composer"), "min_confidence": to(0.5), "max_minutes": refused(0.05), "store": to(),
            "builtin": refused(labels=None), "all": to(labels=None, builtin=True), "rebuild": to(earlier={}),
            "shard": to("1/2"), "merge": refused(1),
        },
        prints=True,
    ),
    "label_data": Program(
        "label_data:label_data",
        {"midi_dir": W / "corpus/midi", "genre_map": W / "map.toml", "metadata": W / "metadata.csv"},
        {
            "midi_dir": refused(W / "store/midi"), "files": to(W / "files.csv"), "msd_h5": to((W / "msd",)),
            "match_scores": to(W / "scores.json", annotations=(W / "genres.cls",)),
            "annotations": to((W / "genres.cls",), match_scores=W / "scores.json"),
            "unique_tracks": to(W / "unique.txt", annotations=(W / "genres.cls",)),
            "midi_genre_map": to(W / "md5.json"), "tables": to((W / "gigamidi.csv",)),
            "metadata": to(None, folders=True), "genre_map": to(Path("dgm")),
            "order": to(("folder",), folders=True), "min_share": to(0.9, folders=True), "llm": to("model"),
            "llm_cache": to(llm="model"), "check": to(llm="model", midi_genre_map=W / "md5.json"),
            "batch_songs": to(1, llm="model"), "cache": to(msd_h5=(W / "msd",)),
        },
    ),
    "density": Program(
        "benchmarks.density.__main__:run",
        SHORT | {"frames": W, "batch_size": 4, "hidden": 4, "depth": 1, "block": 16, "before": 8},
        optimizers(hidden=16) | {"frames": refused(Path("none")), "hidden": to(16)},
    ),
}  # fmt: skip
# They time, reproduce, predict or compare programs, for minutes and hours.
LEFT_OUT = {
    f"benchmarks.{name}"
    for name in ("against", "compare_runs", "device_memory", "gpu", "label_reproduction", "open_questions", "scaling")
}
CASES = [(name, known.name) for name, program in PROGRAMS.items() for known in fields(program.options)]


def another(value: Any, known: Any) -> Any:
    """Another value of an option with the metadata `known`."""
    first, choices = value[0] if isinstance(value, tuple) and value else value, known["choices"]
    if first is None or first == ():
        return pytest.fail("give this option a rule in COMMON or PROGRAMS, with another value")
    if isinstance(first, bool):
        changed = not first
    elif choices:
        changed = choices[(choices.index(first) + 1) % len(choices)]
    elif isinstance(first, Path):
        changed = first.with_name(f"{first.name}_2")
    elif isinstance(first, int):
        changed = first + 1
    else:
        changed = first / 2 if 2 * first > (known["maximum"] or 2 * first) else 2 * first or 0.5
    return (changed,) if isinstance(value, tuple) else changed


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The result of a program with some options, from one run."""
    world, folder, known = tmp_path_factory.mktemp("world"), tmp_path_factory.mktemp("runs"), {}

    def of(name: str, options: dict[str, Any], number: int = 1) -> dict[str, Any]:
        key = name, number, repr(sorted(options.items()))
        if key not in known:
            place = folder / f"{name}_{len(known)}"
            shutil.rmtree(place, ignore_errors=True)  # of a run that failed
            known[key] = run(PROGRAMS[name], world, place, options)
        return known[key]

    of.folder = lambda name: folder / f"{name}_{[*known].index((name, 1, repr(sorted(PROGRAMS[name].base.items()))))}"
    of.world = world
    with fakes():
        make_world(world)
        yield of


@pytest.mark.parametrize(("name", "option"), CASES, ids=map("-".join, CASES))
def test_an_option_has_an_effect(name: str, option: str, result: Any) -> None:
    program, rule = PROGRAMS[name], {**COMMON, **PROGRAMS[name].rules}.get(option, Rule())
    known = next(each for each in fields(program.options) if each.name == option)
    if rule.outcome == UNTESTED:
        return
    options = program.base | rule.context
    value = options.get(option, known.default)
    changed = another(value, known.metadata) if rule.value is DERIVED else rule.value
    first, second = result(name, options), result(name, options | {option: changed})
    errors = [each["error"] for each in (first, second) if "error" in each]
    assert bool(errors) == (rule.outcome == REFUSED), f"{errors}: an option that needs others has a rule in PROGRAMS"
    close = rule.outcome == SAME
    different = [part for part in {**first, **second} if not equal(first.get(part), second.get(part), close)]
    assert bool(different) != close, f"{option} {value} -> {changed} changes {different}, but wanted: {rule.outcome}"


def equal(first: Any, second: Any, close: bool) -> bool:
    """Whether parts of results are equal; `close` allows for the rounding of sums in another order."""
    if close and isinstance(first, list) and isinstance(second, list):
        pairs = zip(first, second, strict=True)
        return all(a == b or (isinstance(a, float) and b == pytest.approx(a, rel=1e-4)) for a, b in pairs)
    return first == second


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_options_give_equal_results(name: str, result: Any) -> None:
    """Otherwise the test above could not fail."""
    assert result(name, PROGRAMS[name].base) == result(name, PROGRAMS[name].base, 2)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_file_of_others_is_replaced(name: str, result: Any, tmp_path: Path) -> None:
    """A program refuses where files of others are in place of all outputs, or of the last, and leaves them."""
    result(name, PROGRAMS[name].base)
    done, ours = result.folder(name), re.compile(r"\.written|.*\.lock|events\..*|cache/.*|w/.*")
    template = result.world / "template"
    outputs = [path for path in done.rglob("*") if path.is_file() and not (template / path.relative_to(done)).exists()]
    outputs.sort(key=lambda path: path.stat().st_mtime_ns)
    names = [path.relative_to(done) for path in outputs]
    names = [each for each in names if not ours.fullmatch(each.as_posix()) and each.name != ".written"]
    # A folder that has only the names of a store or set, all of them, is one that is damaged.
    damaged = name in ("prepare_data", "study_prepare")
    for number, planted in enumerate([names[-1:], *([] if damaged else [names])]):
        place = tmp_path / str(number)
        for each in planted:
            write(place / each, b"by hand")
        outcome = run(PROGRAMS[name], result.world, place, PROGRAMS[name].base, read=False)
        assert "error" in outcome or not planted or planted[0].name == "log.txt"  # which is appended to
        kept = [(place / each).read_bytes()[: None if "error" in outcome else 7] for each in planted]
        assert kept == [b"by hand"] * len(planted)


def test_the_programs_are_all() -> None:
    """Options of a program are a subclass of `CheckedOptions` that has no subclass."""
    files = (file for place in (".", "programs", "benchmarks") for file in (ROOT / place).glob("*.py"))
    for file in (file for file in files if "parse_options(" in file.read_text(encoding="utf-8")):
        importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    found, classes = set(), [CheckedOptions]
    while classes:
        each = classes.pop()
        classes += each.__subclasses__()
        if not each.__subclasses__() and (ROOT / f"{each.__module__.replace('.', '/')}.py").exists():
            found.add(each)
    expected = {program.options for program in PROGRAMS.values()}
    assert {each for each in found if each.__module__ not in LEFT_OUT} == expected, "add the program to PROGRAMS"


def test_every_dataclass_of_options_is_checked() -> None:
    """One that has a range but no check would take any value from Python."""
    for kind in {base for program in PROGRAMS.values() for base in program.options.__mro__ if is_dataclass(base)}:
        assert issubclass(kind, CheckedOptions)
        assert "super().__post_init__()" in getsource(kind) or "__post_init__" not in vars(kind)
