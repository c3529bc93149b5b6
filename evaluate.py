"""Run every evaluation of trained weights, and make the page of results: from checkpoints/ to metrics/report.html.

    python evaluate.py --store store
    python evaluate.py --store lmd_store --embedders ast,MTT_musicnn --ast-dir ast --clips 100
    python evaluate.py --checkpoints checkpoints,checkpoints/large --source generator,cvae --latents normal,prior
    python evaluate.py --commands                         # print the commands and stop

Runs one program after another and stops at the first that fails. Embeddings and classifiers are cached: run the same
command again after an interruption, and it continues where it was.
"""

import os
import shlex
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from common.errors import run_command
from common.options import CheckedOptions, flag_of, option, parse_options
from evaluation.options import FadOptions
from evaluation.published import MSE

_FAD_FIELDS = {each.name: each for each in fields(FadOptions)}


def _shared(name: str, **changed: Any) -> Any:
    """An option of eval_fad_samples.py."""
    return field(**{"default": _FAD_FIELDS[name].default, "metadata": _FAD_FIELDS[name].metadata} | changed)


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What to evaluate, and how."""

    store: Path = _shared("store")
    checkpoints: tuple[Path, ...] = _shared("checkpoints")
    sources: tuple[str, ...] = _shared("sources")
    latents: tuple[str, ...] = _shared("latents")
    temperature: float = _shared("temperature")
    runs: Path = option(Path("runs"), "folder of the training logs")
    metrics: Path = _shared("metrics")
    cache: Path = option(Path("cache"), "folder of cached embeddings and classifiers")
    seq_lens: tuple[int, ...] = _shared("seq_lens")
    embedders: tuple[str, ...] = _shared("embedders", default=("MTT_musicnn", "MSD_musicnn"))
    ast_dir: Path | None = _shared("ast_dir")
    synth: str = _shared("synth")
    clips: int = _shared("clips")
    generation_seeds: int = _shared("generation_seeds")
    latent_windows: int = option(10_000, "windows in the pictures of the latent space", minimum=2, maximum=1_000_000)
    classifier_steps: int = option(1200, "training steps of the genre classifier", minimum=1, maximum=10_000_000)
    commands: bool = option(False, "print the commands instead of running them")


HERE = Path(__file__).resolve().parent
_WEIGHTS = ("store", "checkpoints", "metrics")
_PLAYING = ("sources", "latents", "temperature")
_SOUND = ("embedders", "ast_dir", "synth", "clips", "cache")
_CLASSIFIER = ("classifier_steps", "cache")
# All programs, in order, and the options that each of them takes.
EVALUATIONS = (
    ("eval_fad_samples.py", (*_WEIGHTS, "seq_lens", *_PLAYING, *_SOUND, "generation_seeds")),
    ("eval_genre.py", (*_WEIGHTS, "seq_lens", *_PLAYING, *_CLASSIFIER)),
    ("eval_elbo.py", (*_WEIGHTS, "seq_lens")),
    ("-m programs.damage", ("store", "metrics", "seq_lens", *_SOUND)),
    ("eval_mse.py", (*_WEIGHTS, "seq_lens", "temperature")),
    ("eval_mse.py --leak-target", (*_WEIGHTS, "leaking_seq_lens")),
    ("eval_music.py", (*_WEIGHTS, "seq_lens", *_PLAYING)),
    ("-m programs.form", (*_WEIGHTS, "seq_lens", *_PLAYING, "embedders", "ast_dir", "synth", "cache")),
    ("-m programs.restyle", (*_WEIGHTS, "seq_lens", "temperature", *_CLASSIFIER)),
    ("-m programs.genre_likelihood", (*_WEIGHTS, "seq_lens", *_CLASSIFIER)),
    ("-m programs.probes", (*_WEIGHTS, "seq_lens")),
    ("-m programs.latent_plots", (*_WEIGHTS, "first_seq_len", "latent_windows")),
    ("report.py", (*_WEIGHTS, "seq_lens", *_PLAYING, "runs", "synth")),
)


def plan(options: Options) -> list[list[str]]:
    """The command lines to run, in order, each beginning with "python"."""
    values = {each.name: (flag_of(each), getattr(options, each.name)) for each in fields(options)}
    # Values with a leaking target were published at some T only; a picture of latents is of one T.
    leaking = [seq_len for seq_len in options.seq_lens if seq_len in MSE]
    special = {
        "latent_windows": ("--windows", options.latent_windows),
        "leaking_seq_lens": ("--seq-len", tuple(leaking)),
        "first_seq_len": ("--seq-len", options.seq_lens[0]),
    }
    commands = []
    for program, names in EVALUATIONS:
        words = ["python", *program.split()]
        for flag, value in ((values | special)[name] for name in names):
            if value is not None:
                words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        if leaking or "leaking_seq_lens" not in names:
            commands.append(words)
    return commands


def evaluate(options: Options) -> None:
    """Run all evaluations. Raises SystemExit with the exit code of a program that fails."""
    for words in plan(options):
        print(shlex.join(words), flush=True)
        if options.commands:
            continue
        if exit_code := run_program(*words[1:]):
            raise SystemExit(exit_code)


def run_program(program: str, *rest: str) -> int:
    """Run a program that ends with this process; returns its exit code."""
    # The working directory stays, so that relative paths in options keep their meaning.
    command = [sys.executable, "-m", "common.child", program if program == "-m" else str(HERE / program), *rest]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(HERE)})
    try:
        return child.wait()
    finally:
        child.stdin.close()
        child.wait()  # until it has removed its temporary files


if __name__ == "__main__":
    run_command(lambda: evaluate(parse_options(Options, __doc__)))
