"""Stage 3: train CVAE, generator and critic together, on windows of 32, then 64, then 128 frames.

    python train_hybrid.py --store store
    python train_hybrid.py --store store --no-encoder-gradient      # ablation: L_G does not reach the encoder
    python train_hybrid.py --store store --seq-len 32,64 --epochs 3,2

Starts from the CVAE of stage 1, and from generator and critic of stage 2 where they are there. The same command resumes
a run that was stopped. Writes checkpoints/hybrid_{cvae,G,D}_{best,last} for each T, as hybrid_G_best_T128.pth and
hybrid_G_T128_last.pth.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from common.errors import UserError, run_command
from common.options import option, parse_options
from data.store import WINDOW_LENGTHS
from data.windows import Batch
from models import CVAE, PAPER_512, Critic, Generator, Posterior
from models.checkpoint import CheckpointError
from models.losses import NLL, RECONSTRUCTIONS, SQUARED_ERROR, elbo_terms
from models.prior import PRIORS
from models.weight_files import hybrid_file, pretrained_file
from training.adversarial import (
    LARGE_ADVERSARIES,
    AdversarialOptions,
    CriticBatch,
    GradientShare,
    adversarial_loss,
    build_adversaries,
    carry,
    critic_batch,
    fake_roll,
    own_parameters,
    some_from_prior,
    train_critic,
)
from training.loop import train
from training.optimizers import MUON, OptimizerOptions, adam, optimizer_of
from training.roll_stage import BALANCES, Draw, RollPhase, RollStage, with_prior
from training.stage import Phase
from training.validation import validate_cvae, validate_generator

KINDS = {"cvae": CVAE.kind, "G": Generator.kind, "D": Critic.kind}
EARLIER_STAGE = {CVAE.kind: "train_cvae.py", Generator.kind: "train_cgan.py", Critic.kind: "train_cgan.py"}
LARGE_HYBRID = {
    **LARGE_ADVERSARIES, "epochs": (1, 1, 4), "optimizer": MUON, "cvae_learning_rate": 7e-4,
    "matrix_learning_rate": 1e-2, "dropout": 0.1, "gan_learning_rate": 5e-4, "reconstruction": NLL, "beta": 1.0,
    "free_nats": 6.0, "clip_norm": 1.0,
}  # fmt: skip
PRESETS = {
    "paper": {},
    "paper-512": {"architecture": PAPER_512},
    "large": LARGE_HYBRID,
    "large-demo": {**LARGE_HYBRID, "hidden": 64, "epochs": (1, 1, 2), "warm_up": 20, "ema": 0.99},
    "demo": {"epochs": (2, 2, 3), "batch_size": 64, "cvae_learning_rate": 1e-3, "gan_learning_rate": 1e-3},
    "smoke": {"epochs": (1, 1, 1), "batch_size": 64, "critic_steps": 2},
}


@dataclass(frozen=True)
class Options(AdversarialOptions, OptimizerOptions):
    """Stage 3 of the report."""

    seq_lens: tuple[int, ...] = option(
        WINDOW_LENGTHS, "the curriculum: frames in a window", choices=WINDOW_LENGTHS, flag="--seq-len"
    )
    epochs: tuple[int, ...] = option(
        (10, 10, 15), "passes over the training windows at each T", minimum=1, maximum=1_000_000
    )
    cvae_learning_rate: float = option(5e-5, "Adam's, for the CVAE", above=0)
    gan_learning_rate: float = option(1e-4, "Adam's, for generator and critic", above=0)
    alpha: float = option(1.0, "weight of L_ELBO", minimum=0)
    beta: float = option(0.01, "weight of the KL divergence in L_ELBO", minimum=0)
    gamma: float = option(0.5, "weight of the adversarial loss L_G", minimum=0)
    reconstruction: str = option(
        SQUARED_ERROR, "first term of L_ELBO: of the cells' probabilities, or nll in nats", choices=RECONSTRUCTIONS
    )
    free_nats: float = option(0.0, "KL of a part of z (a second, or the window) that costs nothing, nats", minimum=0)
    prior: str | None = option(
        None, "what z is drawn from, begun anew where the CVAE came with another", choices=tuple(PRIORS)
    )
    encoder_gradient: bool = option(True, "let L_G shape the latent space: its gradient reaches the encoder")
    balance: str = option("weights", "unequal genres: weigh L_ELBO, sample evenly, or nothing", choices=BALANCES)

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.seq_lens) != len(self.epochs):
            raise UserError(
                f"--seq-len has {len(self.seq_lens)} numbers, --epochs {len(self.epochs)}: give one of each for each T"
            )
        if list(self.seq_lens) != sorted(set(self.seq_lens)):
            raise UserError("--seq-len must rise: models grow from one T to the next")


class HybridStage(RollStage):
    name = "hybrid"
    best_by = {"cvae": "negative_elbo", "G": "roll_distance", "D": "roll_distance"}
    averaged = ("cvae", "G")

    def __init__(self, options: Options) -> None:
        phases = [RollPhase.of(*phase) for phase in zip(options.seq_lens, options.epochs, strict=True)]
        super().__init__(options, phases, options.balance)

    def open(self) -> None:
        super().open()
        self.pretrained, self.initial_log = {}, []
        for name, kind in KINDS.items():
            earlier = pretrained_file(kind)
            if self.options.init_from:
                model, lines = self.load_initial(hybrid_file(name, self.options.seq_lens[0]), kind)
                self.initial_log += lines
            elif kind == CVAE.kind or (self.checkpoints / earlier).exists():
                model = self.load_earlier(kind, EARLIER_STAGE[kind])
            else:
                continue
            if kind != Critic.kind:
                model, lines = with_prior(model, self.options.prior)
                self.initial_log += lines
            self.pretrained[name] = model
        if self.options.reconstruction != NLL and not self.pretrained["cvae"].predicts_cells:
            raise UserError(f"a note decoder has no probabilities of cells: give --reconstruction {NLL}")

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name, phase.seq_len)
        log = ["best by: validation ELBO, mean over genres (cvae), distance of generated to real windows (G, D)"]
        earlier, origin = self.models or self.pretrained, ""
        if not self.models:
            log += self.initial_log
            origin = "" if self.options.init_from else f" from {pretrained_file('cvae')}"
        cvae = earlier["cvae"]
        log.append(f"cvae: all tensors kept{origin}")
        generator, critic = build_adversaries(self.options, cvae, len(self.genres), phase.seq_len)
        for name, model in (("G", generator), ("D", critic)):
            if name in earlier:
                log += carry(name, earlier[name], model)
            else:
                log.append(f"{name}: all tensors new, there is no {pretrained_file(KINDS[name])}")
        if "G" not in earlier:
            generator.start_at(self.train_windows.pitch_rate().cpu())
        self.models = {
            name: model.to(self.device) for name, model in (("cvae", cvae), ("G", generator), ("D", critic))
        }
        return log

    def start(self) -> None:
        self.models["G"].prior = self.models["cvae"].prior  # one prior, trained with the CVAE
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        models, options = self.models, self.options
        critic_rate = options.critic_learning_rate or options.gan_learning_rate
        return {
            "cvae": optimizer_of(models["cvae"], options.cvae_learning_rate, options),
            "G": adam(own_parameters(models["G"]), options.gan_learning_rate, options.gan_betas),
            "D": adam(list(models["D"].parameters()), critic_rate, options.gan_betas),
        }

    def iterate(self, draw: Draw) -> dict[str, Tensor]:
        options, cvae, generator, critic = self.options, self.models["cvae"], self.models["G"], self.models["D"]
        critic_losses = train_critic(self, "D", self._critic_batches(draw), draw, options)
        batch = draw.batch()
        noise = draw.normal(len(batch.genre), cvae.noise_size(self.train_windows.seq_len))
        terms = elbo_terms(cvae, batch, noise, options.reconstruction, options.free_nats)
        kl = terms.kl.sum(1)
        elbo_loss = self.weighted_mean(terms.reconstruction + options.beta * kl, batch.genre)
        z = terms.z.view_as(terms.z) if options.encoder_gradient else terms.z.detach()
        share = GradientShare(terms.z, z)
        z = some_from_prior(z, batch.genre, cvae.prior, draw, options.prior_share)
        fake = fake_roll(generator, z, batch.genre, options.fakes)
        generator_loss = adversarial_loss(critic, fake, batch.genre, z)
        # L_hyb = alpha L_ELBO + gamma L_G (report, section 2.3)
        loss = options.alpha * elbo_loss + options.gamma * generator_loss
        self.update(loss, "cvae", "G")
        cvae_losses = {"reconstruction": terms.reconstruction.mean(), "kl": kl.mean()}
        return {
            "loss": loss, **cvae_losses, "generator": generator_loss, "generator_share": share.value(), **critic_losses
        }  # fmt: skip

    @torch.no_grad()
    def _critic_batches(self, draw: Draw) -> Iterator[CriticBatch]:
        """Windows of their own for each of the critic's updates.

        The CVAE rests meanwhile, so they can be encoded together: on a GPU in one call, which has fewer kernels to
        start. On a CPU each alone: together they were up to 7 % slower.
        """
        steps = self.options.critic_steps
        indexes = [draw.index(stream) for stream in range(1, steps + 1)]
        together = 1 if self.device.type == "cpu" else steps
        for first in range(0, steps, together):
            sizes = [len(index) for index in indexes[first : first + together]]
            batch: Batch = draw.batch_of(torch.cat(indexes[first : first + together]))
            moments = self.models["cvae"].encode(*batch)
            parts = zip(*(field.split(sizes) for field in (batch.roll, batch.genre, *moments)), strict=True)
            for roll, genre, mean, log_variance in parts:
                posterior = Posterior(mean, log_variance)
                yield critic_batch(self.models["G"], roll, genre, posterior, draw, self.options)

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return {
            **validate_cvae(models["cvae"], self.val_windows, self.options.reconstruction, self.options.beta),
            **validate_generator(models["G"], self.val_windows),
        }

    def weights_file(self, model: str, phase: Phase, which: str) -> str:
        return hybrid_file(model, phase.seq_len, which)


def train_hybrid(options: Options) -> None:
    """Run stage 3. Raises `UserError` or `CheckpointError` with a sentence where something is missing."""
    train(HybridStage(options))


if __name__ == "__main__":
    run_command(lambda: train_hybrid(parse_options(Options, __doc__, presets=PRESETS)), CheckpointError)
