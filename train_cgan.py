"""Stage 2: train generator and critic (WGAN-GP); the CVAE of stage 1 is frozen and gives the latents.

    python train_cgan.py --store store
    python train_cgan.py --store store --preset paper-512           # the width of the published code

The same command resumes a run that was stopped. Writes checkpoints/{generator,critic}_pretrained_{best,last}.pth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from models import CVAE, PAPER_512, Posterior
from models.checkpoint import CheckpointError
from models.weight_files import pretrained_file
from training.adversarial import (
    LARGE_ADVERSARIES,
    AdversarialOptions,
    CriticBatch,
    adversarial_loss,
    build_adversaries,
    carry,
    critic_batch,
    own_parameters,
    train_critic,
)
from training.loop import train
from training.optimizers import adam
from training.roll_stage import BALANCES, Draw, RollPhase, RollStage
from training.validation import validate_generator

PRESETS = {
    "paper": {},
    "paper-512": {"architecture": PAPER_512},
    "large": {**LARGE_ADVERSARIES, "epochs": 2, "learning_rate": 5e-4, "ema": 0.995},
    "large-demo": {
        **LARGE_ADVERSARIES, "hidden": 64, "epochs": 4, "learning_rate": 1e-3, "critic_learning_rate": 2e-3,
        "warm_up": 20, "ema": 0.99,
    },
    "demo": {"epochs": 4, "batch_size": 64, "learning_rate": 1e-3},
    "smoke": {"epochs": 1, "batch_size": 64, "critic_steps": 2},
}
_ENCODED_AT_ONCE = 512


@dataclass(frozen=True)
class Options(AdversarialOptions):
    """Stage 2 of the report."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(20, "passes of the generator over the training windows", minimum=1, maximum=1_000_000)
    learning_rate: float = option(1e-4, "Adam's, for both", above=0)
    balance: str = option("none", "unequal genres: sample evenly, or nothing", choices=BALANCES[1:])


class CGANStage(RollStage):
    name = "cgan"
    best_by = {"generator": "roll_distance", "critic": "roll_distance"}
    averaged = ("generator",)

    def __init__(self, options: Options) -> None:
        super().__init__(options, [RollPhase.of(options.seq_len, options.epochs)], options.balance)

    def open(self) -> None:
        super().open()
        self.cvae = self.load_earlier(CVAE.kind, "train_cvae.py").to(self.device).requires_grad_(False)
        self.initial = {}
        if self.options.init_from:
            self.initial = {name: self.load_initial(pretrained_file(name), name) for name in self.best_by}

    @torch.no_grad()
    def open_phase(self, phase: RollPhase) -> None:
        """Open the windows and encode them, once for all where they stay as they are: the CVAE is frozen."""
        super().open_phase(phase)
        self.posteriors, windows = None, self.train_windows
        if self.options.transpose or self.options.move_windows:
            return
        parts = [self.cvae.encode(*windows.batch(i)) for i in torch.arange(len(windows)).split(_ENCODED_AT_ONCE)]
        self.posteriors = Posterior(*map(torch.cat, zip(*parts, strict=True)))

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        log = ["best by: distance of generated to real validation windows (evaluation/statistics/roll_distance.py)"]
        generator, critic = build_adversaries(self.options, self.cvae, len(self.genres), phase.seq_len)
        generator.start_at(self.train_windows.pitch_rate().cpu())
        self.models = {"generator": generator, "critic": critic}
        for name, (initial, lines) in self.initial.items():
            log += [*lines, *carry(name, initial, self.models[name])]
        self.models = {name: model.to(self.device) for name, model in self.models.items()}
        self.models["generator"].prior.load_state_dict(self.cvae.prior.state_dict())
        return log

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        parameters = {
            "generator": own_parameters(self.models["generator"]),
            "critic": list(self.models["critic"].parameters()),
        }
        rate = self.options.learning_rate
        rates = {"generator": rate, "critic": self.options.critic_learning_rate or rate}
        return {name: adam(each, rates[name], self.options.gan_betas) for name, each in parameters.items()}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        critic_losses = train_critic(self, "critic", self._critic_batches(draw), draw, self.options)
        batch = self._real_and_fake(draw, draw.index())
        loss = adversarial_loss(self.models["critic"], batch.fake, batch.genre, batch.z_fake)
        self.update(loss, "generator")
        return {"generator": loss, **critic_losses}

    def _critic_batches(self, draw: Draw) -> Iterator[CriticBatch]:
        for stream in range(1, self.options.critic_steps + 1):
            with torch.no_grad():
                batch = self._real_and_fake(draw, draw.index(stream))
            yield batch

    def _real_and_fake(self, draw: Draw, index: Tensor) -> CriticBatch:
        """Windows at `index` with z ~ q(z | X, E, y), and what G makes of these z (and of the prior's)."""
        if self.posteriors is None:
            batch = draw.batch_of(index)
            real, genre, posterior = batch.roll, batch.genre, self.cvae.encode(*batch)
        else:
            index = self.train_windows.to_device(index)
            real, genre = self.train_windows.rolls(index), self.train_windows.genre[index]
            posterior = Posterior(*(field[index] for field in self.posteriors))
        return critic_batch(self.models["generator"], real, genre, posterior, draw, self.options)

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_generator(models["generator"], self.val_windows)


def train_cgan(options: Options) -> None:
    """Run stage 2. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(CGANStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cgan(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
