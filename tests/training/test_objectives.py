"""Two steps of each stage against its objective in plain torch, with every weight, rate and share at an odd value.

The weights and losses of a run must follow from `plain_training`: batches, random numbers, losses, optimizers, learning
rates, clipping, moving averages; and so must its validation. Networks, priors and distances have other tests.
"""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plain_training as plain
import pytest
import torch
from plain_training import ALPHA, BATCH, BETA, GAMMA, SEED, STEPS, Plain, T
from stages import epochs_logged, opened
from tiny_stores import make_store
from torch import Tensor, nn

import train_cgan
import train_cvae
import train_hybrid
from common.files import save_plain
from common.randomness import rng_at, seed_at
from data.store import RollStore
from data.windows import Batch, WindowSource
from evaluation.statistics.distances import roll_distance, roll_statistics
from models.checkpoint import read_checkpoint, weights_content
from models.weight_files import LAST, hybrid_file, pretrained_file
from training.loop import train
from training.roll_stage import RollStage

SHARED = {
    "seed": SEED, "batch_size": BATCH, "epoch_windows": BATCH * STEPS, "transpose": True, "move_windows": True,
    "ema": plain.EMA, "clip_norm": plain.CLIP_NORM, "schedule": "cosine",
    "warm_up": plain.WARM_UP, "device": "cpu", "threads": 1,
}  # fmt: skip
MUON = {
    "optimizer": "muon", "matrix_learning_rate": plain.MATRIX_RATE, "dropout": plain.DROPOUT
}  # fmt: skip
CVAE = {
    "paper": {"latent": 3, "hidden": 8, "event_size": 4, "genre_size": 3, "prior": "autoregressive"},
    "large": {"architecture": "large", "latent": 2, "hidden": 16, "depth": 1, "genre_size": 3},
}
WGAN = {
    "hidden": 16, "critic_learning_rate": plain.CRITIC_RATE, "gan_betas": plain.GAN_BETAS,
    "penalty": plain.PENALTY, "drift": plain.DRIFT, "prior_share": plain.PRIOR_SHARE,
}  # fmt: skip
GAN = {
    "paper": {**WGAN, "critic_steps": 3, "fakes": "soft"},
    "large": {**WGAN, "critic_steps": 2, "fakes": "binary", "architecture": "large", "critic_takes_z": True},
}
STAGE_1 = {
    "paper": {"learning_rate": 3e-3, "beta": BETA, "free_nats": 0.8, "balance": "weights"},
    "large": {
        "architecture": "large",
        "learning_rate": 3e-3,
        "beta": BETA,
        "free_nats": 0.4,
        "balance": "sampler",
        **MUON,
    },
}
STAGE_2 = {
    "paper": {"learning_rate": 2e-3, "balance": "sampler"},
    # Windows as stored, which the stage encodes once for all.
    "large": {"learning_rate": 2e-3, "balance": "none", "transpose": False, "move_windows": False},
}
HYBRID = {"cvae_learning_rate": 3e-3, "gan_learning_rate": 2e-3, "alpha": ALPHA, "beta": BETA, "gamma": GAMMA}
STAGE_3 = {
    "paper": {**HYBRID, "reconstruction": "squared-error", "free_nats": 0.85, "encoder_gradient": False},
    "large": {**HYBRID, **MUON, "reconstruction": "nll", "free_nats": 0.45, "balance": "none"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Genres of 4, 2 and 1 songs to train, so that genre weights and balanced samples make a difference."""
    splits = [("train",) * n_train + ("val",) * n_val for n_train, n_val in ((4, 1), (2, 2), (1, 1))]
    return make_store(tmp_path_factory.mktemp("uneven"), splits=splits)


@pytest.fixture(autouse=True)
def double(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compute in float64: in float32, rounding decides the sign of small gradients, and so the first steps of Adam."""
    batch, rolls = WindowSource.batch, WindowSource.rolls

    def double_batch(*arguments: Any) -> Batch:
        return Batch(*(each.double() if each.is_floating_point() else each for each in batch(*arguments)))

    monkeypatch.setattr(WindowSource, "batch", double_batch)
    monkeypatch.setattr(WindowSource, "rolls", lambda *arguments: rolls(*arguments).double())
    monkeypatch.setattr(Tensor, "float", Tensor.double)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(params=["paper", "large"])
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def places(family: str, store: Path, tmp_path: Path) -> dict[str, Path]:
    """Folders with weights of stages 1 and 2: rolls that sound, a prior and a critic that depend on the genre."""
    places, rng = {"store": store, "checkpoints": tmp_path, "runs": tmp_path / "runs"}, torch.Generator().manual_seed(1)

    def save(stage: RollStage) -> None:
        for name, model in stage.models.items():
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
                if name == "generator":
                    model.roll.bias.copy_(torch.randn(model.roll.bias.shape, generator=rng) - 1)
            save_plain(weights_content(model, stage.facts(stage.phases[0])), tmp_path / pretrained_file(name))

    save(opened(train_cvae.make_stage(train_cvae.Options(**SHARED, **places, **CVAE[family]))))
    save(opened(train_cgan.make_stage(train_cgan.Options(**SHARED, **places, **GAN[family]))))
    return places


def run(
    make: Callable[[Any], RollStage], options: Any, files: dict[str, str]
) -> tuple[RollStage, dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The stage before its first step; the weights saved and the record logged after the last."""
    stage = opened(make(options))
    train(make(options))
    (record,) = epochs_logged(options.runs / stage.name)
    return stage, {name: read_checkpoint(options.checkpoints / file)["weights"] for name, file in files.items()}, record


def assert_same_training(found: dict[str, Tensor], expected: dict[str, Tensor], before: dict[str, Tensor]) -> None:
    """Every tensor has moved as expected."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert (found[name] - tensor).norm() <= 1e-4 * (tensor - before[name]).norm() + 1e-9, name


def assert_logged(record: dict[str, Any], losses: list[dict[str, Tensor]]) -> None:
    """The log has the means over the steps."""
    assert record["train"].keys() == losses[0].keys()
    for name in losses[0]:
        mean = sum(float(each[name].detach()) for each in losses) / STEPS
        assert record["train"][name] == pytest.approx(mean, rel=1e-4, abs=1e-6), name


@torch.no_grad()
def assert_validates(
    record: dict[str, Any], store: Path, cvae: Plain | None, error: str, generator: Plain | None
) -> None:
    """The moving averages are validated: ELBO, mean over genres, and distance to real rolls, with z of the prior."""
    windows, expected = WindowSource(RollStore.open(store), "val", T), {}
    batch = windows.batch(torch.arange(len(windows)))

    def averaged(trained: Plain) -> tuple[nn.Module, Tensor]:
        trained.model.eval().load_state_dict(trained.average)
        return trained.model, torch.randn(len(windows), trained.model.noise_size(T), generator=rng_at("validation"))

    if cvae:
        model, noise = averaged(cvae)
        reconstruction, _, kl, _ = plain.elbo_terms(model, batch, noise, error, 0.0)
        for name, terms in (("kl", kl), ("negative_elbo", reconstruction + BETA * kl)):
            expected[name] = float(sum(terms[batch.genre == genre].mean() for genre in range(3)) / 3)
    if generator:
        model, noise = averaged(generator)
        z, uniform = model.prior.sample(noise, batch.genre), None
        if shape := model.chance_shape(T):
            uniform = torch.rand(len(windows), *shape, generator=rng_at("validation", "uniform"))
        rolls = model.play(model(z, batch.genre, uniform)).float()
        real, genre = roll_statistics(batch.roll), batch.genre
        expected["roll_distance"] = roll_distance(roll_statistics(rolls), real, genre, genre)
    assert expected == {name: pytest.approx(record["val"][name], rel=1e-4) for name in expected}


def test_stage_1(family: str, store: Path, places: dict[str, Path]) -> None:
    odd = STAGE_1[family]
    initial = {"init_from": places["checkpoints"], "restart": True}
    options = train_cvae.Options(**SHARED, **places, **odd, **initial, epochs=1)
    stage, saved, record = run(train_cvae.make_stage, options, {"cvae": pretrained_file("cvae", LAST)})
    cvae = stage.models["cvae"].train()
    before, losses = copy.deepcopy(cvae.state_dict()), []
    of_cvae, windows = plain.plain_cvae(cvae, odd["learning_rate"], family), plain.Windows(store, odd["balance"])
    for step in range(STEPS):
        torch.manual_seed(seed_at("step", SEED, "T=32", 0, BATCH * step))  # for dropout
        rng = rng_at("noise", SEED, T, 0, step)
        batch = windows.batch(step, rng)
        noise = torch.randn(BATCH, cvae.noise_size(T), generator=rng)
        reconstruction, kl_in_loss, kl, _ = plain.elbo_terms(cvae, batch, noise, "nll", odd["free_nats"])
        loss = (windows.genre_weights[batch.genre] * (reconstruction + BETA * kl_in_loss)).mean()
        losses.append({"loss": loss, "reconstruction": reconstruction.mean(), "kl": kl.mean()})
        plain.update(loss, step, of_cvae)
    assert_same_training(saved["cvae"], of_cvae.average, before)
    assert_logged(record, losses)
    assert_validates(record, store, of_cvae, "nll", None)


def test_stage_2(family: str, store: Path, places: dict[str, Path]) -> None:
    odd = STAGE_2[family]
    initial = {"init_from": places["checkpoints"], "restart": True}
    options = train_cgan.Options(**{**SHARED, **places, **GAN[family], **odd, **initial}, epochs=1)
    files = {name: pretrained_file(name, LAST) for name in ("generator", "critic")}
    stage, saved, record = run(train_cgan.make_stage, options, files)
    cvae, generator, critic = stage.cvae, stage.models["generator"], stage.models["critic"]
    before = {name: copy.deepcopy(model.state_dict()) for name, model in stage.models.items()}
    of_g, of_d = plain.plain_gan(generator, critic, odd["learning_rate"])
    windows, losses = plain.Windows(store, odd["balance"], as_stored="transpose" in odd), []
    for step in range(STEPS):
        rng = rng_at("noise", SEED, T, 0, step)
        for stream in range(1, options.critic_steps + 1):
            of_critic = plain.critic_losses(critic, generator, cvae, windows.batch(step, rng, stream), rng, family)
            plain.update(of_critic["critic"], step, of_d)
        batch = windows.batch(step, rng)
        mean, log_variance = cvae.encode(*batch)
        z = mean + (log_variance / 2).exp() * torch.randn(mean.shape, generator=rng)
        of_generator = plain.generator_losses(critic, generator, z, batch, cvae.prior, rng, family)
        plain.update(sum(of_generator.values()), step, of_g)
        losses.append({**of_generator, **of_critic})
    assert_same_training(saved["generator"], of_g.average, before["generator"])
    assert_same_training(saved["critic"], critic.state_dict(), before["critic"])
    assert_logged(record, losses)
    assert_validates(record, store, None, "", of_g)


def test_stage_3(family: str, store: Path, places: dict[str, Path]) -> None:
    options = train_hybrid.Options(**SHARED, **places, **GAN[family], **STAGE_3[family], seq_lens=(T,), epochs=(1,))
    files = {name: hybrid_file(name, T, LAST) for name in ("cvae", "G", "D")}
    stage, saved, record = run(train_hybrid.make_stage, options, files)
    before = {name: copy.deepcopy(model.state_dict()) for name, model in stage.models.items()}
    cvae, generator, critic = stage.models["cvae"].train(), stage.models["G"], stage.models["D"]
    of_g, of_d = plain.plain_gan(generator, critic, options.gan_learning_rate)
    of_cvae = plain.plain_cvae(cvae, options.cvae_learning_rate, family)
    windows, losses = plain.Windows(store, options.balance), []
    for step in range(STEPS):
        torch.manual_seed(seed_at("step", SEED, "T=32", 0, BATCH * step))  # for dropout
        rng = rng_at("noise", SEED, T, 0, step)
        for stream in range(1, options.critic_steps + 1):
            of_critic = plain.critic_losses(critic, generator, cvae, windows.batch(step, rng, stream), rng, family)
            plain.update(of_critic["critic"], step, of_d)
        batch = windows.batch(step, rng)
        noise = torch.randn(BATCH, cvae.noise_size(T), generator=rng)
        terms = plain.elbo_terms(cvae, batch, noise, options.reconstruction, options.free_nats)
        reconstruction, kl_in_loss, kl, z = terms
        elbo = ALPHA * (windows.genre_weights[batch.genre] * (reconstruction + BETA * kl_in_loss)).mean()
        z_of_generator = z if options.encoder_gradient else z.detach()
        of_generator = plain.generator_losses(critic, generator, z_of_generator, batch, cvae.prior, rng, family)
        likelihoods = sum(loss for name, loss in of_generator.items() if name != "generator")
        adversarial = GAMMA * of_generator["generator"] + likelihoods
        norms = [
            torch.autograd.grad(each, z, retain_graph=True, allow_unused=True, materialize_grads=True)[0].norm()
            for each in (adversarial, elbo)
        ]
        plain.update(elbo + adversarial, step, of_cvae, of_g)
        losses.append({"loss": elbo + adversarial, "reconstruction": reconstruction.mean(), "kl": kl.mean()})
        losses[-1] |= {**of_generator, "generator_share": norms[0] / sum(norms), **of_critic}
    assert_same_training(saved["cvae"], of_cvae.average, before["cvae"])
    assert_same_training(saved["G"], of_g.average, before["G"])
    assert_same_training(saved["D"], critic.state_dict(), before["D"])
    assert_logged(record, losses)
    assert_validates(record, store, of_cvae, options.reconstruction, of_g)
