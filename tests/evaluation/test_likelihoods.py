"""Likelihoods of windows and songs under the genres, and probabilities from them."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Normal

from data.windows import Batch
from evaluation.metrics.calibration import cross_entropy, fit_tempering, reliability, songs_of
from evaluation.metrics.elbo import FrameBaselines
from evaluation.metrics.genre_likelihood import spread_windows
from evaluation.metrics.song_scores import BITS, Scoring, score_song
from evaluation.samples.sampling import sample_noise, window_noise
from models import LARGE, PAPER, build
from models.likelihoods import Tempering, genre_log_likelihoods, score_windows
from models.notes.notes import roll_to_notes
from models.trained import Trained

GENRES = ["slow", "fast"]
NO_WINDOW = torch.zeros(0, dtype=torch.int64)


def cvae_of(preset: str) -> torch.nn.Module:
    """A CVAE with all weights at odd values."""
    torch.manual_seed(0)
    sizes = {"hidden": 16, "depth": 1, "latent": 2} if preset == LARGE else {"hidden": 8, "latent": 4}
    model = build("cvae", preset, n_genres=2, **sizes).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


def rolls_of(n: int, n_frames: int, seed: int = 0) -> torch.Tensor:
    """Notes of several frames, float32 (n, 128, n_frames)."""
    rng = torch.Generator().manual_seed(seed)
    cells = (torch.rand(n, 128, n_frames // 4, generator=rng) < 0.02).float()
    return cells.repeat_interleave(4, dim=2)


def batch_of(rolls: torch.Tensor) -> Batch:
    return Batch(
        rolls, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), torch.zeros(len(rolls), dtype=torch.int64)
    )


@pytest.mark.parametrize("preset", [PAPER, LARGE])
def test_the_likelihood_of_each_genre_is_a_mean_of_importance_weights(preset: str) -> None:
    cvae, rolls = cvae_of(preset), rolls_of(3, 32)
    noise = window_noise([4, 0, 9], 3, cvae.noise_size(32), seed=1)
    assert torch.equal(noise[:, 1], sample_noise(0, 3, cvae.noise_size(32), 1, window=0)), "by the window's number"
    found = genre_log_likelihoods(cvae, noise, *batch_of(rolls)[:3])
    for genre_id in range(2):
        genre = torch.full((3,), genre_id)
        with torch.no_grad():
            mean, log_variance = cvae.encode(*batch_of(rolls)[:3], genre)
            posterior, weights = Normal(mean, (0.5 * log_variance).exp()), []
            for each in noise.float():
                z = mean + (0.5 * log_variance).exp() * each
                prior_mean, prior_log_variance = cvae.prior.moments_given(z, genre)
                prior = Normal(prior_mean, (0.5 * prior_log_variance).exp()).log_prob(z).sum(1)
                weights.append((-cvae.nll(z, genre, rolls) + prior - posterior.log_prob(z).sum(1)).double())
        largest = torch.stack(weights).amax(0)
        expected = largest + (torch.stack(weights) - largest).exp().mean(0).log()
        torch.testing.assert_close(found[:, genre_id], expected, rtol=1e-5, atol=0)
    assert (found[:, 0] - found[:, 1]).abs().min() > 1e-3


def test_bits_of_seconds_and_notes_are_those_of_the_window() -> None:
    cvae, rolls = cvae_of(LARGE), rolls_of(4, 64)
    noise, genre = window_noise(range(4), 3, cvae.noise_size(64), seed=0), torch.ones(4, dtype=torch.int64)
    score = score_windows(cvae, rolls, 1, noise)
    assert score.seconds.shape == (4, 4)
    likelihood = genre_log_likelihoods(cvae, noise, *batch_of(rolls)[:3])[:, 1]
    torch.testing.assert_close(score.seconds.sum(1), -likelihood, rtol=1e-5, atol=0)
    one = score_windows(cvae, rolls, 1, noise[:1])  # with a single z the notes are those of `nll`
    with torch.no_grad():
        posterior = cvae.encode(*batch_of(rolls)[:3], genre)
        z = posterior.sample(noise[0].float())
        choices, nll = cvae.choice_nll(z, genre, rolls), cvae.nll(z, genre, rolls)
    torch.testing.assert_close(choices.sum((1, 2)), nll)
    torch.testing.assert_close(one.notes.float(), choices[:, :-1].where(one.found.present()[..., None], 0))
    latents = (posterior.log_density(z) - cvae.prior.log_density(z, genre)).double()
    torch.testing.assert_close(one.seconds.sum(1), nll.double() + latents, rtol=1e-5, atol=1e-3)
    # A change in the third second leaves the notes before it as they were; only the choices up to it are compared.
    other = rolls.clone()
    other[:, 100, 40:44] = 1
    with torch.no_grad():
        changed = cvae.choice_nll(z, genre, other)
    for row, count in enumerate((roll_to_notes(rolls[:, :, :40]).onset < 40).sum(1).tolist()):
        early = min(count, int(roll_to_notes(rolls).count[row]))
        ends_before = roll_to_notes(rolls).onset[row, :early] + roll_to_notes(rolls).duration[row, :early] < 40
        assert torch.equal(choices[row, :early][ends_before], changed[row, :early][ends_before])
        assert not torch.equal(choices[row].sum(), changed[row].sum())


def scoring_of(cvae: torch.nn.Module, **changes: object) -> Scoring:
    facts = {"genres": GENRES, "condition": "genre", "frames_per_second": 16}
    return Scoring(**{"trained": Trained(None, cvae, facts, "", 64), "tempering": Tempering(5, 0.5), "samples": 2,
                      **changes})  # fmt: skip


@pytest.mark.parametrize("n_frames", [16, 61, 64, 100, 200])
def test_scores_of_a_song(n_frames: int) -> None:
    """Totals are those of its windows of four seconds, each on its own."""
    cvae, roll = cvae_of(LARGE), rolls_of(1, 400)[0, :, :n_frames].numpy() > 0
    roll[60, :2] = True
    genres, curve, notes = score_song(scoring_of(cvae), roll, roll)
    n_seconds = -(-n_frames // 16)
    padded = torch.from_numpy(np.pad(roll, ((0, 0), (0, 16 * n_seconds - n_frames)))).float()
    found = []
    # Windows begin at every second second; those that are the song are every other one.
    starts = sorted({*range(0, n_seconds, 4), *range(0, 2 * max(0, -(-(n_seconds - 4) // 2)) + 1, 2)})
    for number, start in enumerate(starts):
        if start % 4 == 0:
            window = padded[None, :, 16 * start : 16 * (start + 4)]
            noise = window_noise([number], 2, cvae.noise_size(window.shape[2]), 0)
            found.append(genre_log_likelihoods(cvae, noise, *batch_of(window)[:3])[0])
    of_window = torch.stack(found)
    expected = [*-of_window.sum(0), -(of_window.logsumexp(1) - math.log(2)).sum()]
    np.testing.assert_allclose(genres["bits_per_second"], np.array(expected) * BITS / (n_frames / 16), rtol=1e-4)
    n_notes = int((padded.diff(prepend=torch.zeros(128, 1), dim=1) > 0).sum())
    np.testing.assert_allclose(genres["bits_per_note"], np.array(expected) * BITS / n_notes, rtol=1e-4)
    probability = (of_window.sum(0) / len(found) ** 0.5 / 5).softmax(0)
    np.testing.assert_allclose(genres["probability"][:2], probability, rtol=1e-3)
    baseline = FrameBaselines.fit([padded[None]]).nats(padded[None])
    for name, nats in baseline.items():
        bits = genres[f"{name}_per_second"]
        np.testing.assert_allclose(bits, float(nats) * BITS / (n_frames / 16), rtol=1e-4)
        np.testing.assert_allclose(curve[f"{name}_per_second"].sum(), bits[0] * n_frames / 16, rtol=1e-4)
    assert len(curve) == n_seconds and len(notes) == n_notes == curve["notes"].sum()
    np.testing.assert_allclose(curve["probability slow"][:4], (of_window[0] / 5).softmax(0)[0], rtol=1e-3)
    assert (notes[["wait_bits", "pitch_bits", "duration_bits"]].sum(axis=1) - notes["bits"]).abs().max() < 1e-6
    assert (notes["bits"] > 0).all() and notes["bits"].is_monotonic_decreasing
    np.testing.assert_array_equal(genres["other_latents_per_second"], genres["given_latents_per_second"])
    assert genres["genre_name"].tolist() == [*GENRES, "all"]


def test_a_second_is_scored_in_the_middle_of_a_window() -> None:
    """The curve's second 5 comes from the window of seconds 4 to 8, second 7 from that of 6 to 10."""
    cvae, roll = cvae_of(LARGE), rolls_of(1, 160)[0].numpy() > 0
    curve, notes = score_song(scoring_of(cvae, samples=1), roll)[1:]
    for number, start in ((2, 4), (3, 6)):
        window = torch.from_numpy(roll[None, :, 16 * start : 16 * (start + 4)]).float()
        score = score_windows(cvae, window, 1, window_noise([number], 1, cvae.noise_size(64), 0))
        assert curve["bits fast"][start + 1] == pytest.approx(float(score.seconds[0, 1]) * BITS, rel=1e-5)
        genre = notes["genre_name"][0]
        own = score_windows(cvae, window, GENRES.index(genre), window_noise([number], 1, cvae.noise_size(64), 0))
        onset, pitch = own.found.onset[0], own.found.pitch[0]
        (k,) = ((onset >= 16) & (onset < 32)).nonzero()[:1, 0].tolist()
        (row,) = notes.index[(notes["time"] == start + float(onset[k]) / 16) & (notes["pitch"] == int(pitch[k]))]
        assert notes["bits"][row] == pytest.approx(float(own.notes[0, k].sum()) * BITS, rel=1e-5)


