"""The weights that come with the repository: complete, small, loadable, without paths of a machine."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from common.files import hash_of_file
from explainable.attributes import ATTRIBUTES, attributes
from explainable.steering import TOLERANCES, steer
from explainable.trained import load_vae
from models.study.attribute_vae import AttributeVAE
from models.trained import load
from models.weight_files import FOLDERS, RELEASED, folder_of

SUMS = dict(reversed(line.split()) for line in (RELEASED / "SHA256SUMS").read_text().splitlines())
MEASURES = "explainable"
MOST_BYTES = {MEASURES: 4e6, "paper": 5e6, "large": 40e6}


def texts(content: object) -> list[str]:
    """All strings in plain data."""
    if isinstance(content, dict):
        return [text for item in content.items() for part in item for text in texts(part)]
    if isinstance(content, list | tuple):
        return [text for part in content for text in texts(part)]
    return [content] if isinstance(content, str) else []


def test_every_file_has_a_hash_and_all_are_small() -> None:
    files = sorted(RELEASED.rglob("*.pth"))
    musicnn = sorted((RELEASED / "musicnn").glob("*.safetensors"))  # hashes are checked when they are loaded
    assert sorted(SUMS) == [path.relative_to(RELEASED).as_posix() for path in sorted([*files, *musicnn])]
    assert {path.parent.name for path in files} == MOST_BYTES.keys()
    for folder, most in MOST_BYTES.items():
        assert sum(path.stat().st_size for path in files if path.parent.name == folder) < most


@pytest.mark.parametrize("name", [name for name in SUMS if name.endswith(".pth")])
def test_weights_are_as_they_were_written(name: str) -> None:
    path = RELEASED / name
    assert hash_of_file(path, 64) == SUMS[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    if path.parent.name == MEASURES:
        trained = load_vae(path)
        assert trained.model.network == path.stem and tuple(trained.attributes) == ATTRIBUTES
    else:
        trained = load(path, ("cvae", "generator", "critic"), "")
        assert trained.genres == ["classical", "jazz", "rock", "pop"]
    assert all(weights.dtype == torch.float32 for weights in trained.model.parameters())
    assert not [text for text in texts(trained.facts) if text.startswith(("/", "~"))], "a path of a machine"


def test_own_weights_come_before_those_of_the_repository(tmp_path: Path) -> None:
    assert folder_of("large", tmp_path) == RELEASED / "large"
    (tmp_path / FOLDERS["large"]).mkdir(parents=True)
    assert folder_of("large", tmp_path) == RELEASED / "large"
    (tmp_path / FOLDERS["large"] / "cvae_pretrained_best.pth").touch()
    assert folder_of("large", tmp_path) == tmp_path / FOLDERS["large"]
    assert folder_of("paper", tmp_path) == RELEASED / "paper", "those of large are in a folder of their own"


@pytest.mark.parametrize("network", ["measure_vae", "adversarial_vae", "attribute_vae"])
def test_models_of_the_study_reach_requested_attributes(network: str) -> None:
    """From z ~ N(0, I) measures approach a density that few have by chance; those of AttributeVAE reach it."""
    trained = load_vae(RELEASED / MEASURES / f"{network}.pth")
    z = torch.randn(64, trained.model.latent, generator=torch.Generator().manual_seed(0))
    own, column = trained.mean_controls(len(z)), ATTRIBUTES.index("note_density")
    before = attributes(trained.decode(z, own), trained.form)
    requested = np.full(before.shape, np.nan, np.float32)
    requested[:, column] = 0.5
    reached = attributes(steer(trained, z, own, requested), trained.form)
    far, near = (np.abs(values[:, column] - 0.5) for values in (before, reached))
    assert near.mean() < 0.8 * far.mean() and (far <= TOLERANCES[column]).mean() < 0.2
    if network == AttributeVAE.network:
        assert (near <= TOLERANCES[column] + 1e-6).mean() > 0.9
