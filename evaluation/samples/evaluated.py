"""What is evaluated: trained weights on the music of a store, and the facts that identify both in every result row."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.device import DEVICES, prepare_process, select_device
from common.errors import UserError
from common.options import CheckedOptions, option
from common.splits import SPLITS
from data.store import WINDOW_LENGTHS, RollStore
from evaluation.samples.sampling import PlayingOptions
from models import CVAE, Generator
from models.trained import Trained, load
from models.weight_files import hybrid_file, hybrid_path

SOURCES = (Generator.kind, CVAE.kind)
REMEDY = "train it with train_hybrid.py, or name weights with --checkpoint"


@dataclass(frozen=True)
class StoreOptions(CheckedOptions):
    """Options of every evaluation."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    metrics: Path = option(Path("metrics"), "folder for tables and figures")
    split: str = option("test", "split of the songs to evaluate on", choices=SPLITS)
    seed: int = option(0, "seed of the noise, and of the order of real clips", minimum=0)
    device: str = option("auto", "device of the networks; auto is cuda, else mps, else cpu", choices=DEVICES)


@dataclass(frozen=True)
class WeightsOptions(StoreOptions, PlayingOptions):
    """Options of every evaluation of trained weights."""

    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folders, with commas, of hybrid_{G,cvae}_best_T{T}.pth, compared in one table"
    )
    checkpoint: Path | None = option(None, "other weights, in place of --checkpoints and --seq-len")
    allow_other_songs: bool = option(False, "accept weights that were trained on other songs than the store's")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a window (T); a T without weights is left out",
        choices=WINDOW_LENGTHS, flag="--seq-len",
    )  # fmt: skip


@dataclass(frozen=True)
class Evaluated:
    """Trained weights, and the `facts` about them and their evaluation that every result row carries."""

    trained: Trained
    facts: dict[str, Any]

    @property
    def genres(self) -> list[str]:
        return self.trained.genres

    @property
    def seq_len(self) -> int:
        return self.trained.seq_len


def open_weights(
    options: WeightsOptions, store: RollStore, kinds: Sequence[str], readable: tuple[str, ...]
) -> Iterator[tuple[str, Trained]]:
    """Load weights one after another: folder by folder, T by T, kind by kind.

    Yields each with its name for the user: the folder as given, or the file as given by `checkpoint`, which may hold
    any of the `readable` kinds. Raises `UserError` if there are no weights, `CheckpointError` if some cannot be used or
    do not fit the store.
    """
    prepare_process(select_device(options.device))
    wanted = [(kind, seq_len) for seq_len in options.seq_lens for kind in kinds]
    folders = dict.fromkeys(options.checkpoints)
    places = [(folder, hybrid_path(folder, *each), each[1]) for folder in folders for each in wanted]
    if options.checkpoint:
        places = [(options.checkpoint, options.checkpoint, None)]
    elif not any(path.exists() for _, path, _ in places):
        files = ", ".join(hybrid_file(*each) for each in wanted)
        raise UserError(f"{', '.join(map(str, folders))}: no {' or '.join(kinds)} there ({files}); {REMEDY}")
    for given, path, seq_len in places:
        if options.checkpoint or path.exists():
            checked = {"store": store, "allow_other_songs": options.allow_other_songs}
            yield str(given), load(path, readable, REMEDY, seq_len=seq_len, **checked)


def evaluation_facts(trained: Trained, store: RollStore, options: WeightsOptions, origin: str) -> dict[str, Any]:
    """Facts for a result row: protocol, playing (None for options that the network does not use), weights, music.

    The labels are those of the store, also for weights that were trained with shuffled ones (`labels`).
    """
    used = trained.model.plays_by
    return {
        "T": trained.seq_len,
        "origin": origin,
        "split": options.split,
        "seed": options.seed,
        **{name: getattr(options, name) if name in used else None for name in ("feedback", "temperature", "nucleus")},
        "checkpoint": trained.path.as_posix(),
        "checkpoint_sha256": trained.sha256,
        "trained_on": trained.trained_on,
        "labels": trained.labels,
        "condition": trained.condition,
        **store.label_facts(),
        "store_content": store.content_hash,
    }
