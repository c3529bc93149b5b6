"""The saved state of a run, from which it resumes: its models, averages, optimizers and progress, as plain data."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from common.errors import UserError, reason_of
from common.options import as_plain
from models import describe, rebuild
from models.checkpoint import FORMAT_VERSION
from models.weight_files import LAST
from training.progress import Progress
from training.run_folder import RunFolder
from training.stage import Stage


def state_of(stage: Stage, progress: Progress) -> dict[str, Any]:
    """The state of a run as it is now, without copies of its tensors."""
    return {
        "format_version": FORMAT_VERSION,
        "stage": stage.name,
        "identity": _identity(stage),
        "progress": dataclasses.asdict(progress),
        "models": {name: describe(model) for name, model in stage.models.items()},
        "averages": {name: average.state_dict() for name, average in stage.averages.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in stage.optimizers.items()},
    }


def resumable_state(stage: Stage, folder: RunFolder) -> tuple[dict[str, Any] | None, Progress]:
    """The saved state, or None, and its progress, or that of a new run.

    Raises `UserError` if the state is damaged, belongs to other options or its weights are missing.
    """
    state, progress, now = folder.read_state(), Progress(), _identity(stage)
    if state is None:
        return None, progress
    with _damage_named(folder.state_path):
        changed = {
            name: f"{name} (was {was}, is {now.get(name)})"
            for name, was in state["identity"].items()
            if name not in stage.free_options and now.get(name) != was
        }
        found = Progress(**state["progress"])
        if [*map(type, vars(found).values())] != [*map(type, vars(progress).values())]:
            raise TypeError(f"progress {state['progress']}")
        models, phase = list(state["models"]), stage.phases[found.phase]
    fixed = changed.keys() & stage.fixed_options
    if changed and (fixed or not stage.options.allow_changes):
        allow = "" if fixed else "--allow-changes to resume with these, "
        raise UserError(
            f"{folder.state_path}: begun with other options: {'; '.join(changed.values())}. Give the same options to "
            f"resume, {allow}or --restart to begin anew"
        )
    for name in models if found.epoch else ():
        path = stage.checkpoints / stage.weights_file(name, phase, LAST)
        if not path.exists():
            raise UserError(
                f"{path}: not there, although this run has written it; name the folder it went to with --checkpoints, "
                "or begin anew with --restart"
            )
    return state, found


def restore(stage: Stage, state: dict[str, Any], path: Path) -> None:
    """Give `stage` the models, averages and optimizers of a state. Raises `UserError` that names `path` if damaged."""
    with _damage_named(path):
        stage.models = {name: rebuild(content).to(stage.device) for name, content in state["models"].items()}
        stage.start()
        for name, average in stage.averages.items():
            if name in state["averages"]:
                average.load_state_dict(state["averages"][name])
        for name, optimizer in stage.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])


def _identity(stage: Stage) -> dict[str, Any]:
    return {**as_plain(stage.options), **stage.identity()}


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    """Turn errors in the content of a state into a `UserError`."""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        reason = reason_of(error)
        raise UserError(f"{path}: damaged or of another version ({reason}); begin anew with --restart") from error
