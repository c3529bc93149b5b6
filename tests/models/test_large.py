"""The networks of preset large: shapes, the effect of z and genre, and learning."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import LARGE, build
from models.base import RollCritic
from models.losses import critic_loss, elbo_terms
from models.names import NLL
from models.notes import note_cvae, notes
from models.notes.note_cvae import NoteCVAE
from models.notes.note_sampling import MOST_NOTES, NUMBERS_A_NOTE, draw_notes
from models.prior import Autoregressive, Posterior, StandardNormal

GENRE = torch.tensor([0, 2, 1, 0])
EVENTS = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)


@pytest.fixture
def cvae() -> NoteCVAE:
    return build("cvae", LARGE, n_genres=3, hidden=16, depth=1)


def rolls(seq_len: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(4, 128, seq_len, generator=generator) < 0.02).float()


def test_silent_windows_give_every_parameter_of_the_decoder_a_gradient(cvae: NoteCVAE) -> None:
    """Processes that train together sum the gradients of the same parameters, whatever their windows have."""
    cvae.nll(torch.randn(4, cvae.noise_size(32)), GENRE, torch.zeros(4, 128, 32)).sum().backward()
    assert all(parameter.grad is not None for parameter in cvae.decoder.parameters())


def test_a_cpu_decodes_a_few_windows_at_a_time(cvae: NoteCVAE, monkeypatch: pytest.MonkeyPatch) -> None:
    z, uniform = torch.randn(4, cvae.noise_size(128)), torch.rand(4, MOST_NOTES, NUMBERS_A_NOTE)
    together, batches = cvae.decode_free(z, GENRE, 128, uniform).roll, []
    monkeypatch.setattr(note_cvae, "_CPU_WINDOWS", 3)
    monkeypatch.setattr(note_cvae, "draw_notes", lambda *values: batches.append(len(values[1])) or draw_notes(*values))
    assert torch.equal(cvae.decode_free(z, GENRE, 128, uniform).roll, together)
    assert together.any() and batches == [3, 1]


@pytest.mark.parametrize("seq_len", [32, 64, 128])
def test_cvae_takes_windows_of_any_length(cvae: NoteCVAE, seq_len: int) -> None:
    roll = rolls(seq_len)
    posterior = cvae.encode(roll, *EVENTS, GENRE)
    assert posterior.mean.shape == posterior.log_variance.shape == (4, cvae.noise_size(seq_len))
    z = posterior.sample(torch.zeros_like(posterior.mean))
    nll = cvae.nll(z, GENRE, roll)
    assert nll.shape == (4,) and nll.dtype == torch.float32 and (nll > 0).all()
    decoded = cvae.decode_free(z, GENRE, seq_len)
    assert decoded.roll.shape == (4, 128, seq_len) and torch.equal(decoded.probability, decoded.roll.float())


def test_the_likelihood_does_not_depend_on_the_batch(cvae: NoteCVAE) -> None:
    roll, z = rolls(64), torch.randn(4, cvae.noise_size(64))
    roll[1] = 0
    together = cvae.nll(z, GENRE, roll)
    alone = torch.cat([cvae.nll(z[[row]], GENRE[[row]], roll[[row]]) for row in range(4)])
    torch.testing.assert_close(together, alone)


def test_the_likelihood_does_not_depend_on_the_device_and_its_padding(
    cvae: NoteCVAE, monkeypatch: pytest.MonkeyPatch
) -> None:
    roll, z = rolls(64), torch.randn(4, cvae.noise_size(64))
    expected = cvae.nll(z, GENRE, roll)
    n_notes, lengths = notes.count_notes(roll), []
    for_gpus = partial(notes.parts_by_length, device=torch.device("cuda"))
    monkeypatch.setattr(note_cvae, "parts_by_length", lambda n, _: lengths.append(n.tolist()) or for_gpus(n))
    torch.testing.assert_close(cvae.nll(z, GENRE, roll), expected)
    torch.testing.assert_close(cvae.nll(z, GENRE, roll, n_notes + torch.tensor([0, 7, 0, 1])), expected)
    counts = notes.roll_to_notes(roll).count
    assert lengths == [(counts + 1).tolist(), (counts + torch.tensor([1, 8, 1, 2])).tolist()]


def test_rows_are_computed_by_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_AT_ONCE", 6)
    lengths, parts = torch.tensor([5, 1, 9, 2, 3]), []
    for device, expected in (
        ("cpu", [([1, 3], 2), ([4], 3), ([0], 5), ([2], 9)]), ("cuda", [([1, 3, 4], 32), ([0, 2], 32)])
    ):  # fmt: skip
        parts, divided = [], notes.parts_by_length(lengths, torch.device(device))
        found = notes.by_length(lengths, divided, lambda rows, n: parts.append((rows.tolist(), n)) or rows)  # noqa: B023
        assert found.equal(torch.arange(5)) and parts == expected


def test_the_autoregressive_prior_is_standard_normal_at_first() -> None:
    prior, posterior = Autoregressive(3, 2), Posterior(torch.randn(4, 12), torch.randn(4, 12))
    noise, genre = torch.randn(4, 12), torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(prior.sample(noise, genre), noise)
    expected = StandardNormal(3, 2).kl(posterior, noise, genre)
    torch.testing.assert_close(prior.kl(posterior, noise, genre), expected)


def test_the_autoregressive_prior_has_the_density_of_its_samples() -> None:
    """log p(z) = log N(noise; 0, I) - log |det dz / dnoise|."""
    prior = Autoregressive(3, 2).double()
    torch.nn.init.normal_(prior.moments.weight, std=0.3)
    noise, genre = torch.randn(12, dtype=torch.float64), torch.tensor([1])
    z = prior.sample(noise[None], genre)
    jacobian = torch.autograd.functional.jacobian(lambda e: prior.sample(e[None], genre)[0], noise)
    expected = torch.distributions.Normal(0, 1).log_prob(noise).sum() - torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(prior.log_density(z, genre)[0], expected)
    # z in two parts, the second a continuation of the first.
    first = prior.sample(noise[None, :6], genre)
    torch.testing.assert_close(torch.cat([first, prior.sample(noise[None, 6:], genre, first)], dim=1), z)


def test_free_nats_stop_the_gradient_of_cheap_latents_to_the_encoder_only(cvae: NoteCVAE) -> None:
    batch, noise = (rolls(32), *EVENTS, GENRE), torch.randn(4, cvae.noise_size(32))
    plain = elbo_terms(cvae, batch, noise, NLL)
    of_seconds = plain.kl.unflatten(1, (2, -1)).sum(2).mean(0)
    assert of_seconds[0] != of_seconds[1]
    terms = elbo_terms(cvae, batch, noise, NLL, free_nats=of_seconds.mean().item())
    torch.testing.assert_close(terms.kl, plain.kl)
    of_encoder, of_prior = cvae.encoder.moments.weight, cvae.prior.moments.weight
    for second in (0, 1):
        columns = slice(second * cvae.latent, (second + 1) * cvae.latent)
        loss, unchanged = (each.kl[:, columns].sum() for each in (terms, plain))
        expected = torch.autograd.grad(unchanged, [of_encoder, of_prior], retain_graph=True)
        found = torch.autograd.grad(loss, [of_encoder, of_prior], retain_graph=True, allow_unused=True)
        is_free = of_seconds[second] < of_seconds.mean()
        torch.testing.assert_close(found[1], expected[1])
        if is_free:
            assert found[0] is None or not found[0].any()
        else:
            torch.testing.assert_close(found[0], expected[0])


def test_the_critics_first_layer_is_a_convolution_of_the_roll_and_its_change() -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16)
    padded = F.pad(rolls(32), (1, 1))
    change = F.pad(padded, (1, 0)).diff(dim=2)
    stacked = F.conv1d(torch.cat([padded, change], dim=1), critic.first.weight, critic.first.bias)
    torch.testing.assert_close(critic._first(rolls(32), None), stacked.transpose(1, 2))


def test_the_critic_is_linear_in_the_latents_of_each_second() -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16, latent=5)
    roll, z = rolls(64), torch.randn(4, 4 * 5)
    assert torch.equal(critic(roll, GENRE, z), critic(roll, GENRE)), "initially z has no effect"
    nn.init.normal_(critic.latent.weight)
    of_second = [torch.zeros_like(z).index_copy(1, place, z[:, place]) for place in torch.arange(20).split(5)]
    of_z = [critic(roll, GENRE, each) - critic(roll, GENRE) for each in (z, *of_second)]
    torch.testing.assert_close(of_z[0], sum(of_z[1:]))
    assert (critic(roll, GENRE, z.roll(1, 0)) != critic(roll, GENRE, z)).all()


def test_latents_are_mixed_like_the_rolls() -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16, latent=5)
    nn.init.normal_(critic.latent.weight)
    real, fake, mix = rolls(32), torch.rand(4, 128, 32), torch.rand(4)
    latents = torch.randn(4, 10), torch.randn(4, 10)
    between = (fake + mix[:, None, None] * (real - fake)).requires_grad_()
    z = latents[1] + mix[:, None] * (latents[0] - latents[1])
    (gradient,) = torch.autograd.grad(critic(between, GENRE, z).sum(), between)
    _, distance, norm = critic_loss(critic, real, fake, GENRE, mix, 10.0, latents=latents)
    torch.testing.assert_close(norm, gradient.flatten(1).norm(dim=1).mean().detach())
    wanted = (critic(real, GENRE, latents[0]) - critic(fake, GENRE, latents[1])).mean().detach()
    torch.testing.assert_close(distance, wanted)


@pytest.mark.parametrize("latent", [0, 5])
def test_the_critics_gradient_norm_in_closed_form_is_that_of_autograd(latent: int) -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16, latent=latent).double()
    for parameter in critic.parameters():
        nn.init.normal_(parameter, std=0.2)
    batch = rolls(32).double(), torch.rand(4, 128, 32).double(), GENRE, torch.rand(4).double()
    latents = (torch.randn(4, 10).double(), torch.randn(4, 10).double()) if latent else None
    weights, found = torch.randn(3, 4).double(), []
    for scores_and_norm in (critic.scores_and_gradient_norm, partial(RollCritic.scores_and_gradient_norm, critic)):
        values = torch.stack([each.double() for each in scores_and_norm(*batch, latents)])
        of_weights = torch.autograd.grad((weights * values).sum(), list(critic.parameters()), materialize_grads=True)
        found.append([values, *of_weights])
    for ours, autograds in zip(*found, strict=True):
        assert autograds.any()
        torch.testing.assert_close(ours, autograds, rtol=1e-5, atol=1e-5 * autograds.abs().max().item())


def test_a_latent_changes_its_own_second_and_the_genre_all_of_the_roll() -> None:
    generator = build("generator", LARGE, n_genres=3, seq_len=32, latent=4, hidden=32)
    z = torch.zeros(1, generator.noise_size(128))  # windows may be of any length
    later = z.clone()
    later[:, -4:] = 3.0
    pairs, uniform = ((z, GENRE[:1]), (later, GENRE[:1]), (z, GENRE[1:2])), torch.rand(1, 128, 4)
    plain, changed, other = (generator(*pair, uniform) for pair in pairs)
    moved = (changed - plain).abs().amax(1)[0]
    assert moved[-16:].min() > 0 and moved[-16:].mean() > 3 * moved[:16].mean()
    assert (other - plain).abs().amax(1).min() > 0


def test_the_critics_genre_embedding_has_no_effect_at_first() -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16)
    roll = rolls(32)[:1].expand(3, -1, -1)
    assert critic(roll, torch.arange(3)).unique().numel() == 1
    torch.nn.init.eye_(critic.genre.weight)
    assert critic(roll, torch.arange(3)).unique().numel() == 3


def test_after_seconds_without_onset_a_piece_begins_anew_and_other_pieces_go_on(cvae: NoteCVAE) -> None:
    cvae = cvae.double()
    for head, likely in ((cvae.decoder.wait_head, slice(0, 8)), (cvae.decoder.duration_head, slice(0, 8))):
        nn.init.constant_(head.choices.bias[likely], 20)  # after a wait of four seconds it would hardly play
    z, genre = torch.randn(3, 12 * cvae.latent, dtype=torch.float64), torch.tensor([0, 1, 2])
    uniform = torch.rand(3, MOST_NOTES, NUMBERS_A_NOTE, dtype=torch.float64)
    begun = torch.zeros(3, 128, 128, dtype=torch.bool)
    begun[1, 60, 50:] = begun[2, 60, 80:90] = True  # silent, a held note, a note that begins in the context
    *others, sounding = cvae.play_on(z, genre, begun, 192, lambda part: uniform)
    condition = cvae.plan(z, cvae.genre(genre))
    anew = notes.notes_to_roll(draw_notes(cvae.decoder, condition[:2, 8:], 64, uniform[:2]), 128, 64)
    assert torch.equal(torch.stack(others)[:, :, 128:], anew) and anew.any(2).any(1).all()
    context = notes.roll_to_notes(F.pad(begun[2:, :, 64:], (0, 64)))
    further = draw_notes(cvae.decoder, condition[2:, 4:], 128, uniform[2:], beginning=context, first_frame=64)
    assert torch.equal(sounding[:, 64:], notes.notes_to_roll(further, 128, 128)[0])
