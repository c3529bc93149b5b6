"""The training loop with a minimal stage: a line through points, with dropout."""

import dataclasses
import itertools
import json
import os
import signal
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from stages import run_script, terminate
from torch import Tensor, nn

import training.run_folder
from common.errors import UserError
from common.files import save_plain
from models import base
from models.checkpoint import read_checkpoint
from training.loop import train
from training.options import TrainingOptions
from training.stage import Phase, Position, Stage

N_POINTS = 21


class Line(nn.Module):
    kind, network = "line", "linear"

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.config = {"dropout": dropout}
        self.dropout, self.linear = nn.Dropout(dropout), nn.Linear(3, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.dropout(x))[:, 0]


@dataclass(frozen=True)
class Options(TrainingOptions):
    learning_rate: float = 0.05


class LineStage(Stage):
    name, examples, best_by, averaged = "line", "points", {"line": "error"}, ("line",)

    def __init__(self, options: Options, epochs: int = 2) -> None:
        phases = [Phase("near", epochs), Phase("far", 1)]
        super().__init__(options, phases, torch.device("cpu"), options.runs / "line", options.checkpoints)
        self.seen: list[tuple[str, int, int]] = []

    def open(self) -> None:
        self.x = torch.randn(N_POINTS, 3, generator=torch.Generator().manual_seed(0))

    def open_phase(self, phase: Phase) -> None:
        self.y = self.x.sum(1) * {"near": 1, "far": 100}[phase.name]

    @property
    def n_examples(self) -> int:
        return N_POINTS

    def build_models(self, phase: Phase) -> list[str]:
        torch.manual_seed(1)
        self.models = {"line": Line(0.5)}
        return [f"a new line for the phase {phase.name}"]

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"line": torch.optim.SGD(self.models["line"].parameters(), self.options.learning_rate, momentum=0.9)}

    def train_step(self, position: Position) -> dict[str, Tensor]:
        self.seen.append((position.phase.name, position.epoch, position.example))
        chosen = slice(position.example, position.example + self.options.batch_size)
        error = (self.models["line"](self.x[chosen]) - self.y[chosen]).square().mean()
        self.update(error, "line")
        return {"error": error, "first": torch.tensor(float(position.example))}

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        with torch.no_grad():
            return {"error": float((models["line"](self.x) - self.y).square().mean())}

    def facts(self, phase: Phase) -> dict[str, Any]:
        return {"distance": phase.name}

    def identity(self) -> dict[str, Any]:
        return {"points": N_POINTS}

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return f"{model}_{phase.name}_{which}.pth"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(base.NETWORKS, ("line", "linear"), Line)


def options_in(folder: Path, **changes: Any) -> Options:
    places = {"checkpoints": folder / "checkpoints", "runs": folder / "runs"}
    return Options(**{**places, "device": "cpu", "batch_size": 4, **changes})


def weights(folder: Path, name: str = "line_far_last.pth") -> dict[str, Tensor]:
    return read_checkpoint(folder / "checkpoints" / name)["weights"]


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "runs" / "line" / "epochs.jsonl").read_text().splitlines()]


def test_every_epoch_of_every_phase_trains_on_every_example_once(tmp_path: Path) -> None:
    stage = LineStage(options_in(tmp_path))
    train(stage)
    places = [("near", 0), ("near", 1), ("far", 0)]
    assert stage.seen == [(*place, first) for place in places for first in range(0, N_POINTS, 4)]
    assert [(record["phase"], record["epoch"]) for record in logged(tmp_path)] == [("near", 1), ("near", 2), ("far", 1)]
    # The mean is over examples, not over steps: the last step has one example.
    assert logged(tmp_path)[0]["train"]["first"] == pytest.approx((4 * (4 + 8 + 12 + 16) + 20) / 21)
    assert read_checkpoint(tmp_path / "checkpoints" / "line_near_best.pth")["facts"]["distance"] == "near"


def test_the_log_names_options_that_leave_a_short_phase_without_effect(tmp_path: Path) -> None:
    """Six steps an epoch: twelve in the first phase, six in the second."""
    train(LineStage(options_in(tmp_path, warm_up=7, ema=0.9)))
    log = (tmp_path / "runs" / "line" / "log.txt").read_text().splitlines()
    assert [line for line in log if "only" in line] == [
        "only 6 steps, fewer than --warm-up 7: the learning rate stays below its value",
        "only 6 steps, too few for the average of --ema 0.9: it stays near its start",
    ]


