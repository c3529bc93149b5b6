"""How far genres lie apart in a space of windows: silhouette, and the genre of the nearest neighbours.

Windows of one song are alike whatever its genre, so a window's nearest neighbours are often of its own song, and
neighbours of any song find the genre even where it was given to the songs at random. Hence two more numbers beside that
one: neighbours of other songs alone, and the same with the genres shuffled among the songs (the floor).
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
    """What the distances between n windows say, for k neighbours.

    `any_song` and `other_songs`: the nearest windows, and the nearest of other songs, int64 (n, k), nearest first.
    `silhouette` float64 (n,).
    """

    any_song: Tensor
    other_songs: Tensor
    silhouette: Tensor


def find_neighbourhoods(points: Tensor, genre: Tensor, song: Tensor, k: int) -> Neighbourhoods:
    """Compare n windows `points` (n, D) with Euclidean distance; `genre` and `song` are int64 (n,).

    Computed in the dtype of `points` from inner products: float32 is exact for cells of 0 and 1, other points should be
    float64. Silhouette of a window (Rousseeuw 1987): (b - a) / max(a, b), a being its mean distance to the others of
    its genre, b that to the nearest other genre; 0 for the only window of a genre. Raises `UserError` for a single
    genre, or where a window has fewer than k windows of other songs.
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
        own = torch.arange(len(index)), index  # where a window meets itself
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
    """Silhouette float64 (B,) of windows of genre `own` (B,) from their summed distances (B, genres) to each genre."""
    is_own = torch.nn.functional.one_hot(own, len(count)).bool()
    within = total[is_own] / (count[own] - 1)
    between = (total / count).masked_fill(is_own, torch.inf).amin(1)
    return torch.nan_to_num((between - within) / torch.maximum(between, within))  # 0 / 0: alone, or all in one place


def vote(genre: Tensor, neighbours: Tensor) -> Tensor:
    """The most frequent genre among each window's neighbours (n, k), nearest first, int64 (n,).

    Of equally frequent genres that whose neighbours are nearer, by the sum of their ranks.
    """
    k = neighbours.shape[1]
    weight = 1 + torch.arange(k, 0, -1, dtype=torch.float64) / (k + 1) ** 2  # all the extras together are below 1
    votes = torch.zeros(len(genre), int(genre.max()) + 1, dtype=torch.float64)
    return votes.scatter_add_(1, genre[neighbours], weight.expand(len(genre), k)).argmax(1)


def measure_separation(
    points: Tensor,
    genre: Tensor,
    song: Tensor,
    names: Sequence[str],
    *,
    neighbors: int,
    seed: int,
) -> pd.DataFrame:
    """One row for each genre that occurs and one for all; arguments and errors as in `find_neighbourhoods`.

    Of a genre: its mean silhouette and the share of its windows whose neighbours vote for it. Of all: the mean
    silhouette over windows, and the mean of the genres' shares (balanced accuracy; 1 / genres by chance). The floors
    are means over `SHUFFLES` shuffles of the genres among the songs. A genre with a single song cannot be found among
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
        of_window,
        names,
        lambda rows: {"n": len(rows), "n_songs": rows["song"].nunique(), "silhouette": rows["silhouette"].mean()},
    )
    shares = {
        "kNN_other_songs": found_shares([genre], found.other_songs),
        "kNN_other_songs_floor": found_shares(shuffled, found.other_songs),
        "kNN_any_song": found_shares([genre], found.any_song),
        "kNN_any_song_floor": found_shares(shuffled, found.any_song),
    }
    for column, share in shares.items():
        frame[column] = frame["genre_id"].map(share)
    lonely = (genre_of_song.bincount() == 1).nonzero()[:, 0].tolist()
    unknown = frame["genre_id"].isin([*lonely, ALL_ID]) if lonely else np.zeros(len(frame), bool)
    frame.loc[unknown, ["kNN_other_songs", "kNN_other_songs_floor"]] = np.nan
    return frame


def found_shares(labelings: Sequence[Tensor], neighbours: Tensor) -> dict[int, float]:
    """Share of each genre's windows whose neighbours vote for it, and of all (-1) the mean of these.

    Means over `labelings`, each a genre for every window, int64 (n,), with the same genres in all.
    """
    genres = labelings[0].unique().tolist()
    right = [(labels, vote(labels, neighbours) == labels) for labels in labelings]
    shares = {
        genre_id: sum(float(hit[labels == genre_id].double().mean()) for labels, hit in right) / len(right)
        for genre_id in genres
    }
    return {**shares, ALL_ID: sum(shares.values()) / len(genres)}
