"""Stage 3: train CVAE, generator and critic together, on windows of 32, then 64, then 128 frames.

    python train_hybrid.py --store store
    python train_hybrid.py --store store --no-encoder-gradient      # ablation: L_G does not reach the encoder
    python train_hybrid.py --store store --seq-lens 32,64 --epochs 3,2

Starts from the CVAE of stage 1, and from generator and critic of stage 2 where they are there. The same command resumes
a run that was stopped. Writes checkpoints/hybrid_{cvae,G,D}_{best,last} for each T, as hybrid_G_best_T128.pth and
hybrid_G_T128_last.pth.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from data.windows import Batch
from models import CVAE, Critic, Generator, carry_over
from models.checkpoint import CheckpointError
from models.losses import elbo_terms, squared_error
from training.adversarial import BETAS, FAKES, adversarial_loss, fake_roll, train_critic
from training.loop import train
from training.stage import BALANCES, Draw, Phase, Stage, TrainingOptions
from training.validation import validate_cvae, validate_generator

PRETRAINED = {
    "cvae": "cvae_pretrained_best.pth",
    "G": "generator_pretrained_best.pth",
    "D": "critic_pretrained_best.pth",
}
PRESETS = {
    "paper": {},
    "paper-512": {"hidden": 512},
    "demo": {"epochs": (2, 2, 3), "batch_size": 64, "cvae_learning_rate": 1e-3, "gan_learning_rate": 1e-3},
    "smoke": {"epochs": (1, 1, 1), "batch_size": 64, "critic_steps": 2},
}


@dataclass(frozen=True)
class Options(TrainingOptions):
    """Stage 3 of the report."""

    seq_lens: tuple[int, ...] = option(WINDOW_LENGTHS, "the curriculum: frames in a window", choices=WINDOW_LENGTHS)
    epochs: tuple[int, ...] = option((10, 10, 15), "passes over the training windows at each T", minimum=1)
    cvae_learning_rate: float = option(5e-5, "Adam's, for the CVAE", above=0)
    gan_learning_rate: float = option(1e-4, "Adam's, for generator and critic", above=0)
    alpha: float = option(1.0, "weight of L_ELBO", minimum=0)
    beta: float = option(0.01, "weight of the KL divergence in L_ELBO", minimum=0)
    gamma: float = option(0.5, "weight of the adversarial loss L_G", minimum=0)
    hidden: int = option(32, "width of generator and critic", minimum=2, maximum=65536)
    critic_steps: int = option(5, "critic updates for each of the others'", minimum=1)
    penalty: float = option(10.0, "weight of the gradient penalty", minimum=0)
    fakes: str = option("soft", "what the critic sees: probabilities, or 0 and 1 by straight-through", choices=FAKES)
    encoder_gradient: bool = option(True, "let L_G shape the latent space: its gradient reaches the encoder")
    balance: str = option("weights", "unequal genres: weigh L_ELBO, sample evenly, or nothing", choices=BALANCES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seq_lens) != len(self.epochs):
            raise UserError(
                f"--seq-lens has {len(self.seq_lens)} numbers, --epochs {len(self.epochs)}: give one of each for each T"
            )
        if list(self.seq_lens) != sorted(set(self.seq_lens)):
            raise UserError("--seq-lens must rise: models grow from one T to the next")


class HybridStage(Stage):
    name = "hybrid"
    best_by = {"cvae": "negative_elbo", "G": "roll_distance", "D": "roll_distance"}

    def __init__(self, options: Options) -> None:
        phases = [Phase(*phase) for phase in zip(options.seq_lens, options.epochs, strict=True)]
        super().__init__(options, phases, options.balance)
        self.pretrained = {"cvae": self.load_earlier(PRETRAINED["cvae"], CVAE.kind, "train_cvae.py")}
        for name, kind in (("G", Generator.kind), ("D", Critic.kind)):
            if (self.checkpoints / PRETRAINED[name]).exists():
                self.pretrained[name] = self.load_earlier(PRETRAINED[name], kind, "train_cgan.py")

    def build_models(self, seq_len: int) -> list[str]:
        log = ["best by: validation ELBO (cvae), distance of generated to real validation windows (G, D)"]
        self.seed_weights(self.name, seq_len)
        earlier = self.models or self.pretrained
        cvae = earlier["cvae"]
        sizes = {"n_genres": len(self.genres), "seq_len": seq_len, "hidden": self.options.hidden}
        models: dict[str, nn.Module] = {"cvae": cvae, "G": Generator(**sizes, latent=cvae.latent), "D": Critic(**sizes)}
        origin = "" if self.models else f" from {PRETRAINED['cvae']}"
        log.append(f"cvae: all tensors kept{origin}")
        if "G" not in earlier:
            models["G"].start_at(self.train_windows.pitch_rate().cpu())
        log += [f"{name}: all tensors new, there is no {PRETRAINED[name]}" for name in models if name not in earlier]
        for name in ("G", "D"):
            if name in earlier:
                log += self._carry(name, earlier[name], models[name])
        self.models = {name: model.to(self.device) for name, model in models.items()}
        return log

    def _carry(self, name: str, source: nn.Module, target: nn.Module) -> list[str]:
        try:
            how_carried = carry_over(source.cpu(), target)
        except ValueError as error:
            remedy = f"give --hidden {source.config['hidden']} and a T that fits, or move the file away"
            raise UserError(f"{error}; {remedy}") from error
        return [f"{name}.{tensor}: {how}" for tensor, how in how_carried.items()]

    def make_optimizers(self) -> None:
        rates = {"cvae": self.options.cvae_learning_rate, "G": self.options.gan_learning_rate}
        rates["D"] = rates["G"]
        self.optimizers = {
            name: torch.optim.Adam(model.parameters(), rates[name], betas=(0.9, 0.999) if name == "cvae" else BETAS)
            for name, model in self.models.items()
        }

    def train_step(self, draw: Draw) -> dict[str, Tensor]:
        options, cvae, generator, critic = self.options, self.models["cvae"], self.models["G"], self.models["D"]

        def make_fake(batch: Batch) -> Tensor:
            posterior = cvae.encode(*batch)
            z = posterior.sample(draw.normal(*posterior.mean.shape))
            return fake_roll(generator, z, batch.genre, options.fakes)

        critic_losses = train_critic(
            critic, self.optimizers["D"], draw, make_fake, steps=options.critic_steps, penalty=options.penalty
        )
        batch = draw.batch()
        terms = elbo_terms(cvae, batch, draw.normal(len(batch.genre), cvae.latent), squared_error)
        kl = terms.kl.sum(1)
        elbo_loss = (self.genre_weights[batch.genre] * (terms.reconstruction + options.beta * kl)).mean()
        z = terms.z if options.encoder_gradient else terms.z.detach()
        generator_loss = adversarial_loss(critic, fake_roll(generator, z, batch.genre, options.fakes), batch.genre)
        # L_hyb = alpha L_ELBO + gamma L_G (report, section 2.3)
        loss = options.alpha * elbo_loss + options.gamma * generator_loss
        for name in ("cvae", "G"):
            self.optimizers[name].zero_grad(set_to_none=True)
        loss.backward()
        for name in ("cvae", "G"):
            self.optimizers[name].step()
        cvae_losses = {"reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}
        return {"loss": loss, **cvae_losses, "generator": generator_loss, **critic_losses}

    def validate(self) -> dict[str, float]:
        return {
            **validate_cvae(self.models["cvae"], self.val_windows, squared_error, self.options.beta),
            **validate_generator(self.models["G"], self.val_windows),
        }

    def checkpoint_name(self, model: str, seq_len: int, which: str) -> str:
        return f"hybrid_{model}_best_T{seq_len}.pth" if which == "best" else f"hybrid_{model}_T{seq_len}_last.pth"


def train_hybrid(options: Options) -> None:
    """Run stage 3. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(HybridStage(options))


if __name__ == "__main__":
    run_command(lambda: train_hybrid(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
