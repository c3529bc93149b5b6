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
from training.adversarial import (
    GAN_BETAS,
    AdversarialOptions,
    CriticBatch,
    adversarial_loss,
    build_adversaries,
    fake_roll,
    own_parameters,
    train_critic,
)
from training.loop import train
from training.roll_stage import BALANCES, Draw, RollPhase, RollStage
from training.validation import validate_generator

PRESETS = {
    "paper": {},
    "paper-512": {"architecture": PAPER_512},
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
        self.cvae = self.load_earlier("cvae", CVAE.kind, "train_cvae.py").to(self.device).requires_grad_(False)

    @torch.no_grad()
    def open_phase(self, phase: RollPhase) -> None:
        """Open the windows and encode them, once for all: the CVAE is frozen. Two numbers a latent and window."""
        super().open_phase(phase)
        windows = self.train_windows
        parts = [self.cvae.encode(*windows.batch(i)) for i in torch.arange(len(windows)).split(_ENCODED_AT_ONCE)]
        self.posteriors = Posterior(*map(torch.cat, zip(*parts, strict=True)))

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        generator, critic = build_adversaries(self.options, self.cvae, len(self.genres), phase.seq_len)
        self.models = {"generator": generator.to(self.device), "critic": critic.to(self.device)}
        generator.start_at(self.train_windows.pitch_rate())
        generator.prior.load_state_dict(self.cvae.prior.state_dict())
        return ["best by: distance of generated to real validation windows (evaluation/statistics/roll_distance.py)"]

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        parameters = {
            "generator": own_parameters(self.models["generator"]),
            "critic": list(self.models["critic"].parameters()),
        }
        return {name: self.adam(each, self.options.learning_rate, GAN_BETAS) for name, each in parameters.items()}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        critic_losses = train_critic(self, "critic", self._critic_batches(draw), self.options.penalty)
        fake, genre = self._fake(draw, self.train_windows.to_device(draw.index()))
        loss = adversarial_loss(self.models["critic"], fake, genre)
        self.update(loss, "generator")
        return {"generator": loss, **critic_losses}

    def _critic_batches(self, draw: Draw) -> Iterator[CriticBatch]:
        for stream in range(1, self.options.critic_steps + 1):
            index = self.train_windows.to_device(draw.index(stream))
            with torch.no_grad():
                fake, genre = self._fake(draw, index)
            yield CriticBatch(self.train_windows.rolls(index), fake, genre, draw.uniform(len(genre)))

    def _fake(self, draw: Draw, index: Tensor) -> tuple[Tensor, Tensor]:
        """What G makes of z ~ q(z | X, E, y) of the windows at `index`, and their genres."""
        posterior = Posterior(*(field[index] for field in self.posteriors))
        genre = self.train_windows.genre[index]
        z = posterior.sample(draw.normal(*posterior.mean.shape))
        return fake_roll(self.models["generator"], z, genre, self.options.fakes), genre

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_generator(models["generator"], self.val_windows)


def train_cgan(options: Options) -> None:
    """Run stage 2. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(CGANStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cgan(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
