"""A trained prior: one for CVAE and generator, and the source of z in generation."""

from pathlib import Path

import torch
from stages import cgan_options, cvae_options, hybrid_options, opened

import train_cgan
import train_cvae
import train_hybrid
from evaluation.samples.sampling import sample_prior
from models.trained import load
from models.weight_files import hybrid_file, pretrained_file


def test_a_trained_prior_goes_through_all_stages(tiny_store: Path, tmp_path: Path) -> None:
    options = cvae_options(tiny_store, tmp_path, epochs=1, learning_rate=1e-2, prior="autoregressive")
    train_cvae.train_cvae(options)
    train_cgan.train_cgan(cgan_options(tiny_store, tmp_path))
    priors = [load(tmp_path / "checkpoints" / pretrained_file(n), n, "").model.prior for n in ("cvae", "generator")]
    weights = [prior.moments.weight for prior in priors]
    assert weights[0].any() and torch.equal(*weights), "stage 2 does not train it"
    noise, genre = torch.randn(4, 32, dtype=torch.float64), torch.tensor([0, 1, 1, 2])
    generator = load(tmp_path / "checkpoints" / pretrained_file("generator"), "generator", "").model
    with torch.no_grad():
        expected = generator.double().prior.sample(noise, genre)
    torch.testing.assert_close(sample_prior(generator.float(), noise, genre.tolist()), expected, atol=1e-4, rtol=1e-4)

    stage = opened(train_hybrid.HybridStage(hybrid_options(tiny_store, tmp_path)))
    assert stage.models["G"].prior is stage.models["cvae"].prior
    train_hybrid.train_hybrid(hybrid_options(tiny_store, tmp_path, cvae_learning_rate=1e-2))
    files = {"cvae": hybrid_file("cvae", 64, "last"), "generator": hybrid_file("G", 64, "last")}
    later = [load(tmp_path / "checkpoints" / file, kind, "").model.prior.moments.weight for kind, file in files.items()]
    assert torch.equal(*later) and not torch.equal(later[0], weights[0]), "stage 3 trains it"
