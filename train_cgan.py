"""Stage 2: train generator and critic (WGAN-GP); the CVAE of stage 1 is frozen and gives the latents.

    python train_cgan.py --store store
    python train_cgan.py --store store --preset paper-512           # the width of the published code

The same command resumes a run that was stopped. Writes checkpoints/{generator,critic}_pretrained_{best,last}.pth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from common.errors import run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from data.windows import Batch
from models import CVAE, Critic, Generator
from models.checkpoint import CheckpointError
from training.adversarial import BETAS, FAKES, adversarial_loss, fake_roll, train_critic
from training.loop import train
from training.stage import BALANCES, Draw, Phase, Stage, TrainingOptions
from training.validation import validate_generator

PRESETS = {
    "paper": {},
    "paper-512": {"hidden": 512},
    "demo": {"epochs": 4, "batch_size": 64, "learning_rate": 1e-3},
    "smoke": {"epochs": 1, "batch_size": 64, "critic_steps": 2},
}


@dataclass(frozen=True)
class Options(TrainingOptions):
    """Stage 2 of the report."""

    seq_len: int = option(32, "frames in a window", choices=WINDOW_LENGTHS)
    epochs: int = option(20, "passes of the generator over the training windows", minimum=1)
    learning_rate: float = option(1e-4, "Adam's, for both", above=0)
    hidden: int = option(32, "width of generator and critic", minimum=2, maximum=65536)
    critic_steps: int = option(5, "critic updates for each of the generator's", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty", minimum=0)
    fakes: str = option("soft", "what the critic sees: probabilities, or 0 and 1 by straight-through", choices=FAKES)
    balance: str = option("none", "unequal genres: sample evenly, or nothing", choices=BALANCES[1:])


class CGANStage(Stage):
    name = "cgan"
    best_by = {"generator": "roll_distance", "critic": "roll_distance"}

    def __init__(self, options: Options) -> None:
        super().__init__(options, [Phase(options.seq_len, options.epochs)], options.balance)
        cvae = self.load_earlier("cvae_pretrained_best.pth", CVAE.kind, "train_cvae.py")
        self.cvae = cvae.to(self.device).requires_grad_(False)

    def build_models(self, seq_len: int) -> list[str]:
        self.seed_weights(self.name)
        sizes = {"n_genres": len(self.genres), "seq_len": seq_len, "hidden": self.options.hidden}
        generator, critic = Generator(**sizes, latent=self.cvae.latent), Critic(**sizes)
        self.models = {"generator": generator.to(self.device), "critic": critic.to(self.device)}
        generator.start_at(self.train_windows.pitch_rate())
        return ["best by: distance of generated to real validation windows (evaluation/roll_distance.py)"]

    def make_optimizers(self) -> None:
        self.optimizers = {
            name: torch.optim.Adam(model.parameters(), self.options.learning_rate, BETAS)
            for name, model in self.models.items()
        }

    def train_step(self, draw: Draw) -> dict[str, Tensor]:
        generator, critic = self.models["generator"], self.models["critic"]

        def make_fake(batch: Batch) -> Tensor:
            with torch.no_grad():
                posterior = self.cvae.encode(*batch)
                z = posterior.sample(draw.normal(*posterior.mean.shape))
            return fake_roll(generator, z, batch.genre, self.options.fakes)

        critic_losses = train_critic(
            critic, self.optimizers["critic"], draw, make_fake,
            steps=self.options.critic_steps, penalty=self.options.penalty,
        )  # fmt: skip
        batch = draw.batch()
        loss = adversarial_loss(critic, make_fake(batch), batch.genre)
        self.optimizers["generator"].zero_grad(set_to_none=True)
        loss.backward()
        self.optimizers["generator"].step()
        return {"generator": loss, **critic_losses}

    def validate(self) -> dict[str, float]:
        return validate_generator(self.models["generator"], self.val_windows)


def train_cgan(options: Options) -> None:
    """Run stage 2. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(CGANStage(options))


if __name__ == "__main__":
    run_command(lambda: train_cgan(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
