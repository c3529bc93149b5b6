"""How well windows are reconstructed: squared error and F1, beside what needs no model at all."""

from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from common.randomness import generator_at
from data.windows import WindowSource
from evaluation.samples.subject import Subject
from evaluation.statistics.rolls import onsets, previous_frame
from evaluation.tables import Row, genre_masks
from models.cvae import THRESHOLD


class Counts(NamedTuple):
    """Cells (or onsets) that are in both rolls, in the reconstruction, and in the truth, (n_windows,) each."""

    hits: Tensor
    found: Tensor
    true: Tensor

    def f1(self, mask: Tensor) -> float:
        """F1 over all cells of the windows in `mask`, 2 hits / (found + true); 1 where both rolls are empty."""
        hits, both = float(self.hits[mask].sum()), float((self.found + self.true)[mask].sum())
        return 2 * hits / both if both else 1.0


def count(found: Tensor, true: Tensor) -> Counts:
    """Compare boolean rolls (B, 128, T)."""
    return Counts(*(cells.sum((1, 2)).float() for cells in (found & true, found, true)))


def baseline_errors(roll: Tensor, pitch_mean: Tensor) -> dict[str, Tensor]:
    """Mean squared error (B,) of predictions that need no model, for rolls (B, 128, T).

    All zeros; the true frame before (zeros before the first); the training data's mean (128,) of each pitch.
    """
    return {
        "MSE_zeros": roll.square().mean((1, 2)),
        "MSE_previous_frame": (previous_frame(roll) - roll).square().mean((1, 2)),
        "MSE_pitch_mean": (pitch_mean[None, :, None] - roll).square().mean((1, 2)),
    }


@torch.no_grad()
def measure_reconstruction(
    subject: Subject, *, seed: int, batch_size: int, leak_target: bool = False, progress: bool = True
) -> list[Row]:
    """One row for each genre and one for all, over every window of the split.

    MSE_cvae: squared error averaged over the roll, z sampled from the encoder, teacher-forced (`leak_target` shows each
    frame to its own prediction, as the published code does). MSE_free and the F1s: z is the posterior mean and
    the decoder runs on its own output, thresholded at 0.5 for F1. The shuffled F1s compare the same reconstructions
    with a window of another song of the genre: what is left then is style, not reconstruction. They are None where a
    genre has a single song in the split.
    """
    cvae, windows = subject.cvae, subject.windows
    pitch_mean = WindowSource(windows.store, "train", windows.seq_len, windows.device).pitch_rate()
    noise = subject.noise(seed)
    partner = another_song(windows.genre.cpu(), windows.song, seed)
    errors: dict[str, list[Tensor]] = {}
    counts: dict[str, list[Counts]] = {}
    for index in tqdm(torch.arange(len(windows)).split(batch_size), "windows", disable=not progress):
        batch = windows.batch(index)
        posterior = cvae.encode(*batch)
        z = posterior.sample(noise[index].to(windows.device))
        forced = torch.sigmoid(cvae.decode(z, batch.genre, batch.roll, leak_target=leak_target))
        free = cvae.decode_free(posterior.mean, batch.genre, windows.seq_len)
        found, true = free > THRESHOLD, batch.roll > THRESHOLD
        other = windows.rolls(partner[index].clamp(0)) > THRESHOLD
        now = {
            "MSE_cvae": (forced - batch.roll).square().mean((1, 2)),
            "MSE_free": (free - batch.roll).square().mean((1, 2)),
            **baseline_errors(batch.roll, pitch_mean),
        }
        for name, value in now.items():
            errors.setdefault(name, []).append(value.cpu())
        compared = {
            "frame_F1": (found, true),
            "onset_F1": (onsets(found), onsets(true)),
            "frame_F1_shuffled": (found, other),
            "onset_F1_shuffled": (onsets(found), onsets(other)),
        }
        for name, pair in compared.items():
            counts.setdefault(name, []).append(Counts(*(field.cpu() for field in count(*pair))))
    all_errors = {name: torch.cat(values).double() for name, values in errors.items()}
    all_counts = {name: Counts(*map(torch.cat, zip(*values, strict=True))) for name, values in counts.items()}
    return [
        _row(genre_id, name, mask, mask & (partner >= 0), all_errors, all_counts) | subject.facts
        for genre_id, name, mask in genre_masks(windows.genre.cpu(), windows.store.genres)
    ]


def another_song(genre: Tensor, song: Tensor, seed: int) -> Tensor:
    """For each window, a window of another song of the same genre, int64 (n,); -1 where the genre has one song.

    `genre` and `song` are int64 (n,). Each window is drawn from all those of the other songs alike.
    """
    generator = generator_at("another song", seed)
    partner = torch.full_like(song, -1)
    for value in genre.unique():
        members = (genre == value).nonzero()[:, 0]
        members = members[torch.argsort(song[members], stable=True)]
        _, place, count = torch.unique_consecutive(song[members], return_inverse=True, return_counts=True)
        if len(count) < 2:
            continue
        # Behind the windows of the own song, round the circle of all others.
        after_own = count.cumsum(0)[place]
        step = (torch.rand(len(members), generator=generator) * (len(members) - count[place])).long()
        partner[members] = members[(after_own + step) % len(members)]
    return partner


def _row(
    genre_id: int, name: str, mask: Tensor, paired: Tensor, errors: dict[str, Tensor], counts: dict[str, Counts]
) -> Row:
    def f1(key: str) -> float | None:
        chosen = paired if key.endswith("_shuffled") else mask
        return counts[key].f1(chosen) if chosen.any() else None

    cvae = errors["MSE_cvae"][mask]
    others = {key: float(value[mask].mean()) for key, value in errors.items() if key != "MSE_cvae"}
    return {
        "genre_id": genre_id,
        "MSE_cvae_mean": float(cvae.mean()),
        "MSE_cvae_std": float(cvae.std(correction=0)),
        "n": int(mask.sum()),
        "genre": name,
        **others,
        **{key: f1(key) for key in counts},
    }
