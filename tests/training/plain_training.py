"""Training steps in plain torch, as the report defines them, to hold the stages against."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from common.randomness import rng_at
from data.order import WindowOrder
from data.store import RollStore
from data.windows import Batch, WindowSource
from models import Posterior
from models.dropout import RowDropout
from training.optimizers import Muon

SEED, T, BATCH, STEPS = 5, 32, 16, 2
EMA, CLIP_NORM, WARM_UP, DROPOUT, MATRIX_RATE = 0.3, 0.05, 3, 0.2, 0.013
BETA, ALPHA, GAMMA, PENALTY, DRIFT = 0.37, 0.6, 23.0, 3.7, 0.21
CRITIC_RATE, GAN_BETAS, PRIOR_SHARE = 7e-3, (0.3, 0.8), 0.3


class Plain:
    """A model with plain optimizers and a moving average of its weights."""

    def __init__(self, model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
        self.model, self.optimizers, self.average = model, optimizers, None
        self.rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        self.parameters = [each for optimizer in optimizers for each in optimizer.param_groups[0]["params"]]

    def step(self, gradients: list[Tensor | None], rate_factor: float) -> None:
        norm = torch.cat([each.flatten() for each in gradients if each is not None]).norm()
        assert norm > CLIP_NORM, "the test needs gradients that are clipped"
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient * CLIP_NORM / norm
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * rate_factor
            optimizer.step()
        now = {name: each.clone() for name, each in self.model.state_dict().items()}
        average = self.average or now
        self.average = {name: EMA * average[name] + (1 - EMA) * each for name, each in now.items()}


def update(loss: Tensor, step: int, *trained: Plain) -> None:
    """Move models along the gradient of the loss, at the learning rate of the step: warm-up, and a cosine to 0."""
    factor = min(1, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * step / STEPS)) / 2
    gradients = torch.autograd.grad(loss, [each for plain in trained for each in plain.parameters], allow_unused=True)
    for plain in trained:
        plain.step(gradients[: len(plain.parameters)], factor)
        gradients = gradients[len(plain.parameters) :]


def plain_cvae(cvae: nn.Module, rate: float, family: str) -> Plain:
    """Adam, or Muon for the matrices of attention layers and AdamW for the rest."""
    if family == "paper":
        return Plain(cvae, torch.optim.Adam(cvae.parameters(), rate, (0.9, 0.999)))
    for module in cvae.modules():
        if isinstance(module, RowDropout):
            module.share = DROPOUT
    matrices, rest = [], []
    layers = (".attend.weight", ".attended.weight", ".widen.weight", ".narrow.weight")
    for name, parameter in cvae.named_parameters():
        (matrices if name.startswith("decoder.blocks.") and name.endswith(layers) else rest).append(parameter)
    muon = Muon(matrices, MATRIX_RATE, weight_decay=0.01, adjust_lr_fn="original")
    return Plain(cvae, muon, torch.optim.AdamW(rest, rate, (0.9, 0.98), weight_decay=0.01))


def plain_gan(generator: nn.Module, critic: nn.Module, rate: float) -> tuple[Plain, Plain]:
    named = list(generator.named_parameters())
    own = [parameter for name, parameter in named if not name.startswith(("prior.", "outline."))]
    optimizers = [torch.optim.Adam(own, rate, GAN_BETAS)]
    if outline := [parameter for name, parameter in named if name.startswith("outline.")]:
        optimizers.append(torch.optim.Adam(outline, 2e-3))
    return Plain(generator, *optimizers), Plain(critic, torch.optim.Adam(critic.parameters(), CRITIC_RATE, GAN_BETAS))


class Windows:
    """The training windows of each step: cut at random frames, transposed at random, or as stored; in random order."""

    def __init__(self, folder: Path, balance: str, as_stored: bool = False) -> None:
        source = WindowSource(RollStore.open(folder), "train", T)
        moved = torch.randint(T, (len(source),), generator=rng_at("move", SEED, T, 0))
        self.source, self.as_stored = source if as_stored else source.moved(moved), as_stored
        self.order = WindowOrder(source.genre, BATCH, SEED, balanced=balance == "sampler")
        count = torch.bincount(source.genre)
        self.genre_weights = len(source) / (3 * count) if balance == "weights" else torch.ones(3)

    def batch(self, step: int, rng: torch.Generator, stream: int = 0) -> Batch:
        index = self.order.examples(0, BATCH * step, stream)
        semitones = None if self.as_stored else torch.randint(-5, 7, (BATCH,), generator=rng)
        return self.source.batch(index, semitones)


def elbo_terms(
    cvae: nn.Module, batch: Batch, noise: Tensor, error: str, free_nats: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Reconstruction (B,), KL as it enters the loss (B,), KL (B,), z."""
    roll, genre = batch.roll, batch.genre
    mean, log_variance = cvae.encode(*batch)
    z = mean + (log_variance / 2).exp() * noise
    if error == "squared-error":
        reconstruction = (cvae.decode(z, genre, roll).sigmoid() - roll).square().sum((1, 2))
    elif cvae.predicts_cells:
        logits = cvae.decode(z, genre, roll)
        reconstruction = nn.functional.binary_cross_entropy_with_logits(logits, roll, reduction="none").sum((1, 2))
    else:
        reconstruction = cvae.nll(z, genre, roll)
    kl = cvae.prior.kl(Posterior(mean, log_variance), z, genre)
    # Free bits: a part of z below the threshold trains the prior only.
    free = cvae.prior.kl(Posterior(mean.detach(), log_variance.detach()), z.detach(), genre)
    parts = zip(kl.split(cvae.latent, 1), free.split(cvae.latent, 1), strict=True)
    in_loss = [of_part if of_part.sum(1).mean() > free_nats else of_prior for of_part, of_prior in parts]
    return reconstruction, torch.cat(in_loss, 1).sum(1), kl.sum(1), z


