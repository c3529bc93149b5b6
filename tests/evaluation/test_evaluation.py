"""The reconstruction and ELBO tables: known values, baselines, whole splits, files and refusals."""

import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from frames import records
from midi_files import roll_with

import eval_elbo
import eval_mse
from common import device
from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.elbo import FrameBaselines, measure_elbo
from evaluation.metrics.reconstruction import another_song, baseline_errors
from evaluation.published import ELBO, MSE, published_for
from evaluation.samples.evaluated import open_subjects
from evaluation.statistics.features import count, f1, onsets
from models.playing import FEEDBACK


def roll_of(*notes: tuple[int, int, int], frames: int = 8) -> torch.Tensor:
    return torch.from_numpy(roll_with(*notes, frames=frames))[None].float()


def test_baselines_of_a_known_roll() -> None:
    roll = roll_of((60, 0, 4), (64, 2, 8))
    rate = torch.zeros(128)
    rate[60] = 0.5
    errors = baseline_errors(roll, rate)
    cells = 128 * 8
    assert errors["MSE_zeros"].item() == pytest.approx(10 / cells)
    # Errors where a note begins or ends inside the window: 0 and 4 of one note, 2 of the other.
    assert errors["MSE_previous_frame"].item() == pytest.approx(3 / cells)
    assert errors["MSE_pitch_mean"].item() == pytest.approx((8 * 0.25 + 6) / cells)


def test_f1_of_known_rolls() -> None:
    true = roll_of((60, 0, 4), (64, 2, 8)) > 0
    found = roll_of((60, 0, 2), (64, 2, 8), (70, 0, 1)) > 0
    assert f1(*count(found, true)) == pytest.approx(2 * 8 / (9 + 10))
    assert onsets(true).nonzero().tolist() == [[0, 60, 0], [0, 64, 2]]
    assert f1(*count(onsets(found), onsets(true))) == pytest.approx(2 * 2 / (3 + 2))
    silence = torch.zeros_like(true)
    assert (f1(*count(silence, silence)), f1(*count(silence, true))) == (1, 0)


def test_baseline_code_lengths_follow_the_counts(tiny_store: Path) -> None:
    windows = WindowSource(RollStore.open(tiny_store), "train", 32)
    baselines = FrameBaselines.fit(windows.all_rolls(7))
    rolls = windows.rolls(torch.arange(len(windows))).double()
    before = torch.nn.functional.pad(rolls[:, :, :-1], (1, 0))
    rate = (rolls.sum((0, 2)) + 0.5) / (len(rolls) * 32 + 1)
    rate_after = ((rolls * before).sum((0, 2)) + 0.5) / (before.sum((0, 2)) + 1)
    torch.testing.assert_close(baselines.rate.double(), rate, rtol=1e-5, atol=0)
    torch.testing.assert_close(baselines.rate_after[1].double(), rate_after, rtol=1e-5, atol=0)
    nats = baselines.nats(rolls.float())
    expected = -torch.distributions.Bernoulli(rate[:, None].expand(128, 32)).log_prob(rolls[0]).sum()
    assert nats["pitch_mean"][0].item() == pytest.approx(expected.item(), rel=1e-4)
    # On the windows that were counted, the previous frame cannot increase the code length.
    assert nats["previous_frame"].sum() < nats["pitch_mean"].sum()


def test_mse_table_covers_the_whole_split(places: dict[str, object]) -> None:
    options = eval_mse.Options(**places)
    rows = records(eval_mse.eval_mse(options))
    (subject,) = open_subjects(options)
    assert all(row["onset_F1_shuffled"] is None for row in rows), "a genre has one test song here"
    assert rows[-1]["genre_id"] == -1 and rows[-1]["n"] == len(subject.windows) == sum(row["n"] for row in rows[:-1])
    mean = sum(row["n"] * row["MSE_cvae_mean"] for row in rows[:-1]) / rows[-1]["n"]
    assert rows[-1]["MSE_cvae_mean"] == pytest.approx(mean)
    written = pd.read_csv(options.metrics / "eval_mse-T32.csv")
    assert written["MSE_zeros"].iloc[-1] == pytest.approx(rows[-1]["MSE_zeros"], rel=1e-4)


def test_results_of_all_windows_take_no_memory_of_the_batches(
    places: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "keep_freed_memory", lambda: pytest.fail("scattered memory is kept"))
    (subject,) = open_subjects(eval_mse.Options(**places, batch_size=4))
    found = subject.by_window(lambda index, batch: {"index": index.float(), "roll": batch.roll})
    assert found["index"].tolist() == list(range(len(subject.windows)))
    rolls = torch.cat(list(subject.windows.all_rolls()))
    assert torch.equal(found["roll"], rolls.double()) and found["roll"].untyped_storage().nbytes() == 8 * rolls.numel()


def test_elbo_table(places: dict[str, object]) -> None:
    options = eval_elbo.Options(**places)
    rows = records(eval_elbo.eval_elbo(options))
    (subject,) = open_subjects(options)
    latents = records(measure_elbo(subject, beta=0.01)[1])
    every = rows[-1]
    assert every["ELBO_mean"] == pytest.approx(-(every["Recon_Loss_mean"] + 0.01 * every["KL_Div_mean"]))
    assert every["bits_per_cell"] == pytest.approx(-every["bernoulli_ELBO_nats"] / (128 * 32 * math.log(2)))
    assert sum(row["KL_nats"] for row in latents) == pytest.approx(every["KL_Div_mean"])
    assert len(latents) == subject.cvae.latent
    assert sum(row["active"] for row in latents) == every["active_units"]
    assert len(pd.read_csv(options.metrics / "eval_elbo_latents-T32.csv")) == subject.cvae.latent


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_recon_is_the_error_of_free_running_reconstructions(feedback: str, places: dict[str, object]) -> None:
    options = eval_elbo.Options(**places, seed=3, batch_size=4, feedback=feedback)
    (subject,) = open_subjects(options)
    cvae, windows = subject.cvae, subject.windows
    batch = windows.batch(torch.arange(len(windows)))
    z = cvae.encode(*batch).sample(subject.noise())
    free = subject.decode_free(z, batch.genre, torch.arange(len(windows))).probability
    expected = (free - batch.roll).square().sum((1, 2)).mean().item()
    rows = records(measure_elbo(subject, beta=0.01)[0])
    assert rows[-1]["Recon_Loss_mean"] == pytest.approx(expected, rel=1e-4)
    assert rows[-1]["feedback"] == feedback


def test_another_song_is_of_the_same_genre() -> None:
    genre = torch.tensor([0] * 7 + [1] * 4 + [2] * 3)
    song = torch.tensor([5, 5, 3, 3, 3, 8, 5, 1, 1, 1, 2, 9, 9, 9])
    drawn = torch.stack([another_song(genre, song, seed) for seed in range(60)])
    assert (drawn[:, genre == 2] == -1).all()
    for window in range(11):
        partners = set(drawn[:, window].tolist())
        others = (genre == genre[window]) & (song != song[window])
        assert partners == set(others.nonzero()[:, 0].tolist())
    assert torch.equal(another_song(genre, song, 3), drawn[3])


def test_published_values_are_shown_only_for_their_own_genres() -> None:
    assert published_for(MSE, 128, ["jazz", "pop"]) == MSE[128]
    assert published_for(ELBO, 64, ["jazz", "pop"]) == {}
    assert published_for(MSE, 128, ["chorale", "pop"]) == {}
