"""What an evaluation of a CVAE is made on: the model, windows of a split, and the facts that a row has to carry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from common.device import DEVICES, prepare_process, select_device
from common.errors import UserError
from common.options import option
from common.randomness import rng_at
from common.splits import SPLITS
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from evaluation.samples.clips import facts_of, playing_facts
from evaluation.samples.sampling import PlayingOptions, draw_chances
from models import CVAE
from models.playing import Decoded
from models.trained import load
from models.weight_files import hybrid_path


@dataclass(frozen=True)
class EvaluationOptions(PlayingOptions):
    """Options that the evaluations of the CVAE share."""

    store: Path = option(Path("store"), "roll store that prepare_data.py made")
    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "frames in a window; those without weights are left out",
        choices=WINDOW_LENGTHS, flag="--seq-len",
    )  # fmt: skip
    checkpoint: Path | None = option(None, "other weights of a CVAE; their T counts, not --seq-len")
    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folder, or folders with commas, with hybrid_cvae_best_T{T}.pth"
    )
    allow_other_songs: bool = option(False, "take weights that were trained on other songs than the store's")
    metrics: Path = option(Path("metrics"), "folder for the tables")
    split: str = option("test", "which songs to measure on", choices=SPLITS)
    device: str = option("auto", "where to compute; auto is cuda, else mps, else cpu", choices=DEVICES)
    batch_size: int = option(512, "windows at a time; the results do not depend on it", minimum=1, maximum=1_000_000)
    seed: int = option(0, "decides the noise of z", minimum=0)


@dataclass(frozen=True)
class Subject:
    """A CVAE and the windows it is measured on; `facts` go into every row of the result."""

    cvae: nn.Module
    windows: WindowSource
    options: EvaluationOptions
    facts: dict[str, Any]

    @property
    def genres(self) -> list[str]:
        return self.windows.store.genres

    @property
    def condition(self) -> str:
        return self.windows.store.condition

    def batches(self) -> Iterator[Tensor]:
        """Places of all windows, int64 (B,) each."""
        yield from torch.arange(len(self.windows)).split(self.options.batch_size)

    def noise(self) -> Tensor:
        """Standard normal noise for z of every window, (n_windows, latent): the same whatever the batch size."""
        at = rng_at("evaluation", self.options.seed)
        return torch.randn(len(self.windows), self.cvae.noise_size(self.windows.seq_len), generator=at)

    def decode_free(self, z: Tensor, genre: Tensor, index: Tensor) -> Decoded:
        """What the decoder makes of z (B, latent) of the windows at `index`, running on its own."""
        playing, seq_len = self.options.playing, self.windows.seq_len
        positions = [("feedback", self.options.seed, window) for window in index.tolist()]
        uniform = draw_chances(self.cvae, seq_len, playing, positions, z.device)
        return self.cvae.decode_free(z, genre, seq_len, uniform, playing)


def open_subjects(options: EvaluationOptions) -> Iterator[Subject]:
    """The CVAE and the windows of each T that has weights, one after another.

    Raises `CheckpointError` where there are no weights, or some cannot be used for the store, `UserError` where the
    split has no window.
    """
    store, device = RollStore.open(options.store), select_device(options.device)
    prepare_process(device)
    paths = [
        (hybrid_path(folder, CVAE.kind, seq_len), seq_len)
        for folder in options.checkpoints for seq_len in options.seq_lens
    ]  # fmt: skip
    if options.checkpoint:
        paths = [(options.checkpoint, None)]
    for path, seq_len in [each for each in paths if each[0].exists()] or paths[:1]:
        yield _open_subject(options, store, path, seq_len, device)


def _open_subject(
    options: EvaluationOptions, store: RollStore, path: Path, seq_len: int | None, device: torch.device
) -> Subject:
    remedy = "run train_hybrid.py first, take other --seq-len, or name --checkpoint"
    allow = options.allow_other_songs
    trained = load(path, CVAE.kind, remedy, seq_len=seq_len, store=store, allow_other_songs=allow)
    windows = WindowSource(store, options.split, trained.seq_len, device)
    if not len(windows):
        raise UserError(f"{options.store}: no {options.split} window of {trained.seq_len} frames")
    facts = {
        "T": trained.seq_len,
        "split": options.split,
        "seed": options.seed,
        **playing_facts(trained.model, options.playing),
        "origin": f"{trained.model.kind} ({trained.model.network})",
        **facts_of(trained, store, options.checkpoints),
    }
    return Subject(trained.model.to(device), windows, options, facts)
