"""Answer the report's open questions with small trainings of preset large: a row per variant, seed and source of clips.

    python -m benchmarks.open_questions --store store --question labels         # given or shuffled labels
    python -m benchmarks.open_questions --store store --question prior          # N(0, I), the prior, the posterior
    python -m benchmarks.open_questions --store store --question curriculum     # 32, 64, 128 frames, or only 128
    python -m benchmarks.open_questions --store store --question epochs         # of stage 3
    python -m benchmarks.open_questions --store store --question weights        # gamma of L_G (alpha is 1)
    python -m benchmarks.open_questions --store store --question encoder        # L_G with or without gradient to it
    python -m benchmarks.open_questions --store store --question critic         # with or without z as an input

Each variant is trained in the three stages, with reduced sizes and schedules; the table has the schedule. Variants of a
seed share stages 1 and 2 where these are equal. Metrics at T = 128, with z of the prior (as published also with z of
N(0, I) and of the posterior): Frechet and kernel audio distance to test clips, genre accuracy of a classifier, bits per
cell of the CVAE. The same command continues an interrupted run. Writes metrics/open_questions.csv; weights and logs are
in questions/.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import train_cgan
import train_cvae
import train_hybrid
from common.errors import run_command
from common.options import CheckedOptions, option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from evaluation.metrics.elbo import measure_elbo
from evaluation.metrics.fad import measure_fad
from evaluation.metrics.genre_accuracy import measure_genre_accuracy
from evaluation.metrics.genre_classifier import open_classifier
from evaluation.options import LATENTS, PRIOR, SOURCES, ClassifierOptions, DecodingOptions, FadOptions
from evaluation.samples.clip_embeddings import open_clip_embedder
from evaluation.samples.clips import open_clip_sources
from evaluation.samples.evaluated import open_subjects
from evaluation.tables import BASELINE, LABEL, OURS, ResultTable, columns, format_table, of_all, read_csv
from models import CVAE, LARGE, Critic, Generator
from models.checkpoint import CheckpointError
from models.weight_files import pretrained_file
from training.loop import train

SEQ_LEN = 128
# Changes of preset large.
COMMON = {"epoch_windows": 4000, "schedule": "cosine", "warm_up": 50, "ema": 0.99}
SMALL_CVAE = {**COMMON, "hidden": 128, "depth": 2, "epochs": 6}
SMALL_CGAN = {**COMMON, "hidden": 64, "epochs": 8, "learning_rate": 1e-3, "critic_learning_rate": 2e-3}
SMALL_HYBRID = {**COMMON, "hidden": 64, "epochs": (2, 2, 4)}
BASE, RANDOM = "as published", "labels at random"
# Changes of stage 3 by variant; shuffle_labels changes all stages, critic_takes_z also stage 2.
WAYS: dict[str, dict[str, Any]] = {
    BASE: {},
    RANDOM: {"shuffle_labels": True},
    "T = 128 alone": {"seq_lens": (128,), "epochs": (11,), "epoch_windows": 2000},  # as many frames
    "half the windows": {"epoch_windows": 2000},
    "a quarter of the windows": {"epoch_windows": 1000},
    "gamma / 10": {"gamma": 0.05},
    "gamma x 10": {"gamma": 5.0},
    "L_G cut off": {"encoder_gradient": False},
    "critic without z": {"critic_takes_z": False},
}
QUESTIONS = {
    "labels": [BASE, RANDOM],
    "prior": [BASE],
    "curriculum": [BASE, "T = 128 alone"],
    "epochs": ["a quarter of the windows", "half the windows", BASE],
    "weights": ["gamma / 10", BASE, "gamma x 10"],
    "encoder": [BASE, "L_G cut off"],
    "critic": [BASE, "critic without z"],
}
TABLE = ResultTable(
    "open_questions.csv",
    "-m benchmarks.open_questions",
    (
        *columns(LABEL, way="trained", origin="made by"),
        *columns(OURS, seeds="seeds", FAD="FAD", FAD_range="+-", KAD="KAD"),
        *columns(OURS, genre_accuracy="genre right", genre_accuracy_range="+-"),
        *columns(BASELINE, genre_accuracy_real="real"),
        *columns(OURS, n_empty="empty", bits_per_cell="bits / cell"),
        *columns(LABEL, schedule="windows at T = 32, 64, 128"),
    ),
    key=("way", "seed", "origin"),
)


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Questions, music, seeds and places."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    question: tuple[str, ...] = option(tuple(QUESTIONS), "questions, with commas", choices=tuple(QUESTIONS))
    seeds: tuple[int, ...] = option((0, 1), "seeds of training; at least two give a spread", minimum=0)
    clips: int = option(100, "clips of each genre", minimum=2)
    embedder: str = option("MTT_musicnn", "network that embeds the sound")
    temperature: float = option(0.8, "temperature of the note decoder", minimum=0, maximum=100)
    synth: str = option("fluidsynth", "synthesiser")
    work: Path = option(Path("questions"), "folder for weights and logs")
    metrics: Path = option(Path("metrics"), "folder for the table")
    cache: Path = option(Path("cache"), "folder that keeps embeddings and classifiers")
    bf16: bool = option(False, "train in bfloat16 where that is safe")


def train_way(options: Options, way: str, seed: int) -> Path:
    """Train a variant unless it is trained already; returns the folder of its weights."""
    changes = WAYS[way]
    labels, critic = (
        {name: changes[name] for name in names if name in changes} for names in (["shuffle_labels"], ["critic_takes_z"])
    )
    own = options.work / f"seed{seed}" / way.replace(" ", "_").replace("/", "by")
    first = own if labels else own.parent
    second = own if critic else first
    _train(train_cvae, first, options, seed, SMALL_CVAE | labels)
    _copy_weights(first, second, CVAE.kind)
    _train(train_cgan, second, options, seed, SMALL_CGAN | labels | critic)
    _copy_weights(second, own, CVAE.kind, Generator.kind, Critic.kind)
    _train(train_hybrid, own, options, seed, SMALL_HYBRID | changes)
    return own / "checkpoints"


def _copy_weights(source: Path, target: Path, *kinds: str) -> None:
    """Copy weights of earlier stages to where the next stage reads them."""
    (target / "checkpoints").mkdir(parents=True, exist_ok=True)
    for kind in kinds if source != target else ():
        shutil.copy(source / "checkpoints" / pretrained_file(kind), target / "checkpoints")


def _train(program: Any, folder: Path, options: Options, seed: int, changes: Mapping[str, Any]) -> None:
    places = {"store": options.store, "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    common = {"seed": seed, "bf16": options.bf16, "save_minutes": 2.0}
    train(program.make_stage(program.Options(**{**program.PRESETS[LARGE], **places, **common, **changes})))


def measure_way(options: Options, way: str, seed: int, latents: tuple[str, ...]) -> pd.DataFrame:
    """Train and evaluate a variant: a row for each source of clips and each of `latents`."""
    folder = train_way(options, way, seed)
    common = {
        "store": options.store, "checkpoints": (folder,), "seq_lens": (SEQ_LEN,), "metrics": options.metrics,
        "temperature": options.temperature,
    }  # fmt: skip
    fad_options = FadOptions(
        **common, sources=SOURCES, latents=latents, generation_seeds=1, clips=options.clips,
        embedders=(options.embedder,), synth=options.synth, cache=options.cache,
    )  # fmt: skip
    sources = open_clip_sources(fad_options)
    embedder = open_clip_embedder(fad_options, sources[0].trained.frames_per_second)
    classifier = open_classifier(sources[0].real, ClassifierOptions(cache=options.cache))
    (subject,) = open_subjects(DecodingOptions(**common))
    bits = of_all(measure_elbo(subject, beta=1.0)[0]).iloc[0]["bits_per_cell"]
    rows = []
    for source in sources:
        distance = of_all(measure_fad(source, fad_options, embedder)).iloc[0]
        genre = of_all(measure_genre_accuracy(source, classifier, options.clips)).iloc[0]
        rows.append({
            "way": way,
            "seed": seed,
            "origin": source.facts["origin"].removeprefix(f"{folder}: "),
            **distance[["FAD", "FAD_train", "FAD_floor", "KAD", "n_fake", "n_empty", "embedder"]],
            "genre_accuracy": genre["accuracy_generated"],
            "genre_accuracy_real": genre["accuracy_real"],
            "bits_per_cell": bits if source.trained.model.kind == CVAE.kind else float("nan"),
            "schedule": _schedule(way),
            "temperature": options.temperature,
            "store_content": source.facts["store_content"],
        })  # fmt: skip
    return pd.DataFrame(rows)


def _schedule(way: str) -> str:
    """The number of windows of stage 3 at each T."""
    stage = SMALL_HYBRID | WAYS[way]
    epochs = dict(zip(stage.get("seq_lens", WINDOW_LENGTHS), stage["epochs"], strict=True))
    return ", ".join(str(epochs.get(seq_len, 0) * stage["epoch_windows"]) for seq_len in WINDOW_LENGTHS)


def summary(frame: pd.DataFrame, ways: list[str]) -> pd.DataFrame:
    """Return means over seeds, with half the range over seeds, by source of clips in the order of `ways`."""
    numbers = ["FAD", "KAD", "genre_accuracy", "genre_accuracy_real", "n_empty", "bits_per_cell"]
    groups = frame[frame["way"].isin(ways)].groupby(["way", "origin"], sort=False)
    ranges = (groups[numbers].max() - groups[numbers].min())[["FAD", "genre_accuracy"]] / 2
    means = groups[numbers].mean().join(ranges.add_suffix("_range"))
    means = means.assign(seeds=groups.size(), schedule=groups["schedule"].first()).reset_index()
    means = means.sort_values("way", key=lambda names: names.map(ways.index), kind="stable")
    return means.sort_values("origin", kind="stable")


def answer(options: Options) -> pd.DataFrame:
    """Train and evaluate what the table lacks, print and write it. Raises `UserError` or `CheckpointError`."""
    path = TABLE.path(options.metrics)
    frame = read_csv(path) if path.exists() else pd.DataFrame(columns=TABLE.key)
    for question in options.question:
        for seed, way in product(options.seeds, QUESTIONS[question]):
            if not ((frame["way"] == way) & (frame["seed"] == seed)).any():
                latents = LATENTS if way == BASE else (PRIOR,)
                frame = TABLE.add(measure_way(options, way, seed, latents), options.metrics)
        print(f"\n{question}\n{format_table(summary(frame, QUESTIONS[question]), TABLE.columns)}")
    print(f"means over seeds, +- half of the range\n{path}")
    return frame


if __name__ == "__main__":
    run_command(lambda: answer(parse_options(Options, __doc__)), CheckpointError)
