"""Stages with initial weights, by the name of a case: a stage and preset at one T, or a model of the study."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.against import CASES
from benchmarks.training_steps import built_stage, write_initial_cvae
from common.options import CheckedOptions, option
from explainable.options import TRAININGS
from explainable.stages import STAGES
from training.stage import Stage

ALL_CASES = (*CASES, *TRAININGS)


@dataclass(frozen=True)
class CaseOptions(CheckedOptions):
    """Cases and their data."""

    only: tuple[str, ...] = option(ALL_CASES, "cases", choices=ALL_CASES)
    store: Path = option(Path("store"), "roll store, made by prepare_data.py")
    measures: Path = option(Path("measures/irish_folk"), "data set of the study, made by programs.study_prepare")
    batch_size: int = option(0, "examples in a step; 0: as the preset has it", minimum=0)


def title(name: str) -> str:
    """The name of a case in tables."""
    return CASES[name].name if name in CASES else name


def built_case(name: str, options: CaseOptions, folder: Path, device: str = "cpu", **changes: Any) -> Stage:
    """The stage of a case, with models of initial weights, before `start`; `folder` is for weights.

    Raises `UserError` where the data are missing.
    """
    changes |= {"device": device} | ({"batch_size": options.batch_size} if options.batch_size else {})
    if name in CASES:
        case, store = CASES[name], {"store": options.store}
        if case.program != "train_cvae":
            write_initial_cvae(case.preset, device, folder, **store)
        return built_stage(case.program, case.preset, case.changes | changes | store, folder)
    stage = STAGES[name](TRAININGS[name](data=options.measures, checkpoints=folder, runs=folder, **changes))
    stage.open()
    stage.open_phase(stage.phases[0])
    stage.build_models(stage.phases[0])
    return stage
