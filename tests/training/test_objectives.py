"""Two steps of each stage against its objective in plain torch, with every weight, rate and share at an odd value.

What a run has saved and logged must follow from the definitions here: batches, random numbers, losses, gradients,
optimizers, learning rates, clipping, moving averages and validation. Networks, priors and distances have tests of their
own (tests/models, test_validation.py); here they are used as they are.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import epochs_logged, opened
from tiny_stores import make_store
from torch import Tensor, nn

import train_cgan
import train_cvae
import train_hybrid
from common.files import save_plain
from common.randomness import rng_at, seed_at
from data.order import WindowOrder
from data.store import RollStore
from data.windows import Batch, WindowSource
from evaluation.statistics.roll_distance import roll_distance, roll_statistics
from models import Posterior
from models.checkpoint import read_checkpoint, weights_content
from models.weight_files import LAST, hybrid_file, pretrained_file
from training.loop import train
from training.roll_stage import RollStage

SEED, T, BATCH, STEPS = 5, 32, 16, 2
SHARED = {
    "seed": SEED, "batch_size": BATCH, "epoch_windows": BATCH * STEPS, "transpose": True, "move_windows": True,
    "ema": 0.3, "clip_norm": 0.05, "schedule": "cosine", "warm_up": 3, "device": "cpu", "threads": 1,
}  # fmt: skip
MUON = {"optimizer": "muon", "matrix_learning_rate": 0.013, "dropout": 0.2}
CVAE = {
    "paper": {"latent": 3, "hidden": 8, "event_size": 4, "genre_size": 3, "prior": "autoregressive"},
    "large": {"architecture": "large", "latent": 2, "hidden": 16, "depth": 1, "genre_size": 3},
}
GAN = {
    "paper": {
        "hidden": 16, "critic_steps": 3, "critic_learning_rate": 7e-3, "gan_betas": (0.3, 0.8), "penalty": 3.7,
        "drift": 0.21, "prior_share": 0.3, "fakes": "soft",
    },
    "large": {
        "architecture": "large", "hidden": 16, "critic_steps": 2, "critic_learning_rate": 7e-3,
        "gan_betas": (0.3, 0.8), "penalty": 3.7, "drift": 0.21, "prior_share": 0.3, "fakes": "binary",
        "critic_hears_z": True,
    },
}  # fmt: skip
STAGE_1 = {
    "paper": {"learning_rate": 3e-3, "beta": 0.37, "free_nats": 2.5, "balance": "weights"},
    "large": {"learning_rate": 3e-3, "beta": 0.37, "free_nats": 1.5, "balance": "sampler", **MUON},
}
STAGE_2 = {
    "paper": {"learning_rate": 2e-3, "balance": "sampler"},
    # Windows as stored, which the stage encodes once for all.
    "large": {"learning_rate": 2e-3, "balance": "none", "transpose": False, "move_windows": False},
}  # fmt: skip
HYBRID = {"cvae_learning_rate": 3e-3, "gan_learning_rate": 2e-3, "alpha": 0.6, "beta": 0.37, "gamma": 23.0}
STAGE_3 = {
    "paper": {
        **HYBRID, "reconstruction": "squared-error", "free_nats": 2.5, "balance": "weights", "encoder_gradient": False
    },
    "large": {**HYBRID, "reconstruction": "nll", "free_nats": 1.5, "balance": "none", "encoder_gradient": True, **MUON},
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Genres of 4, 2 and 1 songs to train, so that weights of genres and balanced samples differ from the plain."""
    splits = [("train",) * n + ("val", "test") for n in (4, 2, 1)]
    return make_store(tmp_path_factory.mktemp("uneven"), splits=splits)