@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.parametrize("at_step", [1, 8, 12, 14])
def test_dropout_and_averages_resume_exactly(at_step: int, ema: float, tmp_path: Path) -> None:
    class Stopped(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            losses = super().train_step(position)
            torch.rand(7)  # the state of the global rng must not matter
            if len(self.seen) == at_step:
                terminate()
            return losses

    train(LineStage(options_in(tmp_path / "whole", ema=ema)))
    with pytest.raises(SystemExit):
        train(Stopped(options_in(tmp_path / "stopped", ema=ema)))
    torch.rand(3)
    train(LineStage(options_in(tmp_path / "stopped", ema=ema)))
    for name in ("line_near_best.pth", "line_near_last.pth", "line_far_last.pth"):
        found, wanted = weights(tmp_path / "stopped", name), weights(tmp_path / "whole", name)
        assert all(torch.equal(found[key], wanted[key]) for key in wanted), name


def test_a_run_resumes_at_the_next_example_with_another_batch_size(tmp_path: Path) -> None:
    class Stopped(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            if len(self.seen) == 2:
                terminate()
            return super().train_step(position)

    with pytest.raises(SystemExit):
        train(Stopped(options_in(tmp_path)))
    stage = LineStage(options_in(tmp_path, batch_size=5, allow_changes=True))
    train(stage)
    assert stage.seen[:3] == [("near", 0, 12), ("near", 0, 17), ("near", 1, 0)]
    assert logged(tmp_path)[0]["train"]["first"] == pytest.approx((4 * (4 + 8) + 5 * 12 + 4 * 17) / 21)


@pytest.mark.parametrize("ignored", [False, True])
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_signals_stop_training_after_a_save_unless_they_are_ignored(
    name: str, ignored: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    number = getattr(signal, name)

    class Signalled(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            if not self.seen:
                os.kill(os.getpid(), number)
            return super().train_step(position)

    handler = signal.SIG_IGN if ignored else signal.SIG_DFL  # nohup ignores SIGHUP
    before = signal.signal(number, handler)
    try:
        with nullcontext() if ignored else pytest.raises(SystemExit, match=f"^{128 + number}$"):
            train(Signalled(options_in(tmp_path)))
        assert signal.getsignal(number) == handler
    finally:
        signal.signal(number, before)
    stopped = f"stopped by {name}; the same command goes on from here" in capsys.readouterr().err
    saved = read_checkpoint(tmp_path / "runs" / "line" / "state.pth")["progress"]["example"]
    assert (stopped, saved) == ((False, 0) if ignored else (True, 4))


class ClockedStage(LineStage):
    """A step takes ten minutes by `clock`; `statuses` has what status.json says in each step."""

    clock, statuses = 0.0, []

    def train_step(self, position: Position) -> dict[str, Tensor]:
        ClockedStage.clock += 600
        self.statuses.append(status(self.options.runs.parent))
        return super().train_step(position)


@pytest.fixture
def clocked(monkeypatch: pytest.MonkeyPatch) -> type[ClockedStage]:
    monkeypatch.setattr(ClockedStage, "statuses", [])
    monkeypatch.setattr("time.monotonic", lambda: ClockedStage.clock)
    return ClockedStage


def status(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "runs" / "line" / "status.json").read_text())


def test_a_run_stops_when_its_hours_are_over_and_goes_on(
    clocked: type[ClockedStage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(LineStage(options_in(tmp_path / "whole")))
    stages, places = [], [("near", 0, 12), ("near", 1, 0), ("near", 1, 12), ("near", 2, 0), ("far", 0, 12), None]
    for place in places:  # half an hour has three steps; a fourth shows that the state is good
        stages.append(clocked(options_in(tmp_path, max_hours=0.5)))
        assert train(stages[-1]) == (place is None)
        if place:
            assert "stopped after --max-hours 0.5; the same command goes on from here" in capsys.readouterr().err
            progress = read_checkpoint(tmp_path / "runs" / "line" / "state.pth")["progress"]
            assert (["near", "far"][progress["phase"]], progress["epoch"], progress["example"]) == place
            found = status(tmp_path)
            assert (found["state"], found["reason"]) == ("stopped", "stopped after --max-hours 0.5")
    assert [len(stage.seen) for stage in stages] == [4, 4, 4, 3, 4, 3]
    found, wanted = weights(tmp_path), weights(tmp_path / "whole")
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_the_status_shows_the_progress(clocked: type[ClockedStage], tmp_path: Path) -> None:
    train(clocked(options_in(tmp_path)))
    assert [each["step"] for each in clocked.statuses] == [*range(18)]
    first, middle, last = clocked.statuses[0], clocked.statuses[9], status(tmp_path)
    assert (first["state"], first["share_done"]) == ("running", 0)
    assert first["last_epoch"] is first["estimated_end"] is None
    epoch = {name: logged(tmp_path)[0][name] for name in ("phase", "epoch", "train", "val")}
    wanted = {"stage": "line", "phase": "near", "epoch": 2, "epochs": 2, "steps": 18, "last_epoch": epoch}
    assert {name: middle[name] for name in wanted} == wanted
    assert middle["share_done"] == pytest.approx((21 + 3 * 4) / 63, abs=1e-5) and middle["examples_per_second"] > 0
    times = {name: datetime.fromisoformat(middle[name]) for name in ("started", "updated", "estimated_end")}
    assert all(each.utcoffset() == timedelta(0) for each in times.values())
    left = (times["estimated_end"] - times["updated"]).total_seconds()
    assert left == pytest.approx(9 * 600 * (63 - 33) / 33, abs=2)
    assert (last["state"], last["step"], last["share_done"], last["estimated_end"]) == ("complete", 18, 1, None)
    assert (last["phase"], last["epoch"], last["last_epoch"]["phase"]) == ("far", 1, "far")


def test_the_status_is_written_every_few_seconds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moments, written = itertools.count(), []
    monkeypatch.setattr("time.monotonic", lambda: next(moments) / 10)
    monkeypatch.setattr(training.run_folder.RunFolder, "write_status", lambda self, content: written.append(content))
    train(LineStage(options_in(tmp_path), epochs=40))
    assert 4 < len(written) < next(moments) / 10 / 5 + 4


@pytest.mark.parametrize("error", [UserError("no disk left"), MemoryError("no\nmemory")])
def test_the_status_names_an_error(error: Exception, tmp_path: Path) -> None:
    class Failing(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            raise error

    with pytest.raises(type(error)):
        train(Failing(options_in(tmp_path)))
    found = status(tmp_path)
    assert (found["state"], found["reason"]) == ("failed", " ".join(str(error).split()))
    train(LineStage(options_in(tmp_path)))
    assert status(tmp_path)["state"] == "complete"


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    class Signalled(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            terminate()
            terminate()
            return pytest.fail("went on")

    with pytest.raises(KeyboardInterrupt):
        train(Signalled(options_in(tmp_path)))
    assert status(tmp_path)["state"] == "stopped"


def test_a_status_that_cannot_be_written_stops_no_run(tmp_path: Path) -> None:
    (tmp_path / "runs" / "line").mkdir(parents=True)

    class Blocked(LineStage):
        def build_models(self, phase: Phase) -> list[str]:
            (tmp_path / "runs" / "line" / "status.json").mkdir(exist_ok=True)
            return super().build_models(phase)

    assert train(Blocked(options_in(tmp_path)))


def test_a_signal_in_the_last_validation_ends_a_complete_run(tmp_path: Path) -> None:
    class Signalled(LineStage):
        def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
            if len(self.seen) == 3 * 6:
                terminate()
            return super().validate(models)

    train(Signalled(options_in(tmp_path)))
    assert "complete; weights are in" in (tmp_path / "runs" / "line" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("wrecked", "message"),
    [
        (torch.nan, r"the weights of line are not finite any more\. The last saved state"),
        (1e30, r"the loss error is not finite in the step from example 16 of this epoch on\. The last saved state"),
    ],
)
def test_a_state_is_kept_only_once_the_next_step_was_finite(tmp_path: Path, wrecked: float, message: str) -> None:
    """A step can leave weights that are finite, but so large that nothing can be trained from them."""

    class Wrecked(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            losses = super().train_step(position)
            if (position.epoch, position.example) == (1, 12):
                with torch.no_grad():
                    self.models["line"].linear.weight.fill_(wrecked)
            return losses  # that of the step before is finite

    often = {"save_minutes": 1e-9}
    with pytest.raises(UserError, match=message) as caught:
        train(Wrecked(options_in(tmp_path, **often)))
    assert "--allow-changes and a lower learning rate" in str(caught.value) and "--restart" in str(caught.value)
    state = read_checkpoint(tmp_path / "runs" / "line" / "state.pth")
    assert (state["progress"]["epoch"], state["progress"]["example"]) == (1, 12)
    # The remedy of the message works.
    train(LineStage(options_in(tmp_path, learning_rate=0.01, allow_changes=True, **often)))
    assert len(logged(tmp_path)) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": None}, {"progress": {"phase": 7}}, {"progress": {"epoch": "one"}}, {"models": {}},
        {"progress": {"nothing": 1}}, {"optimizers": 3},
        {"models": {"line": {"kind": "line", "network": "linear", "config": {"dropout": 0.5}, "weights": {}}}},
    ],
)  # fmt: skip
def test_a_state_of_another_form_is_refused_in_one_line(changes: dict[str, Any], tmp_path: Path) -> None:
    stage = LineStage(options_in(tmp_path))
    train(stage)
    path = tmp_path / "runs" / "line" / "state.pth"
    state = read_checkpoint(path)
    state["progress"]["epoch"] = 0
    for name, change in changes.items():
        state[name] = {**state[name], **change} if name == "progress" else change
    save_plain(state, path, replace=True)
    with pytest.raises(UserError, match=r"state.pth: damaged or of another version \(.*\); begin anew with --restart"):
        train(LineStage(options_in(tmp_path)))
    path.write_bytes((tmp_path / "checkpoints" / "line_far_last.pth").read_bytes())
    with pytest.raises(UserError, match=r"state.pth: damaged or of another version \('identity'\); begin anew"):
        train(LineStage(options_in(tmp_path)))


@pytest.mark.parametrize("slow", [True, False])
def test_the_log_says_where_bfloat16_is_slow(slow: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([[3.0, 1.0], [2.0, 4.0] if slow else [2.0, 0.9]])  # of products in float32, then in bfloat16
    monkeypatch.setattr("timeit.repeat", lambda product, **_: next(seconds))
    train(LineStage(options_in(tmp_path, bf16=True)))
    assert ("bfloat16 is slower than float32" in (tmp_path / "runs" / "line" / "log.txt").read_text()) == slow


def test_weights_name_no_folders_of_this_machine(tmp_path: Path) -> None:
    train(LineStage(options_in(tmp_path)))
    facts = read_checkpoint(tmp_path / "checkpoints" / "line_far_last.pth")["facts"]
    assert facts["options"]["batch_size"] == 4 and str(tmp_path) not in str(facts)


def test_an_incomplete_last_line_of_the_log_is_dropped(tmp_path: Path) -> None:
    train(LineStage(options_in(tmp_path)))
    log = tmp_path / "runs" / "line" / "epochs.jsonl"
    whole = log.read_text()
    log.write_text(whole + '{"phase": "far", "epo')
    stage = LineStage(options_in(tmp_path))
    stage.phases[-1] = Phase("far", 2)
    train(stage)
    assert log.read_text().startswith(whole) and len(logged(tmp_path)) == 4


def test_another_run_is_not_overwritten(tmp_path: Path) -> None:
    train(LineStage(options_in(tmp_path)))
    before = weights(tmp_path)["linear.weight"]
    elsewhere = options_in(tmp_path, runs=tmp_path / "other runs", seed=3)
    with pytest.raises(UserError, match=r"line_near_best.pth and 3 more: of another run, for there is no .*state.pth"):
        train(LineStage(elsewhere))
    (tmp_path / "runs" / "line" / "state.pth").unlink()
    with pytest.raises(UserError, match=r"line: holds the log of another run, for there is no .*state.pth to resume"):
        train(LineStage(options_in(tmp_path, checkpoints=tmp_path / "other")))
    assert torch.equal(weights(tmp_path)["linear.weight"], before) and len(logged(tmp_path)) == 3
    train(LineStage(dataclasses.replace(elsewhere, restart=True)))
    assert not torch.equal(weights(tmp_path)["linear.weight"], before)


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    class Second(LineStage):
        def train_step(self, position: Position) -> dict[str, Tensor]:
            with pytest.raises(UserError, match="line: another process trains here; wait for its end, or name another"):
                train(LineStage(options_in(tmp_path)))
            return super().train_step(position)

    train(Second(options_in(tmp_path), epochs=1))
    assert len(logged(tmp_path)) == 2


def test_tensorboard_is_not_imported_before_a_training_starts() -> None:
    program = "import sys, train_cvae, train_cgan, train_hybrid; sys.exit('tensorboard' in sys.modules)"
    assert run_script("-c", program).returncode == 0
