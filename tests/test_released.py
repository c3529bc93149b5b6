"""The weights that come with the repository: whole, small, readable, and of nobody's machine."""

import hashlib
from pathlib import Path

import pytest
import torch

from common.files import hash_of_file
from models.trained import load_trained
from models.weight_files import FOLDERS, RELEASED, folder_of

SUMS = dict(reversed(line.split()) for line in (RELEASED / "SHA256SUMS").read_text().splitlines())
MOST_BYTES = 40e6


def texts(content: object) -> list[str]:
    """All texts in plain data."""
    if isinstance(content, dict):
        return [text for item in content.items() for part in item for text in texts(part)]
    if isinstance(content, list | tuple):
        return [text for part in content for text in texts(part)]
    return [content] if isinstance(content, str) else []


def test_every_file_has_its_hash_and_all_are_small() -> None:
    files = sorted(RELEASED.rglob("*.pth"))
    assert sorted(SUMS) == [path.relative_to(RELEASED).as_posix() for path in files]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert {path.parent.name for path in files} <= FOLDERS.keys()


@pytest.mark.parametrize("name", SUMS)
def test_weights_are_as_they_were_written(name: str) -> None:
    path = RELEASED / name
    assert hash_of_file(path, 64) == SUMS[name] == hashlib.sha256(path.read_bytes()).hexdigest()
    trained = load_trained(path, ("cvae", "generator", "critic"), "")
    assert all(weights.dtype == torch.float32 for weights in trained.model.parameters())
    assert trained.genres == ["classical", "jazz", "rock", "pop"]
    assert not [text for text in texts(trained.facts) if text.startswith(("/", "~"))], "a path of the machine"


def test_own_weights_come_before_those_of_the_repository(tmp_path: Path) -> None:
    assert folder_of("large", tmp_path) == RELEASED / "large"
    (tmp_path / FOLDERS["large"]).mkdir(parents=True)
    assert folder_of("large", tmp_path) == RELEASED / "large"
    (tmp_path / FOLDERS["large"] / "cvae_pretrained_best.pth").touch()
    assert folder_of("large", tmp_path) == tmp_path / FOLDERS["large"]
    assert folder_of("paper", tmp_path) == RELEASED / "paper", "those of large are in a folder of their own"
