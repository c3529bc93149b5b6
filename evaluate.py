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
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from audio.embedders.embedder import EMBEDDERS
from audio.synthesis import SYNTHS
from common.errors import run_command
from common.options import CheckedOptions, flag_of, option, parse_options
from data.store import WINDOW_LENGTHS
from evaluation.published import MSE
from evaluation.registry import EVALUATIONS
from evaluation.samples.clips import LATENTS, NORMAL
from evaluation.samples.evaluated import SOURCES
from models import Generator


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What to evaluate, and how."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folders, with commas, of trained weights, compared in every table"
    )
    sources: tuple[str, ...] = option(
        (Generator.kind,), "networks that play, with commas", choices=SOURCES, flag="--source"
    )
    latents: tuple[str, ...] = option(
        (NORMAL,), "latents, with commas: of N(0, I), of the trained prior, or of the encoder on training windows",
        choices=LATENTS,
    )  # fmt: skip
    temperature: float = option(1.0, "of a note decoder", minimum=0, maximum=100)
    runs: Path = option(Path("runs"), "folder of the training logs")
    metrics: Path = option(Path("metrics"), "folder for tables, figures and the page")
    cache: Path = option(Path("cache"), "folder of cached embeddings and classifiers")
    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "frames in a clip", choices=WINDOW_LENGTHS, flag="--seq-len")
    embedders: tuple[str, ...] = option(
        ("MTT_musicnn", "MSD_musicnn"), "networks that embed the sound, with commas", choices=EMBEDDERS
    )
    ast_dir: Path | None = option(None, "folder with the weights of ast")
    synth: str = option("fluidsynth", "synthesiser", choices=SYNTHS)
    clips: int = option(200, "clips of each genre for the audio distance", minimum=2, maximum=1_000_000)
    generation_seeds: int = option(3, "seeds of generation, for the spread", minimum=1, maximum=1000)
    latent_windows: int = option(10_000, "windows in the pictures of the latent space", minimum=2, maximum=1_000_000)
    classifier_steps: int = option(1200, "training steps of the genre classifier", minimum=1, maximum=10_000_000)
    commands: bool = option(False, "print the commands instead of running them")


HERE = Path(__file__).resolve().parent


def plan(options: Options) -> list[list[str]]:
    """The command lines to run, in order, each beginning with "python"."""
    values = {field.name: (flag_of(field), getattr(options, field.name)) for field in fields(options)}
    # Values with a leaking target were published at some T only; a picture of latents is of one T.
    leaking = [seq_len for seq_len in options.seq_lens if seq_len in MSE]
    special = {
        "latent_windows": ("--windows", options.latent_windows),
        "leaking_seq_lens": ("--seq-len", tuple(leaking)),
        "first_seq_len": ("--seq-len", options.seq_lens[0]),
    }
    return [
        _command_line(evaluation.program, [(values | special)[name] for name in evaluation.options])
        for evaluation in EVALUATIONS
        if leaking or "leaking_seq_lens" not in evaluation.options
    ]


def _command_line(program: str, options: list[tuple[str, Any]]) -> list[str]:
    """`python`, the program and its options; without options that are None."""
    words = ["python", *program.split()]
    for flag, value in options:
        if value is not None:
            words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


def evaluate(options: Options) -> None:
    """Run all evaluations. Raises SystemExit with the exit code of a program that fails."""
    for words in plan(options):
        print(shlex.join(words), flush=True)
        if options.commands:
            continue
        _, program, *rest = words
        # The working directory stays, so that relative paths in options keep their meaning.
        place = [program] if program == "-m" else [str(HERE / program)]
        done = subprocess.run([sys.executable, *place, *rest], env=os.environ | {"PYTHONPATH": str(HERE)})
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    run_command(lambda: evaluate(parse_options(Options, __doc__)))
