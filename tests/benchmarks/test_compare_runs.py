"""The comparison of outcomes: what is reported, and with which size. No work is run."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.compare_runs import FileComparison, compare_folders, print_report


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders with the same files of every kind, apart from timings and line order of columns."""
    for name, seconds in (("before", 1.5), ("after", 2.5)):
        folder = tmp_path / name
        (folder / "runs").mkdir(parents=True)
        weights = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.full((2,), torch.nan)}
        torch.save({"kind": "cvae", "weights": weights, "facts": {"epoch": 1}}, folder / "cvae.pth")
        write_losses(folder / "runs/epochs.jsonl", [3.0, 2.0], seconds)
        (folder / "table.csv").write_text("genre,nats\njazz,1.5\nrock,\n")
        (folder / "clip.mid").write_bytes(b"MThd\0\1\2\3")
        np.savez(folder / "map.npz", values=np.eye(3))
        (folder / "sheet.png").write_bytes(name.encode())
        (folder / "output.txt").write_text(name)
    return tmp_path / "before", tmp_path / "after"


def write_losses(path: Path, losses: list[float], seconds: float) -> None:
    records = [{"epoch": epoch, "train": {"loss": loss}, "seconds": seconds} for epoch, loss in enumerate(losses)]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def different(folders: tuple[Path, Path]) -> list[FileComparison]:
    return [file for file in compare_folders(*folders, "case") if file.status != "identical"]


def test_equal_folders_are_equal_whatever_their_timings(folders: tuple[Path, Path]) -> None:
    files = compare_folders(*folders, "case")
    paths = ["clip.mid", "cvae.pth", "map.npz", "runs/epochs.jsonl", "sheet.png", "table.csv"]
    assert [file.path for file in files] == paths and not different(folders)


def change_tensor(folder: Path) -> None:
    content = torch.load(folder / "cvae.pth")
    content["weights"]["weight"][1, 1] = 4.25
    torch.save(content, folder / "cvae.pth")


CHANGES = {
    "cvae.pth": (change_tensor, 0.25, "weights.weight: 1 of 6 differ, by at most 0.25 (relative 0.0625)"),
    "table.csv": (
        lambda folder: (folder / "table.csv").write_text("nats,genre,new\n1.25,jazz,0\n,rock,0\n"), 0.25,
        "nats: 1 of 2 differ, by at most 0.25 (relative 0.167)",
    ),
    "clip.mid": (lambda folder: (folder / "clip.mid").write_bytes(b"MThd\0\1\2\7"), 4, "bytes: 1 of 8 differ"),
    "runs/epochs.jsonl": (
        lambda folder: write_losses(folder / "runs/epochs.jsonl", [3.0, 2.5], 0), 0.5,
        "1.train.loss: differs, by at most 0.5 (relative 0.25)",
    ),
    "map.npz": (lambda folder: np.savez(folder / "map.npz", values=np.eye(2)), 0, "shape (3, 3) against (2, 2)"),
    "sheet.png": (lambda folder: (folder / "sheet.png").unlink(), 0, "only before"),
}  # fmt: skip


@pytest.mark.parametrize("path", CHANGES)
def test_a_change_is_reported_with_its_size(
    path: str, folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    change, size, told = CHANGES[path]
    change(folders[1])
    (file,) = different(folders)
    assert (file.path, file.largest) == (path, size) and told in file.details[0]
    print_report(compare_folders(*folders, "case"))
    out = capsys.readouterr().out
    assert f"case/{path}\n    {file.details[0]}" in out
    assert ("values on one side alone, in 1 files such as case/table.csv: new" in out) == (path == "table.csv")
