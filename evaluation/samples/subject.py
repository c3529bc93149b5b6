"""A CVAE and the windows that it is evaluated on."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm import tqdm

from common.device import select_device
from common.errors import UserError
from common.options import option
from common.randomness import rng_at
from data.store import RollStore
from data.windows import Batch, WindowSource
from evaluation.samples.evaluated import Evaluated, WeightsOptions, evaluation_facts, open_weights
from evaluation.samples.sampling import draw_chances
from models import CVAE
from models.playing import Decoded


@dataclass(frozen=True)
class CvaeOptions(WeightsOptions):
    """Options that the evaluations of the CVAE share."""

    batch_size: int = option(512, "windows at a time; does not change the results", minimum=1, maximum=1_000_000)


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

    def by_window(
        self, values: Callable[[Tensor, Batch], dict[str, Tensor]], *, progress: bool = True
    ) -> dict[str, Tensor]:
        """`values(index, batch)` of all windows, batch by batch: float64 (n_windows, ...) on the CPU by name."""
        parts: dict[str, list[Tensor]] = {}
        batches = torch.arange(len(self.windows)).split(self.options.batch_size)
        for index in tqdm(batches, "windows", disable=not progress):
            for name, value in values(index, self.windows.batch(index)).items():
                parts.setdefault(name, []).append(value.cpu())
        return {name: torch.cat(part).double() for name, part in parts.items()}

    def table(self, **values: Tensor) -> pd.DataFrame:
        """A row for each window: `values`, (n_windows,) each, and the column genre_id."""
        return pd.DataFrame({**values, "genre_id": self.windows.genre_on_host.numpy()})


def open_subjects(options: CvaeOptions) -> Iterator[Subject]:
    """Yield each CVAE of `open_weights` with the windows of the split.

    Raises `UserError` if there are no weights or no windows, `CheckpointError` if weights do not fit the store.
    """
    store, device = RollStore.open(options.store), select_device(options.device)
    for given, trained in open_weights(options, store, (CVAE.kind,), (CVAE.kind,)):
        windows = WindowSource(store, options.split, trained.seq_len, device)
        if not len(windows):
            raise UserError(f"{options.store}: no {options.split} window of {trained.seq_len} frames")
        trained.model.to(device)
        origin = f"{given}: {trained.model.kind} ({trained.model.network})"
        yield Subject(trained, evaluation_facts(trained, store, options, origin), windows, options)
