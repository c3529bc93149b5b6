"""The prediction for many GPUs: what it counts, its formula, and the simulated link."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from torch import Tensor, distributed, ones

from benchmarks import scaling
from benchmarks.scaling import Costs, Options, costs_of
from benchmarks.slow_link import ring_seconds, slowed

ROOT = Path(__file__).resolve().parents[2]


def test_a_step_is_counted(tiny_store: Path, tmp_path: Path) -> None:
    costs = costs_of("paper-2-32", Options(store=tiny_store, batch_size=16), tmp_path)
    assert costs.batch == 16 and costs.per_example > 0 and costs.kernels > 100
    assert abs(costs.fixed) < 0.15 * 16 * costs.per_example, "Adam multiplies no matrices"
    critic, generator = costs.messages[0], costs.messages[-1]
    assert costs.messages == [critic] * 5 + [generator] and critic != generator, "a message an update"
    large = costs_of("large-1-32", Options(store=tiny_store, batch_size=4), tmp_path)
    assert large.fixed > large.per_example, "Muon"


COSTS = Costs(batch=64, per_example=1e9, fixed=2e9, kernels=1000, messages=[8_000_000, 4_000_000])
CLUSTER = Options(tflops=10, launch_us=5, latency_us=10, node_gb=200, link_gb=20)


def test_the_formula() -> None:
    assert COSTS.computing(98, CLUSTER) == pytest.approx(0.01)
    assert COSTS.computing(1, CLUSTER) == pytest.approx(0.005), "the kernels' start"
    assert COSTS.full(CLUSTER) == 48
    sending = 2 * 3 * 10e-6 + 2 * 7 / 8 * 12e6 / 200e9
    assert COSTS.sending(8, CLUSTER) == pytest.approx(sending)
    assert COSTS.sending(16, CLUSTER) == pytest.approx(2 * 4 * 10e-6 + 2 * 15 / 16 * 12e6 / 20e9)
    assert COSTS.gain(8, 64, CLUSTER) == pytest.approx(0.0066 / (0.005 + sending))
    assert COSTS.efficiency(8, CLUSTER) == pytest.approx(0.005 / (0.005 + sending))


def test_the_table(tiny_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scaling.scaling(Options(store=tiny_store, only=("paper-2-32",), batch_size=16, gpus=(2, 4)))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    heading, _, row = (line.strip("|").split("|") for line in lines)
    cells = {name.strip(): cell.strip() for name, cell in zip(heading, row, strict=True)}
    assert cells["examples a step"] == "16" and cells["messages"] == "6"
    assert 0 < float(cells["efficiency, 4 full GPUs"]) < float(cells["efficiency, 2 full GPUs"]) < 1


def test_a_message_waits_for_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ring_seconds(1e6, 4, 0.5, 1e6) == 2.0
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 2)

    def gather(every: list[Tensor], tensor: Tensor) -> int:
        return len(every)

    assert slowed(gather, 1, 0.5, 1000)([1, 2, 3], ones(500)) == 3
    assert waits == [0.5 + 2.0]


def test_a_program_runs_over_the_link(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys, torch\n"
        "torch.distributed.init_process_group('gloo')\n"
        "total = torch.ones(2)\n"
        "torch.distributed.all_reduce(total)\n"
        "if torch.distributed.get_rank() == 0:\n"
        "    print(total.tolist(), sys.argv[1:], torch.distributed.all_reduce.__name__)\n"
        "torch.distributed.destroy_process_group()\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "benchmarks.slow_link", "1", "100", str(tmp_path / "program.py"), "--word"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[2.0, 2.0] ['--word'] call"]