def test_another_song_is_repeated_to_the_length_of_the_song() -> None:
    cvae, song, other = cvae_of(LARGE), rolls_of(1, 96)[0].numpy() > 0, rolls_of(1, 48, seed=1)[0].numpy() > 0
    genres = score_song(scoring_of(cvae), song, other)[0]
    total = 0.0
    for first, last in ((0, 64), (64, 96)):
        window = torch.from_numpy(song[None, :, first:last]).float()
        source = torch.from_numpy(np.tile(other, 3)[None, :, first:last]).float()
        with torch.no_grad():
            z = cvae.encode(*batch_of(source)).mean
            total += float(cvae.nll(z, NO_WINDOW.new_zeros(1), window))
    assert genres["other_latents_per_second"][0] == pytest.approx(total * BITS / 6, rel=1e-5)
    assert score_song(scoring_of(cvae), song)[0]["other_latents_per_second"].isna().all()


def test_calibration_of_known_predictions() -> None:
    """Four predictions at .75, of which two are right, and one at 1, which is."""
    probability = torch.tensor([[0.75, 0.25]] * 4 + [[0.0, 1.0]])
    curve = reliability(probability, torch.tensor([0, 0, 1, 1, 1]))
    assert curve.confidence.tolist() == [0.75, 1.0] and curve.accuracy.tolist() == [0.5, 1.0]
    assert curve.count.tolist() == [4, 1] and curve.error == pytest.approx(0.2)
    expected = -(2 * math.log(0.75) + 2 * math.log(0.25)) / 5
    assert cross_entropy(probability, torch.tensor([0, 0, 1, 1, 1])) == pytest.approx(expected)


