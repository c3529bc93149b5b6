"""What is evaluated: trained weights on the music of a store, and the facts that identify both in every result row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.device import prepare_process, select_device
from common.errors import UserError
from common.randomness import rng_at
from data.store import RollStore
from data.windows import Batch, WindowSource
from evaluation.options import CvaeOptions, PlayingOptions, StoreOptions, WeightsOptions
from evaluation.samples.sampling import draw_chances
from models import CVAE
from models.base import Decoded
from models.trained import Trained, load
from models.weight_files import hybrid_file, hybrid_path, pretrained_file

if TYPE_CHECKING:
    import pandas as pd

REMEDY = "train it with train_hybrid.py, or name weights with --checkpoint"


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


@dataclass(frozen=True)
class Subject(Evaluated):
    """A CVAE, in `trained`, and the windows that it is evaluated on."""

    windows: WindowSource
    options: CvaeOptions

    @property
    def cvae(self) -> nn.Module:
        return self.trained.model

    def noise(self) -> Tensor:
        """Standard normal noise for z of every window, (n_windows, size of z), independent of the batch size."""
        rng = rng_at("evaluation", self.options.seed)
        return torch.randn(len(self.windows), self.cvae.noise_size(self.seq_len), generator=rng)

    def decode_free(self, z: Tensor, genre: Tensor, index: Tensor) -> Decoded:
        """Decode z (B, size of z) of the windows at `index` without teacher forcing."""
        positions = [("feedback", self.options.seed, window) for window in index.tolist()]
        uniform = draw_chances(self.cvae, self.seq_len, self.options.playing, positions, z.device)
        return self.cvae.decode_free(z, genre, self.seq_len, uniform, self.options.playing)

    def by_window(self, values: Callable[[Tensor, Batch], dict[str, Tensor]]) -> dict[str, Tensor]:
        """`values(index, batch)` of all windows, batch by batch: float64 (n_windows, ...) on the CPU by name."""
        # Made at once: small results kept between the large tensors of the batches would scatter the memory, which grew
        # to gigabytes.
        every: dict[str, Tensor] = {}
        for index in tqdm(torch.arange(len(self.windows)).split(self.options.batch_size), "windows"):
            for name, value in values(index, self.windows.batch(index)).items():
                if name not in every:
                    every[name] = torch.empty(len(self.windows), *value.shape[1:], dtype=torch.float64)
                every[name][index] = value.double().cpu()
        return every

    def table(self, **values: Tensor) -> "pd.DataFrame":
        """A row for each window: `values`, (n_windows,) each, and the column genre_id."""
        import pandas as pd

        return pd.DataFrame({**values, "genre_id": self.windows.genre_on_host.numpy()})


def open_subjects(options: CvaeOptions) -> Iterator[Subject]:
    """Yield each CVAE of `open_weights`, with the windows of the split. Raises as `open_weights` and `open_windows`."""
    store, device = RollStore.open(options.store), select_device(options.device)
    for name, trained in open_weights(options, store, (CVAE.kind,), (CVAE.kind,)):
        windows = open_windows(options, store, trained.seq_len, device)
        trained.model.to(device)
        yield Subject(trained, evaluation_facts(trained, store, options, name), windows, options)


def open_windows(
    options: StoreOptions, store: RollStore, seq_len: int, device: torch.device | str = "cpu"
) -> WindowSource:
    """Windows of the options' split. Raises `UserError` if there are none."""
    return windows_of(store, options.split, seq_len, device)


def windows_of(store: RollStore, split: str, seq_len: int, device: torch.device | str) -> WindowSource:
    """Windows of a split. Raises `UserError` if there are none."""
    windows = WindowSource(store, split, seq_len, device)
    if not len(windows):
        raise UserError(f"{store.folder}: no {split} window of {seq_len} frames")
    return windows


def open_weights(
    options: WeightsOptions, store: RollStore, kinds: Sequence[str], readable: tuple[str, ...]
) -> Iterator[tuple[str, Trained]]:
    """Load weights one after another: folder by folder, T by T, kind by kind.

    Yields each with its name for the user: the folder, or `checkpoint`, as given, and the network. `checkpoint` may
    hold any of the `readable` kinds. Raises `UserError` if there are no weights, `CheckpointError` if some cannot be
    used or do not fit the store.
    """
    prepare_process(select_device(options.device), keep_memory=False)
    wanted = [(kind, seq_len) for seq_len in options.seq_lens for kind in kinds]
    folders = dict.fromkeys(options.checkpoints)
    places = [(folder, hybrid_path(folder, *each), each[1]) for folder in folders for each in wanted]
    places = [place for place in places if place[1].exists()]
    if options.checkpoint:
        places = [(options.checkpoint, options.checkpoint, None)]
    if not places:
        files = ", ".join(hybrid_file(*each) for each in wanted)
        earlier = [path for folder in folders for kind in kinds if (path := folder / pretrained_file(kind)).exists()]
        remedy = f"{REMEDY} {earlier[0]}" if earlier else REMEDY
        raise UserError(f"{', '.join(map(str, folders))}: no {' or '.join(kinds)} there ({files}); {remedy}")
    checked = {"store": store, "allow_other_songs": options.allow_other_songs}
    for given, path, seq_len in places:
        trained = load(path, readable, REMEDY, seq_len=seq_len, **checked)
        yield f"{given}: {trained.model.kind} ({trained.model.network})", trained


def weights_facts(trained: Trained | None) -> dict[str, str | None]:
    return {
        "checkpoint": trained and trained.path.as_posix(),
        "checkpoint_sha256": trained and trained.sha256,
        "trained_on": trained and trained.facts["trained_on"],
        "labels": trained and trained.facts["labels"],
    }


def evaluation_facts(trained: Trained, store: RollStore, options: WeightsOptions, origin: str) -> dict[str, Any]:
    """Facts for a result row: protocol, playing (None for options that the network does not use), weights, music.

    The labels are those of the store, also for weights that were trained with shuffled ones (`labels`).
    """
    used, playing = trained.model.plays_by, options.playing._asdict() if isinstance(options, PlayingOptions) else {}
    return {
        "T": trained.seq_len,
        "origin": origin,
        "split": options.split,
        "seed": options.seed,
        **{name: value if name in used else None for name, value in playing.items() if name != "threshold"},
        **weights_facts(trained),
        "condition": trained.condition,
        **store.label_facts(),
        "store_content": store.content_hash,
    }
