"""Stage 2: train generator and critic (WGAN-GP) on latents of the frozen CVAE of stage 1.

    python train_cgan.py --store store
    python train_cgan.py --store store --preset paper-512           # the width of the published code

The same command resumes a run that was stopped. Writes checkpoints/{generator,critic}_pretrained_{best,last}.pth.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import run_command
from common.options import option, parse_options
from data.window_lengths import WINDOW_LENGTHS
from models import CVAE, Posterior
from models.errors import CheckpointError
from models.weight_files import pretrained_file
from training import presets
from training.adversarial import Adversaries, Encoded, WganOptions, carry
from training.loop import train
from training.roll_stage import BALANCES, Draw, EarlierStageOptions, RollPhase, RollStage, RollTrainingOptions
from training.validation import validate_generator

PRESETS = presets.presets_of(presets.CGAN)
_ENCODING_BATCH = 512


@dataclass(frozen=True)
class Options(WganOptions, EarlierStageOptions, RollTrainingOptions):
    """Duration of stage 2."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(20, "passes of the generator over the training windows", minimum=1, maximum=1_000_000)
    learning_rate: float = option(1e-4, "Adam's, for the generator and by default for the critic", above=0)
    balance: str = option("none", "unequal genres: sample evenly, or nothing", choices=BALANCES[1:])


class CGANStage(RollStage):
    name = "cgan"
    best_by = {"generator": "roll_distance", "critic": "roll_distance"}
    averaged = ("generator",)

    def open(self) -> None:
        super().open()
        self.cvae = self.load_earlier(CVAE.kind).to(self.device).requires_grad_(False)
        self.initial = {}
        if self.options.init_from:
            self.initial = {name: self.load_initial(pretrained_file(name), name) for name in self.best_by}

    @torch.no_grad()
    def open_phase(self, phase: RollPhase) -> None:
        """Open the windows; encode them once for all epochs if the options leave them unchanged."""
        super().open_phase(phase)
        self.posteriors, windows = None, self.train_windows
        if self.options.transpose or self.options.move_windows:
            return
        parts = [self.cvae.encode(*windows.batch(i)) for i in torch.arange(len(windows)).split(_ENCODING_BATCH)]
        self.posteriors = Posterior(*map(torch.cat, zip(*parts, strict=True)))

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        log = ["best by: distance of generated to real validation windows (evaluation/statistics/roll_distance.py)"]
        gan = Adversaries.build(self.options, self.cvae, len(self.genres), phase.seq_len)
        gan.generator.start_at(self.train_windows.pitch_rate().cpu())
        self.models = {"generator": gan.generator, "critic": gan.critic}
        for name, (initial, lines) in self.initial.items():
            log += [*lines, *carry(name, initial, self.models[name])]
        self.models = {name: model.to(self.device) for name, model in self.models.items()}
        self.models["generator"].prior.load_state_dict(self.cvae.prior.state_dict())
        return log

    def start(self) -> None:
        self.gan = Adversaries(self.models["generator"], self.models["critic"], self.options)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        generator, critic = self.gan.optimizers(self.options.learning_rate)
        return {"generator": generator, "critic": critic}

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        for stream in range(1, self.options.critic_steps + 1):
            critic_losses = self.gan.critic_losses(self._encoded(draw, draw.index(stream)), draw)
            self.update(critic_losses["critic"], "critic")
        _, genre, posterior = self._encoded(draw, draw.index())
        z = posterior.sample(draw.normal(*posterior.mean.shape))
        loss = self.gan.generator_loss(z, genre, draw)
        self.update(loss, "generator")
        return {"generator": loss, **critic_losses}

    @torch.no_grad()
    def _encoded(self, draw: Draw, index: Tensor) -> Encoded:
        """The windows at `index` and their posteriors q(z | X, E, y) by the frozen CVAE."""
        if self.posteriors is None:
            batch = draw.batch_of(index)
            return Encoded(batch.roll, batch.genre, self.cvae.encode(*batch))
        windows, index = self.train_windows, self.train_windows.to_device(index)
        posterior = Posterior(*(field[index] for field in self.posteriors))
        return Encoded(windows.rolls(index), windows.genre[index], posterior)

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_generator(models["generator"], self.val_windows)


def train_cgan(options: Options) -> None:
    """Run stage 2. Raises `UserError` or `CheckpointError`, with a remedy, for wrong options or missing files."""
    train(CGANStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cgan(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
