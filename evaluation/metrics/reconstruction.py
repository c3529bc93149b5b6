"""Reconstruction of windows: squared error and F1, with trivial baselines."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from common.randomness import rng_at
from data.windows import Batch, WindowSource
from evaluation.published import MSE, published_for
from evaluation.samples.subject import Subject
from evaluation.statistics.rolls import onsets, previous_frame
from evaluation.tables import BASELINE, LABEL, REPORTED, Column, ResultTable, by_genre
from models.playing import THRESHOLD

MSE_COLUMNS = (
    Column("origin", "model", LABEL),
    Column("genre_name", "{condition}", LABEL),
    Column("n", "windows"),
    Column("MSE_cvae_mean", "MSE"),
    Column("MSE_cvae_std", "±"),
    Column("reported", "reported", REPORTED),
    Column("MSE_zeros", "all zeros", BASELINE),
    Column("MSE_pitch_mean", "pitch mean", BASELINE),
    Column("MSE_previous_frame", "previous frame", BASELINE),
    Column("MSE_free", "MSE, free"),
    Column("frame_F1", "frame F1"),
    Column("frame_F1_shuffled", "another song", BASELINE),
    Column("onset_F1", "onset F1"),
    Column("onset_F1_shuffled", "another song", BASELINE),
)
MSE_TABLE = ResultTable("eval_mse-T{T}.csv", "eval_mse.py", MSE_COLUMNS)
MSE_LEAKING_TABLE = ResultTable("eval_mse_leaking-T{T}.csv", "eval_mse.py --leak-target", MSE_COLUMNS)


class Counts(NamedTuple):
    """Number of cells (or onsets) in both rolls, in the reconstruction and in the truth, (n_windows,) each."""

    hits: Tensor
    found: Tensor
    true: Tensor


def f1(hits: float, found: float, true: float) -> float:
    """F1 of counts, 2 hits / (found + true); 1 if both rolls are empty."""
    return 2 * hits / (found + true) if found + true else 1.0


def count(found: Tensor, true: Tensor) -> Counts:
    """Compare boolean rolls (B, 128, T)."""
    return Counts(*(cells.sum((1, 2)).float() for cells in (found & true, found, true)))


def baseline_errors(roll: Tensor, pitch_mean: Tensor) -> dict[str, Tensor]:
    """Mean squared errors (B,) of predictions without a model, for rolls (B, 128, T).

    All zeros; the true previous frame (zeros before the first); the mean of each pitch in the training data, (128,).
    """
    return {
        "MSE_zeros": roll.square().mean((1, 2)),
        "MSE_previous_frame": (previous_frame(roll) - roll).square().mean((1, 2)),
        "MSE_pitch_mean": (pitch_mean[None, :, None] - roll).square().mean((1, 2)),
    }


@torch.no_grad()
def measure_reconstruction(subject: Subject, *, leak_target: bool = False, progress: bool = True) -> pd.DataFrame:
    """A row for each genre and one for all, over every window of the split.

    MSE_cvae: squared error averaged over the roll, z sampled from the posterior, teacher-forced (`leak_target`: each
    frame is an input of its own prediction, as in the published code); NaN for a note decoder, which has no cell
    probabilities. MSE_free and F1: z is the posterior mean, without teacher forcing; MSE_free is of the probabilities,
    F1 of the roll. *_shuffled: the same reconstructions against a window of another song of the genre, which leaves
    style only; NaN if the genre has a single song in the split.
    """
    cvae, windows = subject.cvae, subject.windows
    pitch_mean = WindowSource(windows.store, "train", windows.seq_len, windows.device).pitch_rate()
    noise = subject.noise()
    partner = another_song(windows.genre_on_host, windows.song, subject.options.seed)

    def values_of(index: Tensor, batch: Batch) -> dict[str, Tensor]:
        posterior = cvae.encode(*batch)
        z = posterior.sample(noise[index].to(windows.device))
        forced = _forced(cvae, z, batch.genre, batch.roll, leak_target)
        free = subject.decode_free(posterior.mean, batch.genre, index)
        found, true = free.roll, batch.roll > THRESHOLD
        other = windows.rolls(partner[index].clamp(0)) > THRESHOLD
        counts = {
            "frame_F1": count(found, true),
            "onset_F1": count(onsets(found), onsets(true)),
            "frame_F1_shuffled": count(found, other),
            "onset_F1_shuffled": count(onsets(found), onsets(other)),
        }
        return {
            "MSE_cvae": (forced - batch.roll).square().mean((1, 2)),
            "MSE_free": (free.probability - batch.roll).square().mean((1, 2)),
            **baseline_errors(batch.roll, pitch_mean),
            **{f"{name} {side}": n for name, sides in counts.items() for side, n in sides._asdict().items()},
        }

    of_window = subject.table(**subject.by_window(values_of, progress=progress), has_partner=partner >= 0)
    frame = by_genre(of_window, subject.genres, _summary)
    frame["reported"] = frame["genre_name"].map(published_for(MSE, windows.seq_len, subject.genres)).astype(float)
    return frame.assign(**subject.facts)


def _forced(cvae: nn.Module, z: Tensor, genre: Tensor, roll: Tensor, leak_target: bool) -> Tensor:
    """Probability of every cell given the true previous frames, (B, 128, T); NaN if the decoder has none."""
    if not cvae.predicts_cells:
        return torch.full_like(roll, torch.nan)
    return torch.sigmoid(cvae.decode(z, genre, roll, leak_target=leak_target))


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    errors = ("MSE_free", "MSE_zeros", "MSE_previous_frame", "MSE_pitch_mean")
    paired = rows[rows["has_partner"]]
    return {
        "MSE_cvae_mean": rows["MSE_cvae"].mean(),
        "MSE_cvae_std": rows["MSE_cvae"].std(ddof=0),
        "n": len(rows),
        **rows[list(errors)].mean(),
        **{name: _f1(rows, name) for name in ("frame_F1", "onset_F1")},
        **{name: _f1(paired, name) for name in ("frame_F1_shuffled", "onset_F1_shuffled")},
    }


def _f1(rows: pd.DataFrame, name: str) -> float:
    """F1 over all cells of the windows; NaN without windows."""
    if rows.empty:
        return np.nan
    return f1(*(rows[f"{name} {side}"].sum() for side in Counts._fields))


def another_song(genre: Tensor, song: Tensor, seed: int) -> Tensor:
    """For each window a random window of another song of its genre, int64 (n,); -1 if the genre has a single song.

    `genre` and `song` are int64 (n,). All windows of the other songs are equally likely.
    """
    rng = rng_at("another song", seed)
    partner = torch.full_like(song, -1)
    for value in genre.unique():
        members = (genre == value).nonzero()[:, 0]
        members = members[torch.argsort(song[members], stable=True)]
        _, place, count = torch.unique_consecutive(song[members], return_inverse=True, return_counts=True)
        if len(count) < 2:
            continue
        # Start after the windows of the same song, and step round the circle of all others.
        after_own = count.cumsum(0)[place]
        step = (torch.rand(len(members), generator=rng) * (len(members) - count[place])).long()
        partner[members] = members[(after_own + step) % len(members)]
    return partner
