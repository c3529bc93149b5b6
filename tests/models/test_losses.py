"""The losses against closed forms and plain references."""

from collections.abc import Callable

import pytest
import torch
from networks import N_GENRES, binary_rolls, make_cvae
from torch import Tensor, nn
from torch.nn import functional as F

from models import Critic, Posterior
from models.base import RollCritic
from models.losses import critic_loss, elbo_terms, straight_through
from models.names import NLL, RECONSTRUCTIONS
from models.prior import StandardNormal, gaussian_kl
from models.rolls.cells import cross_entropy

GENRE = torch.zeros(1, dtype=torch.int64)


def test_kl_divergence_is_that_of_torch_distributions() -> None:
    first, second = (torch.randn(2, 5, 3) for _ in range(2))
    normals = [torch.distributions.Normal(mean, (0.5 * log).exp()) for mean, log in (first, second)]
    expected = torch.distributions.kl_divergence(*normals)
    torch.testing.assert_close(gaussian_kl(Posterior(*first), *second), expected)
    expected = torch.distributions.kl_divergence(normals[0], torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(StandardNormal(3, 3).kl(Posterior(*first), first[0], GENRE), expected)
    posterior, z = Posterior(*first), torch.randn(5, 3)
    torch.testing.assert_close(posterior.log_density(z), normals[0].log_prob(z).sum(1))


@pytest.mark.parametrize("reconstruction", RECONSTRUCTIONS)
def test_elbo_terms_are_those_of_the_encoded_latent(reconstruction: str) -> None:
    cvae, _, genre, roll = make_cvae()
    batch = roll, torch.rand(8, 3), torch.arange(8) // 2, genre
    noise = torch.randn(4, 6)
    terms = elbo_terms(cvae, batch, noise, reconstruction)
    posterior = cvae.encode(*batch)
    torch.testing.assert_close(terms.z, posterior.mean + (0.5 * posterior.log_variance).exp() * noise)
    torch.testing.assert_close(terms.kl, cvae.prior.kl(posterior, terms.z, genre))
    logits = cvae.decode(terms.z, genre, roll)
    cells = (torch.sigmoid(logits) - roll) ** 2
    if reconstruction == NLL:
        cells = F.binary_cross_entropy_with_logits(logits, roll, reduction="none")
    torch.testing.assert_close(terms.reconstruction, cells.sum((1, 2)))


def test_straight_through_is_what_is_played_with_the_gradient_of_the_probabilities() -> None:
    probabilities = torch.tensor([0.0, 0.5, 0.51, 1.0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    played = straight_through(probabilities, probabilities > 0.5)
    assert played.tolist() == [0, 0, 1, 1]
    assert torch.equal(torch.autograd.grad((weights * played).sum(), probabilities)[0], weights)


def test_cross_entropy_of_cells_is_the_librarys_with_its_gradient() -> None:
    logits = (20 * torch.randn(4, 8, 128, dtype=torch.float64)).requires_grad_()
    cells, weights = binary_rolls(4, 8).transpose(1, 2).double(), torch.randn(4, dtype=torch.float64)
    expected = F.binary_cross_entropy_with_logits(logits, cells, reduction="none").sum((1, 2))
    found = cross_entropy(logits, cells)
    torch.testing.assert_close(found, expected)
    gradients = (torch.autograd.grad((weights * each).sum(), logits)[0] for each in (found, expected))
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("logit", [-1000.0, -80.0, 0.0, 80.0, 1000.0])
def test_cross_entropy_of_extreme_cells_is_exact(logit: float) -> None:
    for cell in (0.0, 1.0):
        logits, cells = torch.full((1, 1, 128), logit), torch.full((1, 1, 128), cell)
        expected = F.binary_cross_entropy_with_logits(logits, cells, reduction="sum")
        torch.testing.assert_close(cross_entropy(logits, cells)[0], expected)


# The critic and its loss


def plain_score(critic: Critic, roll: Tensor, genre: Tensor) -> Tensor:
    """The critic as in the report: the genre embedding appended to every frame, layer after layer."""
    embedded = critic.genre(genre)[:, :, None].expand(-1, -1, roll.shape[2])
    hidden = torch.cat([roll, embedded], dim=1)
    for layer in (critic.conv1, critic.conv2):
        hidden = F.leaky_relu(F.conv1d(hidden, layer.weight, layer.bias, stride=2, padding=2), 0.2)
    return critic.linear2(F.leaky_relu(critic.linear1(hidden.flatten(1)), 0.2))[:, 0]


def plain_critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float, drift: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1 of Gulrajani et al. (2017), with autograd's double backward, and the drift term."""
    between = (mix[:, None, None] * real + (1 - mix[:, None, None]) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(plain_score(critic, between, genre).sum(), between, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    score_real = plain_score(critic, real, genre)
    distance = score_real.mean() - plain_score(critic, fake, genre).mean()
    return penalty * ((norm - 1) ** 2).mean() - distance + drift * (score_real**2).mean(), distance, norm.mean()


class OnlyForward(RollCritic):
    """A critic with the gradient norm of the base class."""

    def __init__(self, critic: Critic) -> None:
        super().__init__()
        self.critic = critic

    def forward(self, roll: Tensor, genre: Tensor, z: Tensor | None = None) -> Tensor:
        return self.critic(roll, genre, z)


@pytest.mark.parametrize(("seq_len", "hidden"), [(4, 12), (32, 12), (64, 12), (8, 216)])
@pytest.mark.parametrize("wrap", [nn.Module.eval, OnlyForward], ids=["written out", "by autograd"])
def test_critic_loss_is_wgan_gp_by_double_backward(
    seq_len: int, hidden: int, wrap: Callable[[Critic], nn.Module]
) -> None:
    """The norm of a critic wider than 213 is computed in another way."""
    critic = Critic(N_GENRES, seq_len, hidden=hidden).double()
    with torch.no_grad():  # large weights, so that the norms are not 0
        for parameter in critic.parameters():
            parameter.mul_(3)
    real, fake = binary_rolls(6, seq_len).double(), torch.rand(6, 128, seq_len, dtype=torch.float64)
    genre, mix = torch.tensor([0, 1, 2, 1, 0, 0]), torch.rand(6, dtype=torch.float64)

    found = critic_loss(wrap(critic), real, fake, genre, mix, 7.0, 0.3)
    wanted = plain_critic_loss(critic, real, fake, genre, mix, 7.0, 0.3)
    for ours, theirs in zip(found, wanted, strict=True):
        # The loss converts scores and norms to float32, because of bfloat16.
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-5, atol=1e-6, check_dtype=False)

    names = [name for name, _ in critic.named_parameters()]
    ours = torch.autograd.grad(found[0], list(critic.parameters()))
    theirs = torch.autograd.grad(wanted[0], list(critic.parameters()))
    for name, gradient, reference in zip(names, ours, theirs, strict=True):
        scale = max(float(reference.abs().max()), 1e-3)
        torch.testing.assert_close(gradient / scale, reference / scale, rtol=0, atol=1e-5, msg=f"gradient of {name}")
        assert reference.abs().max() > 1e-3, f"the reference gradient of {name} is 0: nothing was compared"


def test_critic_loss_has_no_gradient_for_the_fakes() -> None:
    critic, fake = Critic(N_GENRES, 32, hidden=4), torch.rand(2, 128, 32, requires_grad=True)
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), fake, torch.tensor([0, 1]), torch.rand(2), 10.0)
    loss.backward()
    assert fake.grad is None
    assert not distance.requires_grad and not norm.requires_grad


@pytest.mark.parametrize("wrap", [nn.Module.eval, OnlyForward], ids=["written out", "by autograd"])
def test_a_constant_critic_has_finite_gradients(wrap: Callable[[Critic], nn.Module]) -> None:
    critic = wrap(Critic(N_GENRES, 32, hidden=4))
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    genre = torch.tensor([0, 1])
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), torch.rand(2, 128, 32), genre, torch.rand(2), 10.0)
    assert loss.item() == pytest.approx(10.0) and distance.item() == 0 and norm.item() < 1e-6
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


def test_critic_needs_windows_that_two_strides_divide() -> None:
    with pytest.raises(ValueError, match="seq_len must be a multiple of 4, but is 34"):
        Critic(N_GENRES, 34)
