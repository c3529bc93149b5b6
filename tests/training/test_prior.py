"""A prior that learns: it comes with the CVAE, is the generator's, travels in the weights, and everything asks it."""

from pathlib import Path

import pytest
import torch
from stages import cgan_options, cvae_options, hybrid_options, opened
from torch import Tensor, nn

import train_cgan
import train_cvae
import train_hybrid
from evaluation.samples.sampling import play_latents, sample_prior
from models import CVAE, PAPER, Posterior, architectures, prior
from models.architectures import Architecture
from models.trained import load
from models.weight_files import hybrid_file, pretrained_file
from training.validation import validate_generator


class GenreMeans(nn.Module):
    """N(mean of the genre, I)."""

    def __init__(self, latent: int, n_genres: int) -> None:
        super().__init__()
        self.mean = nn.Embedding(n_genres, latent)

    def sample(self, noise: Tensor, genre: Tensor, before: Tensor | None = None) -> Tensor:
        return self.mean(genre) + noise

    def kl(self, posterior: Posterior, z: Tensor, genre: Tensor) -> Tensor:
        shift = posterior.mean - self.mean(genre)
        return 0.5 * (shift.square() + posterior.log_variance.exp() - 1 - posterior.log_variance)


@pytest.fixture(autouse=True)
def learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(prior.PRIORS, "genre-means", GenreMeans)
    sizes = {**architectures.ARCHITECTURES["cvae"][PAPER].sizes, "prior": "genre-means"}
    monkeypatch.setitem(architectures.ARCHITECTURES["cvae"], PAPER, Architecture(CVAE, sizes))


def test_a_prior_that_learns_goes_through_all_stages(tiny_store: Path, tmp_path: Path) -> None:
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path, epochs=1, learning_rate=1e-2))
    train_cgan.train_cgan(cgan_options(tiny_store, tmp_path))
    cvae, generator = (
        load(tmp_path / "checkpoints" / pretrained_file(name), name, "").model for name in ("cvae", "generator")
    )
    assert torch.equal(generator.prior.mean.weight, cvae.prior.mean.weight), "stage 2 leaves it alone"

    stage = opened(train_hybrid.HybridStage(hybrid_options(tiny_store, tmp_path)))
    assert stage.models["G"].prior is stage.models["cvae"].prior
    trained = [id(tensor) for group in stage.optimizers["G"].param_groups for tensor in group["params"]]
    assert id(stage.models["G"].prior.mean.weight) not in trained and len(trained) == len(set(trained))

    train_hybrid.train_hybrid(hybrid_options(tiny_store, tmp_path, cvae_learning_rate=1e-2))
    cvae, generator = (
        load(tmp_path / "checkpoints" / hybrid_file(name, 64, "last"), kind, "").model
        for name, kind in (("cvae", "cvae"), ("G", "generator"))
    )
    assert torch.equal(generator.prior.mean.weight, cvae.prior.mean.weight)
    assert not torch.equal(generator.prior.mean.weight, stage.models["G"].prior.mean.weight), "it has learned"


def test_generation_and_validation_ask_the_prior(tiny_store: Path, tmp_path: Path) -> None:
    train_cvae.train_cvae(cvae_options(tiny_store, tmp_path, epochs=1))
    stage = opened(train_cgan.CGANStage(cgan_options(tiny_store, tmp_path)))
    generator = stage.models["generator"].eval()
    with torch.no_grad():
        generator.roll.weight.mul_(20)
        generator.prior.mean.weight[1] = 3.0
    noise, genre = torch.randn(4, 32, dtype=torch.float64), [0, 1, 1, 2]
    z = noise + generator.prior.mean.weight.detach()[genre].double()
    assert torch.equal(sample_prior(generator, noise, genre), z)
    assert play_latents(generator, z, genre, 32).shape == (4, 128, 32)
    before = validate_generator(generator, stage.val_windows)
    with torch.no_grad():
        generator.prior.mean.weight[1] = -3.0
    assert validate_generator(generator, stage.val_windows) != before