class Plain:
    """A model with plain optimizers and a moving average of its weights."""

    def __init__(self, model: nn.Module, *optimizers: torch.optim.Optimizer) -> None:
        self.model, self.optimizers, self.average = model, optimizers, None
        self.rates = [optimizer.param_groups[0]["lr"] for optimizer in optimizers]
        self.parameters = [each for optimizer in optimizers for each in optimizer.param_groups[0]["params"]]

    def step(self, gradients: list[Tensor | None], rate_factor: float) -> None:
        norm = torch.cat([each.flatten() for each in gradients if each is not None]).norm()
        assert norm > SHARED["clip_norm"], "the test needs gradients that are clipped"
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = None if gradient is None else gradient * SHARED["clip_norm"] / norm
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * rate_factor
            optimizer.step()
        with torch.no_grad():
            now = {name: each.clone() for name, each in self.model.state_dict().items()}
        average, decay = self.average or now, SHARED["ema"]
        self.average = {name: average[name] + (1 - decay) * (each - average[name]) for name, each in now.items()}


def update(loss: Tensor, step: int, n_windows: int, *trained: Plain) -> None:
    """Move models along the gradient of the loss, at the learning rate of the step: warm-up, and a cosine to 0."""
    factor = min(1, (step + 1) / 3) * (1 + math.cos(math.pi * step * BATCH / n_windows)) / 2
    gradients = torch.autograd.grad(loss, [each for plain in trained for each in plain.parameters], allow_unused=True)
    for plain in trained:
        plain.step(gradients[: len(plain.parameters)], factor)
        gradients = gradients[len(plain.parameters) :]


def plain_cvae(cvae: nn.Module, rate: float, family: str) -> Plain:
    """Adam, or Muon for the matrices of attention layers and AdamW for the rest."""
    if family == "paper":
        return Plain(cvae, torch.optim.Adam(cvae.parameters(), rate, (0.9, 0.999)))
    for module in cvae.modules():
        if isinstance(module, nn.Dropout):
            module.p = MUON["dropout"]
    matrices, rest = [], []
    for name, parameter in cvae.named_parameters():
        of_attention = name.startswith("decoder.blocks.") and name.endswith(
            (".attend.weight", ".attended.weight", ".widen.weight", ".narrow.weight")
        )
        (matrices if of_attention else rest).append(parameter)
    muon = torch.optim.Muon(matrices, MUON["matrix_learning_rate"], weight_decay=0.01, adjust_lr_fn="original")
    return Plain(cvae, muon, torch.optim.AdamW(rest, rate, (0.9, 0.98), weight_decay=0.01))


def plain_gan(generator: nn.Module, critic: nn.Module, rate: float) -> tuple[Plain, Plain]:
    own = [parameter for name, parameter in generator.named_parameters() if "prior" not in name]
    return (
        Plain(generator, torch.optim.Adam(own, rate, (0.3, 0.8))),
        Plain(critic, torch.optim.Adam(critic.parameters(), 7e-3, (0.3, 0.8))),
    )


class Windows:
    """The training windows of each step: cut at random frames, transposed at random, or as stored; in random order."""

    def __init__(self, folder: Path, balance: str, as_stored: bool = False) -> None:
        source = WindowSource(RollStore.open(folder), "train", T)
        moved = torch.randint(T, (len(source),), generator=rng_at("move", SEED, T, 0))
        self.source, self.as_stored = source if as_stored else source.moved(moved), as_stored
        self.order = WindowOrder(source.genre, BATCH, SEED, balanced=balance == "sampler")
        count = torch.bincount(source.genre).float()
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


def latents_of_fakes(z: Tensor, genre: Tensor, prior: nn.Module, rng: torch.Generator) -> Tensor:
    """The first .3 of 16 latents are the prior's, of the windows' genres."""
    with torch.no_grad():
        return torch.cat([prior.sample(torch.randn(5, z.shape[1], generator=rng), genre[:5]), z[5:]])


def fakes_of(generator: nn.Module, z: Tensor, genre: Tensor, family: str) -> Tensor:
    cells = generator(z, genre)
    return cells if family == "paper" else (cells > 0.5).float() + cells - cells.detach()


