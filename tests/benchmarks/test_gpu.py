"""The benchmarks of GPUs on a CPU: the prediction of memory, and the script that measures speed."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from benchmarks import device_memory, gpu
from benchmarks.device_memory import NOT_MEASURED, FusedAttention, LiveMemory, on_cpu, predicted
from benchmarks.meta_stages import META
from benchmarks.stage_cases import CaseOptions, built_case
from explainable.measures import MeasureSet
from models import compiling


def test_live_memory_counts_storages_in_blocks_until_they_are_freed() -> None:
    with LiveMemory(META) as memory:
        first = torch.empty(1000, device=META)  # 4000 bytes: 8 blocks
        view = first.view(10, 100)
        second = torch.empty(1, device=META)
        torch.empty(1000, device="cpu")
        assert memory.live == memory.peak == 9 * 512
        del first
        assert memory.live == 9 * 512, "the view has its storage"
        del view
        assert (memory.live, memory.peak) == (512, 9 * 512)
        second = second.expand(5) + 1
    assert memory.live == 512


def test_gradients_and_saved_tensors_count() -> None:
    layer = nn.Linear(128, 128, bias=False, device=META)  # 64 KiB, as its gradient
    with LiveMemory(META) as memory:
        loss = layer(torch.empty(256, 128, device=META)).sigmoid().sum()  # input and output of the sigmoid are kept
        assert memory.live >= 2 * 256 * 128 * 4
        loss.backward()
        del loss
    assert memory.live == 128 * 128 * 4


def test_attention_has_no_matrix_of_all_pairs() -> None:
    with LiveMemory(META) as memory, FusedAttention():
        vectors = torch.empty(1, 1, 4096, 8, device=META, requires_grad=True)
        F.scaled_dot_product_attention(vectors, vectors, vectors, is_causal=True).sum().backward()
    assert memory.peak < 4096**2


def test_the_prediction_is_what_the_allocator_reports(tiny_store: Path, tmp_path: Path) -> None:
    """Up to temporary tensors within operations."""
    options = CaseOptions(store=tiny_store, batch_size=16)
    by_storages, reported = on_cpu(built_case("large-1-32", options, tmp_path))
    assert 0.8 * reported < by_storages < 1.1 * reported
    smaller, larger = (
        predicted(built_case("large-1-32", CaseOptions(store=tiny_store, batch_size=n), tmp_path)) for n in (16, 32)
    )
    assert smaller[1] > smaller[0] and larger[0] == pytest.approx(smaller[0], rel=0.01) and larger[1] > smaller[1]


def table(out: str) -> list[list[str]]:
    """The cells of the rows of a table, without its heading."""
    lines = [line.strip("| ").split(" | ") for line in out.splitlines() if line.startswith("| ")]
    return [cells for cells in lines[1:] if set(cells) != {"---"}]


def test_a_table_of_predictions(tiny_store: Path, measures: MeasureSet, capsys: pytest.CaptureFixture[str]) -> None:
    only = ("paper-2-32", "measure_vae")
    options = device_memory.Options(only=only, store=tiny_store, measures=measures.folder, batch_size=4)
    device_memory.device_memory(options)
    rows = table(capsys.readouterr().out)
    assert [cells[:2] for cells in rows] == [["stage 2 paper, T = 32", "4"], ["measure_vae", "4"]]
    for _, _, between, peak, measured in rows:
        assert 0 < int(between) < int(peak) and measured == NOT_MEASURED


def test_the_script_for_a_gpu_runs_on_a_cpu(
    tiny_store: Path, measures: MeasureSet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiling, "BACKEND", "eager")
    monkeypatch.setattr(gpu, "_WARM_UP", 1)
    only = ("paper-2-32", "measure_vae")
    places = {"store": tiny_store, "measures": measures.folder}
    options = gpu.Options(only=only, **places, device="cpu", steps=1, batch_size=4)
    gpu.gpu(options)
    rows = table(capsys.readouterr().out)
    assert [cells[0].split(", ")[-1] for cells in rows] == ["eager", "compiled"] * 2
    for _, rate, share, measured, gap in rows:
        assert float(rate.replace(",", "")) > 0 < float(share.strip("%")) and measured == NOT_MEASURED
        assert float(gap) < 1e-5
    gpu.gpu(gpu.Options(**vars(options) | {"minutes": 1e-9}))
    assert capsys.readouterr().out.count("left out") == 2 * len(only)
