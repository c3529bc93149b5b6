"""Two steps and a validation of every stage, by one process or by those of torchrun.

python -m torch.distributed.run --standalone --nproc-per-node=2 steps_of_ranks.py STORE EARLIER MEASURES RESULT
"""

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from stages import cgan_options, cvae_options, hybrid_options, opened
from torch.optim.optimizer import register_optimizer_step_pre_hook
from weights import save_weights

import train_cgan
import train_cvae
import train_hybrid
from common.options import parse_options
from data.store import RollStore
from explainable.options import TRAININGS
from explainable.stages import STAGES
from models import NoteCVAE
from programs import train_prior
from training.ranks import Ranks, opened_ranks
from training.stage import Position, Stage


def stages(store: Path, earlier: Path, measures: Path) -> dict[str, Stage]:
    """Stages whose objectives need the whole batch at several places."""
    steps = {"clip_norm": 0.5, "ema": 0.9}
    of_large = ["--preset", "large", "--hidden", "16", "--depth", "1", "--latent", "2", "--seq-len", "32"]
    of_large += ["--free-nats", ".05", "--dropout", ".3", "--batch-size", "16", "--store", str(store), "--threads", "1"]
    made = {
        "cvae": train_cvae.make_stage(cvae_options(store, earlier, free_nats=0.1, **steps)),
        "cgan": train_cgan.make_stage(cgan_options(store, earlier, prior_share=0.4, drift=0.1, transpose=True)),
        "hybrid": train_hybrid.make_stage(hybrid_options(store, earlier, balance="weights", **steps)),
        "large": train_cvae.make_stage(parse_options(train_cvae.Options, "", of_large, train_cvae.PRESETS)),
    }
    for name, options in TRAININGS.items():
        given = {"data": measures, "hidden": 8, "latent": 6, "batch_size": 16, "threads": 1}
        dropout = {"dropout": 0.3} if "dropout" in options.__dataclass_fields__ else {}
        made[name] = STAGES[name](replace(options(), **given, **dropout))
    return made | {"prior": prior_stage(store)}


def prior_stage(store: Path) -> Stage:
    folder = Path(tempfile.mkdtemp())
    torch.manual_seed(0)
    genres = RollStore.open(store).genres
    save_weights(
        NoteCVAE(len(genres), latent=2, hidden=16, depth=1), folder / "hybrid_cvae_best_T32.pth", genres=genres
    )
    words = ["--init-from", folder, "--store", store, "--seq-len", 32, "--piece-seconds", "2,5", "--batch-size", 16]
    return train_prior.make_stage(parse_options(train_prior.Options, "", [*map(str, words), "--epoch-windows", "32"]))


def results_of(stage: Stage, ranks: Ranks) -> dict[str, Any]:
    """The gradient of every update, the losses of two steps, the last one of three rows, and the metrics."""
    gradients, losses = [], []
    stage.ranks = ranks
    opened(stage)
    hook = register_optimizer_step_pre_hook(
        lambda optimizer, *_: gradients.append(torch.cat([each.grad.flatten() for each in parameters_of(optimizer)]))
    )
    for example in (0, stage.n_examples - 3):
        position = Position(stage.phases[0], 0, example)
        stage.part = ranks.part(min(stage.options.batch_size, stage.n_examples - example))
        stage.set_rates(position)
        torch.manual_seed(example)  # for dropout
        step = stage.train_step(position)
        losses.append(ranks.sum(torch.stack([*step.values()]).detach() * stage.part.weight))
    hook.remove()
    metrics = stage.validate({name: model.eval() for name, model in stage.models.items()})
    return {"gradients": gradients, "losses": torch.stack(losses), "metrics": torch.tensor(list(metrics.values()))}


def parameters_of(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [each for group in optimizer.param_groups for each in group["params"] if each.grad is not None]


def every_result(store: Path, earlier: Path, measures: Path, ranks: Ranks) -> dict[str, Any]:
    return {name: results_of(stage, ranks) for name, stage in stages(store, earlier, measures).items()}


if __name__ == "__main__":
    torch.set_num_threads(1)
    with opened_ranks() as ranks:
        results = every_result(*map(Path, sys.argv[1:4]), ranks)
        if ranks.first:
            torch.save(results, sys.argv[4])
