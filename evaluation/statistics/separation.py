"""Separation of genres in a space of windows: silhouette, and k-nearest-neighbour accuracy.

Windows of one song are alike, so neighbours of any song predict the genre even if genres were assigned to the songs at
random. We therefore also measure with neighbours of other songs only, and with genres shuffled among the songs (floor).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.errors import UserError
from common.randomness import rng_at
from evaluation.tables import ALL_ID, by_genre

SHUFFLES = 20
_BLOCK = 500


class Neighbourhoods(NamedTuple):
    """Of n windows: the k nearest of any song and of other songs, int64 (n, k), nearest first; silhouettes (n,)."""

    any_song: Tensor
    other_songs: Tensor
    silhouette: Tensor


def find_neighbourhoods(points: Tensor, genre: Tensor, song: Tensor, k: int) -> Neighbourhoods:
    """Compare n windows `points` (n, D) by Euclidean distance; `genre` and `song` are int64 (n,).

    Computed in the dtype of `points` from inner products: float32 is exact for cells of 0 and 1, other points should be
    float64. Silhouette (Rousseeuw 1987): (b - a) / max(a, b), where a is the mean distance to the windows of the same
    genre and b that to the nearest other genre; 0 for the only window of a genre. Raises `UserError` for a single
    genre, or if a window has fewer than k windows of other songs.
    """
    present, place, count = genre.unique(return_inverse=True, return_counts=True)
    if len(present) < 2:
        raise UserError("all windows are of one genre; show more windows, or a store with at least two genres")
    others = len(points) - int(song.unique(return_counts=True)[1].max())
    if others < k:
        raise UserError(f"{k} neighbours: a window has only {others} of other songs; show more windows")
    members = torch.nn.functional.one_hot(place).to(points.dtype)  # (n, genres)
    square = points.square().sum(1)
    blocks: list[Neighbourhoods] = []
    for index in torch.arange(len(points)).split(_BLOCK):
        own = torch.arange(len(index)), index  # the distance of a window to itself
        squared = torch.addmm(square, points[index], points.t(), alpha=-2)
        squared = squared.add_(square[index, None]).clamp_min_(0)
        squared[own] = 0
        silhouette = _silhouette((squared.sqrt() @ members).double(), place[index], count)
        squared[own] = torch.inf
        any_song = squared.topk(k, largest=False).indices
        squared[song[index, None] == song] = torch.inf
        other_songs = squared.topk(k, largest=False).indices
        blocks.append(Neighbourhoods(any_song, other_songs, silhouette))
    return Neighbourhoods(*map(torch.cat, zip(*blocks, strict=True)))


def _silhouette(total: Tensor, own: Tensor, count: Tensor) -> Tensor:
    """Silhouette float64 (B,) of windows of genre `own` (B,) from their summed distances to each genre, (B, genres)."""
    is_own = torch.nn.functional.one_hot(own, len(count)).bool()
    within = total[is_own] / (count[own] - 1)
    between = (total / count).masked_fill(is_own, torch.inf).amin(1)
    return torch.nan_to_num((between - within) / torch.maximum(between, within))  # 0 / 0: alone, or all in one place


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
    found = find_neighbourhoods(points, genre, song, neighbors)
    songs, song_place = song.unique(return_inverse=True)
    genre_of_song = torch.empty_like(songs).index_put_((song_place,), genre)
    shuffled = [
        genre_of_song[torch.randperm(len(songs), generator=rng_at("shuffled genres", seed, number))][song_place]
        for number in range(SHUFFLES)
    ]
    of_window = pd.DataFrame({"genre_id": genre, "song": song, "silhouette": found.silhouette})
    frame = by_genre(
        of_window, names,
        lambda rows: {"n": len(rows), "n_songs": rows["song"].nunique(), "silhouette": rows["silhouette"].mean()},
    )  # fmt: skip
    for column, neighbours in (("kNN_other_songs", found.other_songs), ("kNN_any_song", found.any_song)):
        frame[column] = frame["genre_id"].map(found_shares([genre], neighbours))
        frame[f"{column}_floor"] = frame["genre_id"].map(found_shares(shuffled, neighbours))
    lonely = (genre_of_song.bincount() == 1).nonzero()[:, 0].tolist()
    unknown = frame["genre_id"].isin([*lonely, ALL_ID]) if lonely else np.zeros(len(frame), bool)
    frame.loc[unknown, ["kNN_other_songs", "kNN_other_songs_floor"]] = np.nan
    return frame


def found_shares(labelings: Sequence[Tensor], neighbours: Tensor) -> dict[int, float]:
    """Share of each genre's windows that their neighbours vote for, and for all (-1) the mean over genres.

    Means over `labelings`: genres of all windows, int64 (n,) each, with the same genres in all.
    """
    genres = labelings[0].unique().tolist()
    right = [(labels, vote(labels, neighbours) == labels) for labels in labelings]
    shares = {
        genre_id: sum(float(hit[labels == genre_id].double().mean()) for labels, hit in right) / len(right)
        for genre_id in genres
    }
    return {**shares, ALL_ID: sum(shares.values()) / len(genres)}
