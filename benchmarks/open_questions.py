"""What the report left open, by small trainings of preset large: one row for each way of training, seed and source.

    python -m benchmarks.open_questions --store store --question labels         # given labels against labels at random
    python -m benchmarks.open_questions --store store --question prior          # N(0, I), the prior, the encoder's z
    python -m benchmarks.open_questions --store store --question curriculum     # 32, 64, 128 frames, or 128 alone
    python -m benchmarks.open_questions --store store --question epochs         # of stage 3
    python -m benchmarks.open_questions --store store --question weights        # gamma of L_G (alpha is 1)
    python -m benchmarks.open_questions --store store --question encoder        # L_G reaches the encoder, or not
    python -m benchmarks.open_questions --store store --question critic         # it takes z, or rolls and genres alone

Each way of training goes through the three stages, at a reduced size and schedule, which every row tells. Stages 1 and
2 of a seed are trained once for all ways that share them. Measured at T = 128, z of the prior (and of N(0, I) and the
encoder where training is as published): audio distance and kernel distance to test clips, share of clips whose genre is
told right, bits a cell of the CVAE. Interrupted, the same command goes on where it was. Writes
metrics/open_questions.csv; weights and logs are in questions/.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

import train_cgan
import train_cvae
import train_hybrid
from common.errors import run_command
from common.options import CheckedOptions, option, parse_options
from data.store import WINDOW_LENGTHS
from evaluation.metrics.elbo import measure_elbo
from evaluation.metrics.fad import FadOptions, measure_fad
from evaluation.metrics.genre_accuracy import measure_genre_accuracy
from evaluation.metrics.genre_classifier import ClassifierOptions, open_classifier
from evaluation.samples.clip_embeddings import open_clip_embedder
from evaluation.samples.clips import LATENTS, PRIOR, open_clip_sources
from evaluation.samples.evaluated import SOURCES, CvaeOptions, open_subjects
from evaluation.tables import BASELINE, LABEL, Column, ResultTable, format_table, of_all, read_csv
from models import CVAE, LARGE, Critic, Generator
from models.checkpoint import CheckpointError
from models.weight_files import pretrained_file
from training.loop import train

SEQ_LEN = 128
# Reduced sizes and schedules of the stages; what is not here is preset large's.
COMMON = {"epoch_windows": 4000, "schedule": "cosine", "warm_up": 50, "ema": 0.99}
SMALL_CVAE = {**COMMON, "hidden": 128, "depth": 2, "epochs": 6}
SMALL_CGAN = {**COMMON, "hidden": 64, "epochs": 8, "learning_rate": 1e-3, "critic_learning_rate": 2e-3}
SMALL_HYBRID = {**COMMON, "hidden": 64, "epochs": (2, 2, 4)}
BASE, RANDOM = "as published", "labels at random"
# What each way of training changes in stage 3; labels in all stages, the critic's inputs in stage 2, too.
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
    "benchmarks/open_questions.py",
    (
        Column("way", "trained", LABEL),
        Column("origin", "made by", LABEL),
        Column("seeds", "seeds"),
        Column("FAD", "FAD"),
        Column("FAD_range", "+-"),
        Column("KAD", "KAD"),
        Column("genre_accuracy", "genre right"),
        Column("genre_accuracy_range", "+-"),
        Column("genre_accuracy_real", "real", BASELINE),
        Column("n_empty", "empty"),
        Column("bits_per_cell", "bits / cell"),
        Column("schedule", "windows at T = 32, 64, 128", LABEL),
    ),
    key=("way", "seed", "origin"),
)


@dataclass(frozen=True)
class Options(CheckedOptions):
    """Which questions, on which music, and how often."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    question: tuple[str, ...] = option(tuple(QUESTIONS), "which, with commas", choices=tuple(QUESTIONS))
    seeds: tuple[int, ...] = option((0, 1), "of training; at least two tell a spread", minimum=0)
    clips: int = option(100, "clips of each genre", minimum=2)
    embedder: str = option("MTT_musicnn", "network that embeds the sound")
    temperature: float = option(0.8, "of the note decoder", minimum=0, maximum=100)
    synth: str = option("fluidsynth", "synthesiser")
    work: Path = option(Path("questions"), "folder for weights and logs")
    metrics: Path = option(Path("metrics"), "folder for the table")
    cache: Path = option(Path("cache"), "folder of embeddings and classifiers, which are used again")
    bf16: bool = option(False, "train in bfloat16 where that is safe")


