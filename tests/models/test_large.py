"""The large networks: what they take and give, what z decides, and that they learn what they are shown."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import LARGE, build
from models.losses import NLL, critic_loss, elbo_terms
from models.notes.note_cvae import NoteCVAE
from models.notes.notes import split_by_length
from models.prior import Autoregressive, Posterior, StandardNormal, gaussian_kl

GENRE = torch.tensor([0, 2, 1, 0])
EVENTS = torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)


@pytest.fixture
def cvae() -> NoteCVAE:
    torch.manual_seed(0)
    return build("cvae", LARGE, n_genres=3, hidden=16, depth=1)


def rolls(seq_len: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(4, 128, seq_len, generator=generator) < 0.02).float()


@pytest.mark.parametrize("seq_len", [32, 64, 128])
def test_windows_of_any_length(cvae: NoteCVAE, seq_len: int) -> None:
    roll = rolls(seq_len)
    posterior = cvae.encode(roll, *EVENTS, GENRE)
    assert posterior.mean.shape == posterior.log_variance.shape == (4, cvae.noise_size(seq_len))
    z = posterior.sample(torch.zeros_like(posterior.mean))
    nll = cvae.nll(z, GENRE, roll)
    assert nll.shape == (4,) and nll.dtype == torch.float32 and (nll > 0).all()
    decoded = cvae.decode_free(z, GENRE, seq_len)
    assert decoded.roll.shape == (4, 128, seq_len) and torch.equal(decoded.probability, decoded.roll.float())


def test_the_likelihood_does_not_depend_on_the_company(cvae: NoteCVAE) -> None:
    roll, z = rolls(64), torch.randn(4, cvae.noise_size(64))
    roll[1] = 0
    together = cvae.nll(z, GENRE, roll)
    alone = torch.cat([cvae.nll(z[[row]], GENRE[[row]], roll[[row]]) for row in range(4)])
    torch.testing.assert_close(together, alone)


def test_rows_are_split_by_length() -> None:
    parts = split_by_length(torch.tensor([5, 1, 9, 2, 3]), 6)
    assert [part.tolist() for part in parts] == [[1, 3], [4], [0], [2]]


def test_the_cvae_learns_a_window_and_what_z_says_of_it() -> None:
    """Two windows that begin alike are told apart by z alone."""
    torch.manual_seed(0)
    cvae = build("cvae", LARGE, n_genres=3, hidden=32, depth=1, latent=2)
    roll = torch.zeros(4, 128, 32)
    roll[:2, 60, 2:6] = roll[2:, 67, 2:6] = 1
    batch = roll, *EVENTS, torch.zeros(4, dtype=torch.int64)
    optimizer = torch.optim.Adam(cvae.parameters(), 3e-3)
    for _ in range(300):
        terms = elbo_terms(cvae, batch, torch.randn(4, cvae.noise_size(32)), NLL)
        optimizer.zero_grad()
        (terms.reconstruction + 0.1 * terms.kl.sum(1)).mean().backward()
        optimizer.step()
    posterior = cvae.encode(*batch)
    own = cvae.nll(posterior.mean, batch[3], roll)
    swapped = cvae.nll(posterior.mean.flip(0), batch[3], roll)
    assert own.max() < 0.5 < 1 < swapped.min()


def test_the_autoregressive_prior_begins_as_standard_normal() -> None:
    prior, posterior = Autoregressive(3, 2), Posterior(torch.randn(4, 12), torch.randn(4, 12))
    noise, genre = torch.randn(4, 12), torch.tensor([0, 1, 0, 1])
    torch.testing.assert_close(prior.sample(noise, genre), noise)
    expected = StandardNormal(3, 2).kl(posterior, noise, genre)
    torch.testing.assert_close(prior.kl(posterior, noise, genre), expected)


def test_the_autoregressive_prior_draws_what_its_divergence_measures() -> None:
    """The log-density of its own draws, by steps, is that of the noise less the logarithms of the scales."""
    torch.manual_seed(0)
    prior = Autoregressive(3, 2).double()
    torch.nn.init.normal_(prior.moments.weight, std=0.3)
    noise, genre = torch.randn(5, 12, dtype=torch.float64), torch.tensor([0, 1, 0, 1, 1])
    z = prior.sample(noise, genre)
    # The divergence of a narrow Gaussian at z from the prior: -log p(z) - its entropy, up to its width.
    narrow = Posterior(z, torch.full_like(z, -20.0))
    of_prior = prior.float().kl(Posterior(*(field.float() for field in narrow)), z.float(), genre).sum(1)
    jacobian = torch.autograd.functional.jacobian(lambda e: prior.double().sample(e[None], genre[:1])[0], noise[0])
    log_density = -0.5 * noise[0].square().sum() - torch.linalg.slogdet(jacobian).logabsdet
    entropy_terms = 0.5 * (-20.0 + 1) * 12
    assert of_prior[0].item() == pytest.approx(-log_density.item() - entropy_terms, abs=1e-3)


def test_free_nats_cost_nothing_but_the_prior_learns(cvae: NoteCVAE) -> None:
    batch, noise = (rolls(32), *EVENTS, GENRE), torch.randn(4, cvae.noise_size(32))
    terms = elbo_terms(cvae, batch, noise, NLL, free_nats=1e6)
    plain = elbo_terms(cvae, batch, noise, NLL)
    torch.testing.assert_close(terms.kl, plain.kl)
    of_encoder, of_prior = cvae.encoder.moments.weight, cvae.prior.moments.weight
    free = torch.autograd.grad(terms.kl.sum(), [of_encoder, of_prior], allow_unused=True)
    assert free[0] is None or not free[0].any()
    assert free[1].any()
    assert torch.autograd.grad(plain.kl.sum(), of_encoder)[0].any()


def test_gaussian_kl_is_torchs() -> None:
    first, second = (torch.randn(2, 3, 4) for _ in range(2))
    normals = [torch.distributions.Normal(mean, (0.5 * log).exp()) for mean, log in (first, second)]
    torch.testing.assert_close(gaussian_kl(Posterior(*first), *second), torch.distributions.kl_divergence(*normals))


def test_generator_and_critic_take_windows_of_any_length() -> None:
    generator = build("generator", LARGE, n_genres=3, seq_len=32, latent=4, hidden=32)
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16)
    for seq_len in (32, 128):
        z = torch.randn(4, generator.noise_size(seq_len))
        fake = generator(z, GENRE)
        assert fake.shape == (4, 128, seq_len) and fake.min() >= 0 and fake.max() <= 1
        loss, _, norm = critic_loss(critic, rolls(seq_len), fake, GENRE, torch.rand(4), 10.0, drift=1e-3)
        loss.backward()
        assert norm.isfinite() and critic.first.weight.grad.any()


def test_the_critics_first_layer_is_that_of_the_roll_and_its_change() -> None:
    torch.manual_seed(0)
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16)
    padded = F.pad(rolls(32), (1, 1))
    change = F.pad(padded, (1, 0)).diff(dim=2)
    stacked = F.conv1d(torch.cat([padded, change], dim=1), critic.first.weight, critic.first.bias)
    torch.testing.assert_close(critic._of_roll_and_change(rolls(32)), stacked)


def test_the_critic_asks_each_seconds_features_for_its_latent() -> None:
    torch.manual_seed(0)
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16, latent=5)
    roll, z = rolls(64), torch.randn(4, 4 * 5)
    assert torch.equal(critic(roll, GENRE, z), critic(roll, GENRE)), "it begins deaf to z"
    nn.init.normal_(critic.latent.weight)
    of_second = [torch.zeros_like(z).index_copy(1, at, z[:, at]) for at in torch.arange(20).split(5)]
    of_z = [critic(roll, GENRE, each) - critic(roll, GENRE) for each in (z, *of_second)]
    torch.testing.assert_close(of_z[0], sum(of_z[1:]))
    assert (critic(roll, GENRE, z.roll(1, 0)) != critic(roll, GENRE, z)).all()


def test_latents_are_mixed_like_the_rolls() -> None:
    torch.manual_seed(0)
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


def test_the_generator_hears_z_where_it_sounds_and_the_genre_everywhere() -> None:
    torch.manual_seed(0)
    generator = build("generator", LARGE, n_genres=3, seq_len=128, latent=4, hidden=32)
    z = torch.zeros(1, generator.noise_size(128))
    later = z.clone()
    later[:, -4:] = 3.0
    plain, changed, other = (generator(*pair) for pair in ((z, GENRE[:1]), (later, GENRE[:1]), (z, GENRE[1:2])))
    moved = (changed - plain).abs().amax(1)[0]
    assert moved[-16:].min() > 0 and moved[-16:].mean() > 3 * moved[:16].mean()
    assert (other - plain).abs().amax(1).min() > 0


def test_the_critic_asks_for_the_genre_by_an_inner_product() -> None:
    critic = build("critic", LARGE, n_genres=3, seq_len=32, hidden=16)
    roll = rolls(32)[:1].expand(3, -1, -1)
    assert critic(roll, torch.arange(3)).unique().numel() == 1, "at first it does not know one from another"
    torch.nn.init.eye_(critic.genre.weight)
    assert critic(roll, torch.arange(3)).unique().numel() == 3
