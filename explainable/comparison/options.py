"""The parts of the study's grid of trainings, and the options of comparing them."""

from dataclasses import dataclass
from pathlib import Path

from common.options import CheckedOptions, option
from explainable.melodies.named_sets import NAMED_SETS
from explainable.options import NAMED_ATTRIBUTES, TRAININGS

TWO, FOUR = NAMED_ATTRIBUTES
PARTS = {
    "A": "MeasureVAE and AdversarialVAE at 128 and 256, Irish folk",
    "B": "MeasureVAE at each size with 2 and 4 attributes, Irish folk",
    "C": "the same on each set of the study",
    "small": "AdversarialVAE at the sizes below 128, Irish folk",
    "improved": "AttributeVAE on each set",
    "size": "MeasureVAE on 1/2, 1/4, 1/8 of Irish folk, and on equally many measures of each set",
    "augmentation": "MeasureVAE on Turkish makam with and without transpositions",
    "jazz": "MeasureVAE at each size on sets that the study did not have",
}


@dataclass(frozen=True)
class CompareOptions(CheckedOptions):
    """Which models to train, how, how many at once, and where the results go."""

    parts: tuple[str, ...] = option(
        ("A", "B", "C"), "; ".join(f"{name}: {about}" for name, about in PARTS.items()), choices=tuple(PARTS)
    )
    data: tuple[Path, ...] = option(
        tuple(Path("measures") / name for name in NAMED_SETS), "data sets that programs.study_prepare made"
    )
    latents: tuple[int, ...] = option((), "only these sizes of z", minimum=1)
    attributes: tuple[str, ...] = option((), "only these numbers of attributes", choices=(TWO, FOUR))
    models: tuple[str, ...] = option((), "only these models", choices=tuple(TRAININGS))
    seeds: int = option(3, "trainings of each kind, with seeds 0, 1, ...", minimum=1, maximum=1000)
    train_options: str = option("", "options of every training, as in --train-options='--hidden 64 --epochs 6'")
    measure_options: str = option("", "options of MeasureVAE, which override --train-options")
    adversarial_options: str = option("", "the same for AdversarialVAE")
    attribute_options: str = option("", "the same for AttributeVAE")
    jobs: int = option(1, "trainings, then measurements, at once, each with one thread", minimum=1, maximum=1024)
    sweep_measures: int = option(1000, "test rows that are decoded under each value of each control", minimum=10)
    only_tables: bool = option(False, "only make the tables and plots again")
    checkpoints: Path = option(Path("checkpoints"), "folder for the weights")
    runs: Path = option(Path("runs"), "folder for the logs of the trainings")
    metrics: Path = option(Path("metrics"), "folder for the tables and plots")
