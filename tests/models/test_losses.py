"""The losses against closed forms and plain references."""

import math
from collections.abc import Callable

import pytest
import torch
from networks import N_GENRES, binary_rolls, make_cvae
from torch import Tensor, nn
from torch.nn import functional as F

from models import Critic, Posterior
from models.base import RollCritic
from models.losses import SQUARED_ERROR, critic_loss, elbo_terms
from models.prior import StandardNormal
from models.rolls.cvae import bernoulli_nll

GENRE = torch.zeros(1, dtype=torch.int64)


def test_kl_divergence_is_torchs_between_normals() -> None:
    posterior = Posterior(torch.randn(5, 3), torch.randn(5, 3))
    normal = torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(StandardNormal(3, 3).kl(posterior, posterior.mean, GENRE), expected)


@pytest.mark.parametrize(
    ("mean", "variance", "nats"),
    [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, math.e, 0.5 * (math.e - 2)), (1.0, 0.25, 0.5 * (0.25 + math.log(4)))],
)
def test_kl_divergence_closed_forms(mean: float, variance: float, nats: float) -> None:
    posterior = Posterior(torch.tensor([[mean]]), torch.tensor([[math.log(variance)]]))
    assert StandardNormal(3, 3).kl(posterior, posterior.mean, GENRE).item() == pytest.approx(nats, abs=1e-6)


def test_bernoulli_nll_is_torchs_cross_entropy() -> None:
    logits, roll = 5 * torch.randn(3, 128, 8), binary_rolls(3, 8)
    each = F.binary_cross_entropy_with_logits(logits, roll, reduction="none")
    torch.testing.assert_close(bernoulli_nll(logits, roll), each.sum((1, 2)))
    # Nothing learned: a bit a cell.
    nats = bernoulli_nll(torch.zeros_like(logits), roll)[0].item()
    assert nats == pytest.approx(128 * 8 * math.log(2))


def test_bernoulli_nll_of_sure_predictions() -> None:
    roll = binary_rolls(2, 4)
    sure = 200 * (2 * roll - 1)
    assert torch.equal(bernoulli_nll(sure, roll), torch.zeros(2))
    torch.testing.assert_close(bernoulli_nll(-sure, roll), torch.full((2,), 200.0 * 128 * 4))


def test_elbo_terms_are_those_of_the_encoded_latent() -> None:
    cvae, _, genre, roll = make_cvae()
    batch = roll, torch.rand(8, 3), torch.arange(8) // 2, genre
    noise = torch.randn(4, 6)
    terms = elbo_terms(cvae, batch, noise, SQUARED_ERROR)
    posterior = cvae.encode(*batch)
    torch.testing.assert_close(terms.z, posterior.mean + (0.5 * posterior.log_variance).exp() * noise)
    torch.testing.assert_close(terms.kl, cvae.prior.kl(posterior, terms.z, genre))
    expected = ((torch.sigmoid(cvae.decode(terms.z, genre, roll)) - roll) ** 2).flatten(1).sum(1)
    torch.testing.assert_close(terms.reconstruction, expected)


# The critic and its loss


def plain_score(critic: Critic, roll: Tensor, genre: Tensor) -> Tensor:
    """The critic as the report draws it: the genre embedding stacked on every frame, layer after layer."""
    embedded = critic.genre(genre)[:, :, None].expand(-1, -1, roll.shape[2])
    hidden = F.leaky_relu(critic.conv1(torch.cat([roll, embedded], dim=1)), 0.2)
    hidden = F.leaky_relu(critic.conv2(hidden), 0.2).flatten(1)
    return critic.linear2(F.leaky_relu(critic.linear1(hidden), 0.2))[:, 0]


def plain_critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1 of Gulrajani et al. (2017), with autograd's double backward."""
    between = (mix[:, None, None] * real + (1 - mix[:, None, None]) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(plain_score(critic, between, genre).sum(), between, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    distance = plain_score(critic, real, genre).mean() - plain_score(critic, fake, genre).mean()
    return penalty * ((norm - 1) ** 2).mean() - distance, distance, norm.mean()


def test_critic_score_is_the_plain_networks() -> None:
    critic = Critic(N_GENRES, 32)
    roll, genre = torch.rand(4, 128, 32), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(critic(roll, genre), plain_score(critic, roll, genre))


class OnlyForward(RollCritic):
    """A critic with `forward` alone."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        return self.critic(roll, genre, z)


@pytest.mark.parametrize("seq_len", [4, 32, 64])
@pytest.mark.parametrize("wrap", [nn.Module.eval, OnlyForward], ids=["its own way", "by autograd"])
def test_critic_loss_is_wgan_gp_by_double_backward(seq_len: int, wrap: Callable[[Critic], nn.Module]) -> None:
    critic = Critic(N_GENRES, seq_len, hidden=12).double()
    with torch.no_grad():  # large weights: norms away from 0, so that the penalty has something to say
        for parameter in critic.parameters():
            parameter.mul_(3)
    real, fake = binary_rolls(6, seq_len).double(), torch.rand(6, 128, seq_len, dtype=torch.float64)
    genre, mix = torch.tensor([0, 1, 2, 1, 0, 0]), torch.rand(6, dtype=torch.float64)

    found = critic_loss(wrap(critic), real, fake, genre, mix, 10.0)
    wanted = plain_critic_loss(critic, real, fake, genre, mix, 10.0)
    for ours, theirs in zip(found, wanted, strict=True):
        # Scores and norms leave the model as float32, for bfloat16's sake.
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-5, atol=1e-6, check_dtype=False)

    names = [name for name, _ in critic.named_parameters()]
    ours = torch.autograd.grad(found[0], list(critic.parameters()))
    theirs = torch.autograd.grad(wanted[0], list(critic.parameters()))
    for name, gradient, reference in zip(names, ours, theirs, strict=True):
        scale = max(float(reference.abs().max()), 1e-3)
        torch.testing.assert_close(gradient / scale, reference / scale, rtol=0, atol=1e-5, msg=f"gradient of {name}")
        if name != "linear2.bias":  # it shifts all scores alike
            assert reference.abs().max() > 1e-3, f"the reference gradient of {name} is 0: nothing was compared"


def test_critic_loss_takes_fakes_as_constants() -> None:
    critic, fake = Critic(N_GENRES, 32, hidden=4), torch.rand(2, 128, 32, requires_grad=True)
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), fake, torch.tensor([0, 1]), torch.rand(2), 10.0)
    loss.backward()
    assert fake.grad is None
    assert not distance.requires_grad and not norm.requires_grad


@pytest.mark.parametrize("wrap", [nn.Module.eval, OnlyForward], ids=["its own way", "by autograd"])
def test_a_constant_critic_has_finite_gradients(wrap: Callable[[Critic], nn.Module]) -> None:
    critic = wrap(Critic(N_GENRES, 32, hidden=4))
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    genre = torch.tensor([0, 1])
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), torch.rand(2, 128, 32), genre, torch.rand(2), 10.0)
    assert loss.item() == pytest.approx(10.0) and distance.item() == 0 and norm.item() < 1e-6
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


def test_critic_wants_windows_that_two_strides_divide() -> None:
    with pytest.raises(ValueError, match="seq_len must be a multiple of 4, but is 34"):
        Critic(N_GENRES, 34)