def train_way(options: Options, way: str, seed: int) -> Path:
    """The folder of stage 3's weights of a way of training, which is trained unless it is there."""
    changes = WAYS[way]
    labels = {name: changes[name] for name in ("shuffle_labels",) if name in changes}
    critic = {name: changes[name] for name in ("critic_takes_z",) if name in changes}
    own = options.work / f"seed{seed}" / way.replace(" ", "_").replace("/", "by")
    shared = own if labels else own.parent
    _train(train_cvae, train_cvae.CVAEStage, shared, options, seed, SMALL_CVAE | labels)
    second = own if critic else shared
    _hand_on(shared, second, CVAE.kind)
    _train(train_cgan, train_cgan.CGANStage, second, options, seed, SMALL_CGAN | labels | critic)
    _hand_on(second, own, CVAE.kind, Generator.kind, Critic.kind)
    _train(train_hybrid, train_hybrid.HybridStage, own, options, seed, SMALL_HYBRID | changes)
    return own / "checkpoints"


def _hand_on(source: Path, target: Path, *kinds: str) -> None:
    """Copy weights of earlier stages to where the next one looks for them."""
    (target / "checkpoints").mkdir(parents=True, exist_ok=True)
    for kind in kinds if source != target else ():
        shutil.copy(source / "checkpoints" / pretrained_file(kind), target / "checkpoints")


def _train(
    program: Any, stage: Any, folder: Path, options: Options, seed: int, changes: Mapping[str, Any]
) -> None:
    places = {"store": options.store, "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    how = {"seed": seed, "bf16": options.bf16, "save_minutes": 2.0}
    train(stage(program.Options(**{**program.PRESETS[LARGE], **places, **how, **changes})))


def measure_way(options: Options, way: str, seed: int, latents: tuple[str, ...]) -> pd.DataFrame:
    """Train and measure: a row for generator and decoder and each of `latents`."""
    folder = train_way(options, way, seed)
    common = {"store": options.store, "checkpoints": (folder,), "seq_lens": (SEQ_LEN,), "metrics": options.metrics}
    playing = {"temperature": options.temperature}
    how = {"sources": SOURCES, "latents": latents, "generation_seeds": 1, "clips": options.clips}
    sound = {"embedders": (options.embedder,), "synth": options.synth, "cache": options.cache}
    fad_options = FadOptions(**common, **playing, **how, **sound)
    sources = open_clip_sources(fad_options)
    embedder = open_clip_embedder(fad_options, sources[0].trained.frames_per_second)
    classifier = open_classifier(sources[0].real, ClassifierOptions(cache=options.cache))
    (subject,) = open_subjects(CvaeOptions(**common, **playing))
    bits = of_all(measure_elbo(subject, beta=1.0)[0]).iloc[0]["bits_per_cell"]
    rows = []
    for source in sources:
        distance = of_all(measure_fad(source, fad_options, embedder)).iloc[0]
        genre = of_all(measure_genre_accuracy(source, classifier, options.clips)).iloc[0]
        rows.append(
            {
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
            }
        )
    return pd.DataFrame(rows)


def _schedule(way: str) -> str:
    """Windows that stage 3 trains on at each T."""
    stage = SMALL_HYBRID | WAYS[way]
    epochs = dict(zip(stage.get("seq_lens", WINDOW_LENGTHS), stage["epochs"], strict=True))
    return ", ".join(str(epochs.get(seq_len, 0) * stage["epoch_windows"]) for seq_len in WINDOW_LENGTHS)


def summary(frame: pd.DataFrame, ways: list[str]) -> pd.DataFrame:
    """Means over seeds, and half the range between them, way after way."""
    numbers = ["FAD", "KAD", "genre_accuracy", "genre_accuracy_real", "n_empty", "bits_per_cell"]
    rows = []
    for (way, origin), of_seeds in frame[frame["way"].isin(ways)].groupby(["way", "origin"], sort=False):
        spread = of_seeds[numbers].max() - of_seeds[numbers].min()
        row = {"way": way, "origin": origin, "seeds": len(of_seeds), "schedule": of_seeds["schedule"].iloc[0]}
        ranges = {f"{name}_range": spread[name] / 2 for name in ("FAD", "genre_accuracy")}
        rows.append(row | of_seeds[numbers].mean().to_dict() | ranges)
    order = pd.DataFrame(rows).sort_values("way", key=lambda names: names.map(ways.index), kind="stable")
    return order.sort_values("origin", kind="stable")


def answer(options: Options) -> pd.DataFrame:
    """Train what is not there, measure, print and write the table. Raises `UserError` or `CheckpointError`."""
    path = TABLE.path(options.metrics)
    frame = read_csv(path) if path.exists() else pd.DataFrame(columns=TABLE.key)
    for question in options.question:
        for seed in options.seeds:
            for way in QUESTIONS[question]:
                latents = LATENTS if way == BASE else (PRIOR,)
                if ((frame["way"] == way) & (frame["seed"] == seed)).any():
                    continue
                frame = TABLE.add(measure_way(options, way, seed, latents), options.metrics)
        print(f"\n{question}")
        print(format_table(summary(frame, QUESTIONS[question]), TABLE.columns))
    print(f"mean over seeds, +- half of the range between them\n{path}")
    return frame


if __name__ == "__main__":
    run_command(lambda: answer(parse_options(Options, __doc__)), CheckpointError)