def critic_losses(
    critic: nn.Module, generator: nn.Module, encoded: tuple[Batch, Tensor, Tensor], rng: torch.Generator, family: str
) -> dict[str, Tensor]:
    """E[D(fake)] - E[D(real)] + 3.7 E[(|grad D(mixed)| - 1)^2] + .21 E[D(real)^2]."""
    batch, mean, log_variance = encoded
    real, genre = batch.roll, batch.genre
    z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
    z_fake = latents_of_fakes(z, genre, generator.prior, rng)
    fake = fakes_of(generator, z_fake, genre, family).detach()
    mix = torch.rand(BATCH, generator=rng)[:, None]
    mixed = (mix[:, :, None] * real + (1 - mix[:, :, None]) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(
        critic(mixed, genre, mix * z + (1 - mix) * z_fake).sum(), mixed, create_graph=True
    )
    norm, real_score = gradient.flatten(1).norm(dim=1), critic(real, genre, z)
    distance = real_score.mean() - critic(fake, genre, z_fake).mean()
    loss = -distance + 3.7 * (norm - 1).square().mean() + 0.21 * real_score.square().mean()
    return {"critic": loss, "wasserstein": distance, "gradient_norm": norm.mean()}


def write_initial_weights(store: Path, folder: Path, family: str) -> None:
    """Weights of stages 1 and 2 that have learned something: cells that sound, a prior that depends on the genre."""
    rng = torch.Generator().manual_seed(1)

    def save(stage: RollStage, name: str, model: nn.Module, target: Path) -> None:
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                width = 1.0 if key.startswith("prior.") or key == "roll.bias" else 0.1
                parameter.add_(width * torch.randn(parameter.shape, generator=rng))
            if name == "generator":
                model.roll.bias.add_(4)
        target.mkdir(parents=True, exist_ok=True)
        save_plain(weights_content(model, stage.facts(stage.phases[0])), target / pretrained_file(name))

    places = {"store": store, "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    first = opened(train_cvae.CVAEStage(train_cvae.Options(**SHARED, **places, **CVAE[family])))
    save(first, "cvae", first.models["cvae"], folder / "checkpoints")
    second = opened(train_cgan.CGANStage(train_cgan.Options(**SHARED, **places, **GAN[family])))
    for name, model in second.models.items():
        save(second, name, model, folder / "initial")


def run(
    make: Callable[[Any], RollStage], options: Any, files: dict[str, str]
) -> tuple[dict[str, nn.Module], dict[str, dict[str, Tensor]], dict[str, Any], RollStage]:
    """Models before the first step, weights saved after the last, the log of the epoch, and a stage to look at."""
    stage = opened(make(options))
    models = copy.deepcopy(stage.models)
    train(make(options))
    saved = {name: read_checkpoint(options.checkpoints / file)["weights"] for name, file in files.items()}
    (record,) = epochs_logged(options.runs / stage.name)
    return models, saved, record, stage


def assert_same_training(
    found: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor]
) -> None:
    """Every tensor has moved as expected, within 3 % of the way: rounding decides the sign of tiny gradients."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        way = (tensor - before[name]).norm()
        assert (found[name] - tensor).norm() <= 0.03 * way + 1e-7, name


def assert_logged(record: dict[str, Any], losses: list[dict[str, Tensor]]) -> None:
    for name in losses[0]:
        mean = sum(float(each[name].detach()) for each in losses) / STEPS
        assert record["train"][name] == pytest.approx(mean, rel=1e-3, abs=1e-5), name


def validated(model: nn.Module, average: dict[str, Tensor]) -> nn.Module:
    model = copy.deepcopy(model).eval()
    model.load_state_dict(average)
    return model


@torch.no_grad()
def assert_validates_cvae(record: dict[str, Any], cvae: nn.Module, store: Path, error: str) -> None:
    windows = WindowSource(RollStore.open(store), "val", T)
    noise = torch.randn(len(windows), cvae.noise_size(T), generator=rng_at("validation"))
    reconstruction, _, kl, _ = elbo_terms(cvae, windows.batch(torch.arange(len(windows))), noise, error, 0.0)
    of_genre = [(reconstruction + 0.37 * kl)[windows.genre == genre].mean() for genre in range(3)]
    assert record["val"]["negative_elbo"] == pytest.approx(float(sum(of_genre) / 3), rel=1e-4)


@torch.no_grad()
def assert_validates_generator(record: dict[str, Any], generator: nn.Module, store: Path) -> None:
    windows = WindowSource(RollStore.open(store), "val", T)
    noise = torch.randn(len(windows), generator.noise_size(T), generator=rng_at("validation"))
    rolls = (generator(generator.prior.sample(noise, windows.genre), windows.genre) > 0.5).float()
    real = roll_statistics(windows.rolls(torch.arange(len(windows))))
    distance = roll_distance(roll_statistics(rolls), real, windows.genre, windows.genre)
    assert record["val"]["roll_distance"] == pytest.approx(distance, rel=1e-2)


@pytest.mark.parametrize("family", ["paper", "large"])
def test_stage_1(family: str, store: Path, tmp_path: Path) -> None:
    places = {"store": store, "checkpoints": tmp_path / "checkpoints", "runs": tmp_path / "runs"}
    odd = STAGE_1[family]
    options = train_cvae.Options(**SHARED, **places, **CVAE[family], **odd, epochs=1)
    models, saved, record, _ = run(train_cvae.CVAEStage, options, {"cvae": pretrained_file("cvae", LAST)})
    cvae, before = models["cvae"].train(), copy.deepcopy(models["cvae"].state_dict())
    plain, windows, losses = plain_cvae(cvae, odd["learning_rate"], family), Windows(store, odd["balance"]), []
    for step in range(STEPS):
        torch.manual_seed(seed_at("step", SEED, "T=32", 0, BATCH * step))  # for dropout
        rng = rng_at("noise", SEED, T, 0, step)
        batch = windows.batch(step, rng)
        noise = torch.randn(BATCH, cvae.noise_size(T), generator=rng)
        reconstruction, kl_in_loss, kl, _ = elbo_terms(cvae, batch, noise, "nll", odd["free_nats"])
        loss = (windows.genre_weights[batch.genre] * (reconstruction + 0.37 * kl_in_loss)).mean()
        losses.append({"loss": loss, "reconstruction": reconstruction.mean(), "kl": kl.mean()})
        update(loss, step, BATCH * STEPS, plain)
    assert_same_training(saved["cvae"], plain.average, before)
    assert_logged(record, losses)
    assert_validates_cvae(record, validated(cvae, plain.average), store, "nll")


@pytest.mark.parametrize("family", ["paper", "large"])
def test_stage_2(family: str, store: Path, tmp_path: Path) -> None:
    write_initial_weights(store, tmp_path, family)
    places = {"store": store, "checkpoints": tmp_path / "checkpoints", "runs": tmp_path / "runs"}
    odd = STAGE_2[family]
    options = train_cgan.Options(
        **{**SHARED, **places, **GAN[family], **odd}, epochs=1, init_from=tmp_path / "initial"
    )
    files = {name: pretrained_file(name, LAST) for name in ("generator", "critic")}
    models, saved, record, stage = run(train_cgan.CGANStage, options, files)
    before = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()}
    generator, critic, cvae = models["generator"], models["critic"], stage.cvae
    plain_g, plain_d = plain_gan(generator, critic, odd["learning_rate"])
    windows, losses = Windows(store, odd["balance"], as_stored="transpose" in odd), []
    for step in range(STEPS):
        rng = rng_at("noise", SEED, T, 0, step)
        for stream in range(1, options.critic_steps + 1):
            batch = windows.batch(step, rng, stream)
            of_critic = critic_losses(critic, generator, (batch, *cvae.encode(*batch)), rng, family)
            update(of_critic["critic"], step, BATCH * STEPS, plain_d)
        batch = windows.batch(step, rng)
        mean, log_variance = cvae.encode(*batch)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
        z = latents_of_fakes(z, batch.genre, cvae.prior, rng)
        loss = -critic(fakes_of(generator, z, batch.genre, family), batch.genre, z).mean()
        update(loss, step, BATCH * STEPS, plain_g)
        losses.append({"generator": loss, **of_critic})
    assert_same_training(saved["generator"], plain_g.average, before["generator"])
    assert_same_training(saved["critic"], critic.state_dict(), before["critic"])
    assert_logged(record, losses)
    assert_validates_generator(record, validated(generator, plain_g.average), store)


@pytest.mark.parametrize("family", ["paper", "large"])
def test_stage_3(family: str, store: Path, tmp_path: Path) -> None:
    write_initial_weights(store, tmp_path, family)
    for path in (tmp_path / "initial").iterdir():
        path.rename(tmp_path / "checkpoints" / path.name)
    places = {"store": store, "checkpoints": tmp_path / "checkpoints", "runs": tmp_path / "runs"}
    odd = STAGE_3[family]
    options = train_hybrid.Options(**SHARED, **places, **GAN[family], **odd, seq_lens=(T,), epochs=(1,))
    files = {name: hybrid_file(name, T, LAST) for name in ("cvae", "G", "D")}
    models, saved, record, _ = run(train_hybrid.HybridStage, options, files)
    before = {name: copy.deepcopy(model.state_dict()) for name, model in models.items()}
    cvae, generator, critic = models["cvae"].train(), models["G"], models["D"]
    plain_g, plain_d = plain_gan(generator, critic, odd["gan_learning_rate"])
    plain = plain_cvae(cvae, odd["cvae_learning_rate"], family)
    windows, losses = Windows(store, odd["balance"]), []
    for step in range(STEPS):
        torch.manual_seed(seed_at("step", SEED, "T=32", 0, BATCH * step))  # for dropout
        rng = rng_at("noise", SEED, T, 0, step)
        for stream in range(1, options.critic_steps + 1):
            batch = windows.batch(step, rng, stream)
            with torch.no_grad():
                encoded = batch, *cvae.encode(*batch)
            of_critic = critic_losses(critic, generator, encoded, rng, family)
            update(of_critic["critic"], step, BATCH * STEPS, plain_d)
        batch = windows.batch(step, rng)
        noise = torch.randn(BATCH, cvae.noise_size(T), generator=rng)
        reconstruction, kl_in_loss, kl, z = elbo_terms(cvae, batch, noise, odd["reconstruction"], odd["free_nats"])
        elbo = (windows.genre_weights[batch.genre] * (reconstruction + 0.37 * kl_in_loss)).mean()
        z = latents_of_fakes(z if odd["encoder_gradient"] else z.detach(), batch.genre, cvae.prior, rng)
        fakes = fakes_of(generator, z, batch.genre, family)
        of_generator = -critic(fakes, batch.genre, z.detach()).mean()
        loss = 0.6 * elbo + 23.0 * of_generator
        update(loss, step, BATCH * STEPS, plain, plain_g)
        losses.append(
            {"loss": loss, "reconstruction": reconstruction.mean(), "kl": kl.mean(), "generator": of_generator}
            | of_critic
        )
    assert_same_training(saved["cvae"], plain.average, before["cvae"])
    assert_same_training(saved["G"], plain_g.average, before["G"])
    assert_same_training(saved["D"], critic.state_dict(), before["D"])
    assert_logged(record, losses)
    assert_validates_cvae(record, validated(cvae, plain.average), store, odd["reconstruction"])
    assert_validates_generator(record, validated(generator, plain_g.average), store)
