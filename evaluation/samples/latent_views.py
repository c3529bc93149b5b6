"""Windows whose latents are drawn, several views of these latents, and the separation of genres in each view."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from common.randomness import rng_at
from data.windows import WindowSource
from evaluation.statistics.separation import measure_separation
from evaluation.tables import BASELINE, LABEL, Column, ResultTable, of_all
from models.trained import Trained

MEAN, WITHHELD, SAMPLE = "mean", "mean, genre withheld", "sample"

LATENT_TABLE = ResultTable(
    "latent-T{T}.csv",
    "-m programs.latent_plots",
    (
        Column("space", "space", LABEL),
        Column("view", "view", LABEL),
        Column("dimensions", "dimensions"),
        Column("n", "windows"),
        Column("silhouette", "silhouette"),
        Column("kNN_other_songs", "k-NN, other songs"),
        Column("kNN_other_songs_floor", "shuffled", BASELINE),
        Column("kNN_any_song", "k-NN, any song"),
        Column("kNN_any_song_floor", "shuffled", BASELINE),
        Column("chance", "chance", BASELINE),
        Column("majority", "majority", BASELINE),
    ),
)


@dataclass(frozen=True)
class WindowSample:
    """Windows at the places `index` of `windows`, their genres and songs; all int64 (n,) on the CPU.

    `facts` go into every result row.
    """

    windows: WindowSource
    index: Tensor
    genre: Tensor
    song: Tensor
    seed: int
    facts: dict[str, Any]

    def rolls(self) -> Tensor:
        """The flattened piano rolls, float32 (n, 128 T)."""
        return self.windows.rolls(self.index).cpu().flatten(1)

    def measure(
        self, space: str, view: str, points: Tensor, neighbors: int, trained: Trained | None = None
    ) -> pd.DataFrame:
        """A row for each genre and one for all, for a view (n, D) of a space; see `measure_separation`."""
        names = self.windows.store.genres
        frame = measure_separation(points, self.genre, self.song, names, neighbors=neighbors, seed=self.seed)
        weights = {
            "checkpoint": trained and trained.path.as_posix(),
            "checkpoint_sha256": trained and trained.sha256,
            "trained_on": trained and trained.trained_on,
            "labels": trained and trained.labels,
        }
        place = {"space": space, "view": view, "dimensions": points.shape[1]}
        return pd.DataFrame(place, index=frame.index).join(frame).assign(neighbors=neighbors, **self.facts, **weights)


def draw_windows(windows: WindowSource, count: int, seed: int, *, balanced: bool) -> WindowSample:
    """At most `count` different windows, in random order.

    `balanced`: the same number of each genre that occurs; all windows of a genre that has fewer.
    """
    index = torch.randperm(len(windows), generator=rng_at("latent windows", seed, windows.seq_len))
    genre = windows.genre.cpu()[index]
    chosen = torch.arange(len(index)) < count
    if balanced:
        present = genre.unique()
        for genre_id in present:
            members = (genre == genre_id).nonzero()[:, 0]
            chosen[members] = torch.arange(len(members)) < count // len(present)
    index, genre = index[chosen], genre[chosen]
    number = genre.bincount()
    facts = {
        "chance": 1 / max(int((number > 0).sum()), 1),
        "majority": int(number.max()) / len(genre) if len(genre) else None,
        "T": windows.seq_len,
        "split": windows.split,
        "balanced": balanced,
        "seed": seed,
        "condition": windows.store.condition,
        "store_content": windows.store.content_hash,
    }
    return WindowSample(windows, index, genre, windows.song[index], seed, facts)


@torch.no_grad()
def latent_views(cvae: nn.Module, sample: WindowSample, batch_size: int) -> dict[str, Tensor]:
    """Three views of z of each window, float64 (n, latent) on the CPU; `cvae` is on the device of the windows.

    The posterior mean; a sample of the posterior, which is the generator's input; the mean with the genre withheld. The
    encoder adds a vector for the genre to the mean, so genres are apart in z even if the music is not. For the last
    view it gets one genre for all windows; distances do not depend on which one.
    """
    shape = len(sample.index), cvae.noise_size(sample.windows.seq_len)
    noise = torch.randn(shape, generator=rng_at("latent views", sample.seed))
    views: dict[str, list[Tensor]] = {MEAN: [], WITHHELD: [], SAMPLE: []}
    for index, noise_of_batch in zip(sample.index.split(batch_size), noise.split(batch_size), strict=True):
        batch = sample.windows.batch(index)
        posterior = cvae.encode(*batch)
        views[MEAN].append(posterior.mean)
        views[WITHHELD].append(cvae.encode(*batch._replace(genre=torch.zeros_like(batch.genre))).mean)
        views[SAMPLE].append(posterior.sample(noise_of_batch.to(batch.roll.device)))
    return {view: torch.cat(parts).cpu().double() for view, parts in views.items()}


def numbers(frame: pd.DataFrame) -> str:
    """The values over all genres of a view, for a title."""
    every = of_all(frame).iloc[0]
    silhouette = f"silhouette {every['silhouette']:.2f}"
    if pd.isna(every["kNN_other_songs"]):
        return silhouette
    found, floor = every["kNN_other_songs"], every["kNN_other_songs_floor"]
    return f"{every['neighbors']}-NN {found:.2f} (floor {floor:.2f}), {silhouette}"