def with_numbers(z: Tensor, numbers: Tensor) -> Tensor:
    """The latents of each second, and after them the numbers of its 16 frames."""
    n_seconds = T // 16
    parts = zip(z.chunk(n_seconds, 1), numbers.flatten(1).chunk(n_seconds, 1), strict=True)
    return torch.cat([each for part in parts for each in part], 1)


def with_outline(z: Tensor, roll: Tensor, family: str) -> Tensor:
    """In family large z comes with an outline."""
    return z if family == "paper" else with_numbers(z, in_octaves(outline_of(roll)))


def outline_of(roll: Tensor) -> Tensor:
    """How many notes begin and end in each frame, at most 16, and the highest that begins: float (B, T, 3)."""
    before = torch.cat([torch.zeros_like(roll[:, :, :1]), roll[:, :, :-1]], 2)
    begins, ends = roll * (1 - before), before * (1 - roll)
    highest = (begins * torch.arange(128)[:, None]).amax(1)
    return torch.stack([begins.sum(1).clamp_max(16), ends.sum(1).clamp_max(16), highest], 2)


def in_octaves(outline: Tensor) -> Tensor:
    """log2(1 + n) for n notes, and the key in octaves."""
    return torch.cat([(1 + outline[:, :, :2]).log2(), outline[:, :, 2:] / 12], 2)


def fakes_of(
    generator: nn.Module, inputs: Tensor, genre: Tensor, prior: nn.Module, family: str, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Inputs, of which the first rows are drawn by the prior, for the windows' genres, and rolls that they give.

    The rolls are probabilities, or 0 and 1 with their gradient; with 7 random numbers for each frame in family large.
    """
    n = round(PRIOR_SHARE * BATCH)
    z = prior.sample(torch.randn(n, generator.noise_size(T), generator=rng), genre[:n]).detach()
    if family == "paper":
        inputs = torch.cat([z, inputs[n:]])
        return inputs, generator.render(inputs, genre, None)
    uniform = torch.rand(BATCH, T, 7, generator=rng)
    drawn = with_numbers(z, in_octaves(generator.outline.sample(z, genre[:n], uniform[:n, :, 4:]).to(z.dtype)))
    inputs = torch.cat([drawn, inputs[n:]])
    cells = generator.render(inputs, genre, uniform)
    return inputs, (cells > 0.5).double() + cells - cells.detach()


def generator_losses(
    critic: nn.Module, generator: nn.Module, z: Tensor, batch: Batch, prior: nn.Module, rng: torch.Generator,
    family: str,
) -> dict[str, Tensor]:  # fmt: skip
    """-E[D(G(z, y))], and in family large -log p(outline | z, y) a frame."""
    inputs, fake = fakes_of(generator, with_outline(z, batch.roll, family), batch.genre, prior, family, rng)
    losses = {"generator": -critic(fake, batch.genre, inputs.detach()).mean()}
    if family == "large":
        losses["outline"] = generator.outline.nll(z.detach(), batch.genre, outline_of(batch.roll).long()).mean() / T
    return losses


def critic_losses(
    critic: nn.Module, generator: nn.Module, cvae: nn.Module, batch: Batch, rng: torch.Generator, family: str
) -> dict[str, Tensor]:
    """E[D(fake)] - E[D(real)] + penalty E[(|grad D(mixed)| - 1)^2] + drift E[D(real)^2]."""
    real, genre = batch.roll, batch.genre
    with torch.no_grad():
        mean, log_variance = cvae.encode(*batch)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
        z = with_outline(z, real, family)
        z_fake, fake = fakes_of(generator, z, genre, generator.prior, family, rng)
    mix = torch.rand(BATCH, generator=rng)[:, None]
    mixed = (mix[:, :, None] * real + (1 - mix[:, :, None]) * fake).requires_grad_()
    score = critic(mixed, genre, mix * z + (1 - mix) * z_fake).sum()
    (gradient,) = torch.autograd.grad(score, mixed, create_graph=True)
    norm, real_score = gradient.flatten(1).norm(dim=1), critic(real, genre, z)
    distance = real_score.mean() - critic(fake, genre, z_fake).mean()
    loss = -distance + PENALTY * (norm - 1).square().mean() + DRIFT * real_score.square().mean()
    return {"critic": loss, "wasserstein": distance, "gradient_norm": norm.mean()}
