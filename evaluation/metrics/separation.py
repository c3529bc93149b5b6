"""Separation of genres in a space of windows, such as latents: silhouette, and k-nearest-neighbour accuracy.

Windows of one song are alike, so neighbours of any song predict the genre even if genres were assigned to the songs at
random. We therefore also measure with neighbours of other songs only, and with genres shuffled among the songs (floor).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.errors import UserError
from common.randomness import rng_at
from data.windows import WindowSource
from evaluation.options import MEAN, SAMPLE
from evaluation.samples.evaluated import weights_facts
from evaluation.tables import ALL_ID, BASELINE, LABEL, OURS, ResultTable, by_genre, columns
from models.trained import Trained

WITHHELD = "mean, genre withheld"
SHUFFLES = 20
_BLOCK = 500

LATENT_TABLE = ResultTable(
    "latent-T{T}.csv",
    "-m programs.latent_plots",
    (
        *columns(LABEL, space="space", view="view"),
        *columns(OURS, dimensions="dimensions", n="windows", silhouette="silhouette"),
        *columns(OURS, kNN_other_songs="k-NN, other songs"),
        *columns(BASELINE, kNN_other_songs_floor="shuffled"),
        *columns(OURS, kNN_any_song="k-NN, any song"),
        *columns(BASELINE, kNN_any_song_floor="shuffled", chance="chance", majority="majority"),
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

    def measure(
        self, space: str, view: str, points: Tensor, neighbors: int, trained: Trained | None = None
    ) -> pd.DataFrame:
        """A row for each genre and one for all, for a view (n, D) of a space; see `measure_separation`."""
        names = self.windows.store.genres
        frame = measure_separation(points, self.genre, self.song, names, neighbors=neighbors, seed=self.seed)
        place = {"space": space, "view": view, "dimensions": points.shape[1]}
        facts = {"neighbors": neighbors, **self.facts, **weights_facts(trained)}
        return pd.DataFrame(place, index=frame.index).join(frame).assign(**facts)


def draw_windows(windows: WindowSource, count: int, seed: int, *, balanced: bool) -> WindowSample:
    """At most `count` different windows, in random order.

    `balanced`: the same number of each genre that occurs; all windows of a genre that has fewer.
    """
    index = torch.randperm(len(windows), generator=rng_at("latent windows", seed, windows.seq_len))
    genre = windows.genre.cpu()[index]
    chosen = torch.arange(len(index)) < count
    if balanced:
        rank = pd.Series(genre).groupby(genre.numpy()).cumcount()  # among the windows of its genre
        chosen = torch.tensor((rank < count // max(len(genre.unique()), 1)).to_numpy())
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


def find_neighbourhoods(points: Tensor, genre: Tensor, song: Tensor, k: int) -> list[Tensor]:
    """Compare n windows `points` (n, D) by Euclidean distance; `genre` and `song` are int64 (n,).

    Returns the k nearest of any song and of other songs, int64 (n, k), nearest first, and silhouettes (n,). Computed in
    the dtype of `points` from inner products: float32 is exact for cells of 0 and 1, other points should be float64.
    Silhouette (Rousseeuw 1987): (b - a) / max(a, b), where a is the mean distance to the windows of the same genre and
    b that to the nearest other genre; 0 for the only window of a genre. Raises `UserError` for a single genre, or if a
    window has fewer than k windows of other songs.
    """
    present, place, count = genre.unique(return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise UserError("all windows are of one genre; show more windows, or a store with at least two genres")
    others = len(points) - int(song.unique(return_counts=True)[1].max())
    if others < k:
        raise UserError(f"{k} neighbours: a window has only {others} of other songs; show more windows")
    members = F.one_hot(place).to(points.dtype)  # (n, genres)
    square = points.square().sum(1)
    blocks = []
    for index in torch.arange(len(points)).split(_BLOCK):
        own = torch.arange(len(index)), index  # the distance of a window to itself
        squared = torch.addmm(square, points[index], points.t(), alpha=-2)
        squared = squared.add_(square[index, None]).clamp_min_(0)
        squared[own] = 0
        total = (squared.sqrt() @ members).double()  # distances to each genre, (B, genres)
        is_own = members[index].bool()
        within = total[is_own] / (count[place[index]] - 1)
        between = (total / count).masked_fill(is_own, torch.inf).amin(1)
        # 0 / 0: alone in the genre, or all windows in one place.
        silhouette = torch.nan_to_num((between - within) / torch.maximum(between, within))
        squared[own] = torch.inf
        any_song = squared.topk(k, largest=False).indices
        squared[song[index, None] == song] = torch.inf
        other_songs = squared.topk(k, largest=False).indices
        blocks.append((any_song, other_songs, silhouette))
    return [torch.cat(parts) for parts in zip(*blocks, strict=True)]


def vote(genre: Tensor, neighbours: Tensor) -> Tensor:
    """The most frequent genre among each window's neighbours (n, k), nearest first, int64 (n,).

    Ties go to the genre with nearer neighbours, by the sum of their ranks.
    """
    k = neighbours.shape[1]
    weight = 1 + torch.arange(k, 0, -1, dtype=torch.float64) / (k + 1) ** 2  # the sum of all extras is below 1
    votes = torch.zeros(len(genre), int(genre.max()) + 1, dtype=torch.float64)
    return votes.scatter_add_(1, genre[neighbours], weight.expand(len(genre), k)).argmax(1)


def measure_separation(
    points: Tensor, genre: Tensor, song: Tensor, names: Sequence[str], *, neighbors: int, seed: int
) -> pd.DataFrame:
    """A row for each genre that occurs and one for all; arguments and errors as in `find_neighbourhoods`.

    kNN_*: share of a genre's windows that their neighbours vote for; for all, the mean over genres (balanced accuracy).
    *_floor: means over `SHUFFLES` shuffles of the genres among the songs. A genre of a single song has no neighbours of
    other songs: NaN, for it and for all.
    """
    any_song, other_songs, silhouette = find_neighbourhoods(points, genre, song, neighbors)
    songs, song_place = song.unique(return_inverse=True)
    genre_of_song = torch.empty_like(songs).index_put_((song_place,), genre)
    shuffled = [
        genre_of_song[torch.randperm(len(songs), generator=rng_at("shuffled genres", seed, number))][song_place]
        for number in range(SHUFFLES)
    ]
    of_window = pd.DataFrame({"genre_id": genre, "song": song, "silhouette": silhouette})
    frame = by_genre(of_window, names, lambda rows: {"n": len(rows), "n_songs": rows["song"].nunique(),
                                                     "silhouette": rows["silhouette"].mean()})  # fmt: skip
    for column, neighbours in (("kNN_other_songs", other_songs), ("kNN_any_song", any_song)):
        frame[column] = frame["genre_id"].map(found_shares([genre], neighbours))
        frame[f"{column}_floor"] = frame["genre_id"].map(found_shares(shuffled, neighbours))
    alone = frame["n_songs"] == 1
    if alone.any():
        frame.loc[alone | (frame["genre_id"] == ALL_ID), ["kNN_other_songs", "kNN_other_songs_floor"]] = np.nan
    return frame


def found_shares(labelings: Sequence[Tensor], neighbours: Tensor) -> dict[int, float]:
    """Share of each genre's windows that their neighbours vote for, and for all (-1) the mean over genres.

    Means over `labelings`: genres of all windows, int64 (n,) each, with the same genres in all.
    """
    present, counts = labelings[0].unique(return_counts=True)
    found = [genre[vote(genre, neighbours) == genre].bincount(minlength=int(present.max()) + 1) for genre in labelings]
    shares = [each[present].double() / counts for each in found]
    by_genre = (sum(shares) / len(shares)).tolist()
    return {**dict(zip(present.tolist(), by_genre, strict=True)), ALL_ID: sum(by_genre) / len(by_genre)}
