"""Every table, figure and the page of trained weights: what stands between checkpoints/ and metrics/report.html.

    python evaluate.py --store store
    python evaluate.py --store lmd_store --embedders ast,MTT_musicnn --ast-dir ast --clips 100
    python evaluate.py --checkpoints checkpoints,checkpoints/large --sources generator,cvae --latents normal,prior
    python evaluate.py --commands                         # print what would be run, and stop

Runs the evaluations one after another and stops at the first that fails. Embeddings and classifiers are cached: run the
same command again after an interruption, and it continues where it was.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from audio.embedders.embedder import EMBEDDERS
from audio.synthesis import SYNTHS
from common.errors import run_command
from common.options import CheckedOptions, option, parse_options
from data.store import WINDOW_LENGTHS
from evaluation.published import MSE
from evaluation.samples.clips import LATENTS, NORMAL, SOURCES
from models import Generator


@dataclass(frozen=True)
class Options(CheckedOptions):
    """What is measured, and how."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folder of the trained weights, or folders with commas, to set beside one another"
    )
    sources: tuple[str, ...] = option((Generator.kind,), "what makes clips of latents", choices=SOURCES)
    latents: tuple[str, ...] = option(
        (NORMAL,), "where latents come from: N(0, I), the prior of the genre, or the encoder of training windows",
        choices=LATENTS,
    )  # fmt: skip
    temperature: float = option(1.0, "of a note decoder", minimum=0, maximum=100)
    runs: Path = option(Path("runs"), "folder of the training logs")
    metrics: Path = option(Path("metrics"), "folder for tables, figures and the page")
    cache: Path = option(Path("cache"), "folder of embeddings and classifiers, which are used again")
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
Command = tuple[str, dict[str, Any]]


def list_commands(options: Options) -> Iterator[Command]:
    """The programs to run, in their order, and the options of each."""
    lengths = {"seq_len": options.seq_lens}
    here = {name: getattr(options, name) for name in ("store", "checkpoints", "metrics")}
    playing = {name: getattr(options, name) for name in ("sources", "latents", "temperature")}
    first = here | {"checkpoints": options.checkpoints[0]}
    music = {"store": options.store, "metrics": options.metrics}
    sound = {name: getattr(options, name) for name in ("embedders", "ast_dir", "synth", "clips", "cache")}
    classifier = {"classifier_steps": options.classifier_steps, "cache": options.cache}
    yield "eval_fad_samples.py", here | lengths | playing | sound | {"generation_seeds": options.generation_seeds}
    yield "eval_genre.py", here | lengths | playing | classifier
    yield "eval_elbo.py", here | lengths
    yield "-m programs.damage", music | lengths | sound
    decoding = {"temperature": options.temperature}
    yield "eval_mse.py", here | lengths | decoding
    for seq_len in options.seq_lens:
        if seq_len in MSE:
            yield "eval_mse.py", here | {"seq_len": (seq_len,), "leak_target": True}
    yield "eval_music.py", here | lengths | playing
    yield "-m programs.latent_plots", first | {"seq_len": options.seq_lens[0], "windows": options.latent_windows}
    yield "report.py", here | lengths | playing | {"runs": options.runs, "synth": options.synth}


def command_line(program: str, options: dict[str, Any]) -> list[str]:
    """The words of a command: `python`, the program and its options, without those that are None."""
    words = ["python", *program.split()]
    for name, value in options.items():
        flag = "--" + name.replace("_", "-")
        if value is True:
            words.append(flag)
        elif value is not None:
            words += [flag, ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return words


def _found(words: list[str]) -> list[str]:
    """The words with the program's place, so that paths of options mean what they mean where this was called."""
    return words if words[0] == "-m" else [str(HERE / words[0]), *words[1:]]


def evaluate(options: Options) -> None:
    """Run all of it. Raises SystemExit with the code of the program that failed."""
    for program, given in list_commands(options):
        words = command_line(program, given)
        print(shlex.join(words), flush=True)
        if options.commands:
            continue
        done = subprocess.run([sys.executable, *_found(words[1:])], env=os.environ | {"PYTHONPATH": str(HERE)})
        if done.returncode:
            raise SystemExit(done.returncode)


if __name__ == "__main__":
    run_command(lambda: evaluate(parse_options(Options, __doc__)))
