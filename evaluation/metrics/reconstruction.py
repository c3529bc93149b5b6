"""Reconstruction of windows: squared error and F1, with trivial baselines."""

from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from common.randomness import rng_at
from data.windows import Batch, WindowSource
from evaluation.published import MSE, published_for
from evaluation.samples.evaluated import Subject
from evaluation.statistics.features import count, f1, onsets, previous_frame
from evaluation.tables import BASELINE, LABEL, OURS, REPORTED, ResultTable, by_genre, columns
from models.playing import THRESHOLD

MSE_COLUMNS = (
    *columns(LABEL, origin="model", genre_name="{condition}"),
    *columns(OURS, n="windows", MSE_cvae_mean="MSE", MSE_cvae_std="±"),
    *columns(REPORTED, reported="reported"),
    *columns(BASELINE, MSE_zeros="all zeros", MSE_pitch_mean="pitch mean", MSE_previous_frame="previous frame"),
    *columns(OURS, MSE_free="MSE, free", frame_F1="frame F1"),
    *columns(BASELINE, frame_F1_shuffled="another song"),
    *columns(OURS, onset_F1="onset F1"),
    *columns(BASELINE, onset_F1_shuffled="another song"),
)
MSE_TABLE = ResultTable("eval_mse-T{T}.csv", "eval_mse.py", MSE_COLUMNS)
MSE_LEAKING_TABLE = ResultTable("eval_mse_leaking-T{T}.csv", "eval_mse.py --leak-target", MSE_COLUMNS)


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
def measure_reconstruction(subject: Subject, *, leak_target: bool = False) -> pd.DataFrame:
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
        forced = torch.full_like(batch.roll, torch.nan)
        if cvae.predicts_cells:
            forced = torch.sigmoid(cvae.decode(z, batch.genre, batch.roll, leak_target=leak_target))
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
            **{f"{name} {side}": n for name, sides in counts.items() for side, n in enumerate(sides)},
        }

    of_window = subject.table(**subject.by_window(values_of), has_partner=partner >= 0)
    frame = by_genre(of_window, subject.genres, _summary)
    frame["reported"] = frame["genre_name"].map(published_for(MSE, windows.seq_len, subject.genres)).astype(float)
    return frame.assign(**subject.facts)


def _summary(rows: pd.DataFrame) -> dict[str, Any]:
    errors = ["MSE_free", "MSE_zeros", "MSE_previous_frame", "MSE_pitch_mean"]
    row = {
        "MSE_cvae_mean": rows["MSE_cvae"].mean(),
        "MSE_cvae_std": rows["MSE_cvae"].std(ddof=0),
        "n": len(rows),
        **rows[errors].mean(),
    }
    for suffix, compared in (("", rows), ("_shuffled", rows[rows["has_partner"]])):
        for name in ("frame_F1", "onset_F1"):
            counts = [compared[f"{name}{suffix} {side}"].sum() for side in range(3)]
            row[f"{name}{suffix}"] = f1(*counts) if len(compared) else np.nan
    return row


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