def test_tempering_finds_the_divisor_and_how_evidence_grows() -> None:
    """Genres are drawn at a divisor of 4. Windows that are copies tell nothing new: their mean counts, growth is 1."""
    rng = torch.Generator().manual_seed(0)
    log_likelihood = 20 * torch.randn(4000, 3, generator=rng, dtype=torch.float64)
    genre = (log_likelihood / 4).softmax(1).multinomial(1, generator=rng)[:, 0]
    song = torch.arange(4000)
    assert fit_tempering(log_likelihood, song, genre).divisor == pytest.approx(4, rel=0.1)
    copies = [each.repeat_interleave(5, dim=0)[:2000] for each in (log_likelihood, song, genre)]
    fitted = fit_tempering(*copies)
    assert fitted.growth > 0.9
    one, many = Tempering(4, 0.5), torch.tensor([[1.0, 0.0]] * 4)
    torch.testing.assert_close(one.of_song(many), torch.tensor([4 / 4**0.5 / 4, 0.0]).softmax(0))
    assert songs_of(many, torch.tensor([1, 0, 1, 1]), one).shape == (2, 2)


def test_windows_are_spread_over_each_song() -> None:
    song = torch.tensor([0] * 8 + [3] * 2)
    assert spread_windows(song, 4).tolist() == [0, 2, 4, 6, 8, 9]
