"""--compile: the losses of every kind of step are those of eager mode."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import epochs_logged, exit_code
from torch import _dynamo

import train_cgan
import train_cvae
import train_hybrid
from explainable.measures import MeasureSet
from explainable.options import TRAININGS
from explainable.stages import STAGES
from models import compiling
from models.compiling import compilable, compiled
from models.notes import notes
from training.loop import train
from training.stage import Stage

SHORT = {"epochs": 1, "batch_size": 8, "device": "cpu", "threads": 1}
ROLLS = SHORT | {"epoch_windows": 16, "hidden": 16}
NOTES = {"seq_len": 32, "depth": 1, "latent": 2}
PROGRAMS = {train_cvae: {}, train_cgan: {}, train_hybrid: {"seq_lens": (32,), "epochs": (1,)}}


def losses(stage: Stage) -> dict[str, float]:
    train(stage)
    (record,) = epochs_logged(stage.folder)
    return record["train"]


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[torch.fx.GraphModule]:
    """The graphs that are compiled: traced and differentiated, but run by torch's own kernels, which takes seconds."""
    made, run_eagerly = [], _dynamo.lookup_backend("aot_eager")

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Callable[..., Any]:
        made.append(graph)
        return run_eagerly(graph, inputs)

    monkeypatch.setattr(compiling, "BACKEND", backend)
    yield made
    _dynamo.reset()


@pytest.mark.parametrize("preset", ["paper", "large"])
def test_the_losses_of_roll_stages(
    preset: str, tiny_store: Path, tmp_path: Path, graphs: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for_gpus = notes.parts_by_length
    monkeypatch.setattr("models.notes.note_cvae.parts_by_length", lambda n, _: for_gpus(n, torch.device("cuda")))
    for program, sizes in PROGRAMS.items():
        given = program.PRESETS[preset] | ROLLS | sizes | {"store": tiny_store, "checkpoints": tmp_path}
        if preset == "large":
            given |= {name: value for name, value in NOTES.items() if name in program.Options.__dataclass_fields__}
        both = []
        for compile_parts in (True, False):
            graphs.clear()
            place = {"runs": tmp_path / str(compile_parts), "compile": compile_parts, "restart": True}
            both.append(losses(program.make_stage(program.Options(**given | place))))
            assert bool(graphs) == compile_parts, "nothing is compiled without the option"
        assert both[0] == pytest.approx(both[1], rel=1e-4, abs=1e-5), program


@pytest.mark.parametrize("model", TRAININGS)
def test_the_losses_of_the_study(model: str, measures: MeasureSet, tmp_path: Path, graphs: list[Any]) -> None:
    given = SHORT | {"data": measures.folder, "hidden": 8, "latent": 6, "epoch_rows": 16, "validation_rows": 8}
    dropout = {} if model == "adversarial_vae" else {"dropout": 0.0}
    both = []
    for compile_parts in (True, False):
        place = {"runs": tmp_path / str(compile_parts), "checkpoints": tmp_path / str(compile_parts)}
        both.append(losses(STAGES[model](TRAININGS[model](**given, **dropout, **place, compile=compile_parts))))
    assert graphs and both[0] == pytest.approx(both[1], rel=1e-4, abs=1e-5)


def test_compiled_code_computes_values_and_gradients() -> None:
    """By torch's code generator and a C++ compiler, of one small part."""
    part = compilable(lambda x, power: (x.sigmoid() * x).pow(power).sum())
    x, gradients = torch.randn(8, requires_grad=True), []
    gradients += torch.autograd.grad(part(x, 2), x)
    with compiled(torch.device("cpu")):
        gradients += torch.autograd.grad(part(x, 2), x)
    torch.testing.assert_close(*gradients)


def test_a_missing_compiler_is_named(tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", (None, str(tmp_path / "no-compiler")))
    words = ["--store", tiny_store, "--runs", tmp_path, "--checkpoints", tmp_path, "--device", "cpu", "--compile"]
    assert exit_code(monkeypatch, "train_cvae.py", *map(str, words)) == 2
    assert "--compile needs a C++ compiler" in capsys.readouterr().err
