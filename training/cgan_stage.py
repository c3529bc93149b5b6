"""Stage 2 without its objective, which is in train_cgan.py: the frozen CVAE, generator and critic, and validation."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from models import CVAE, Posterior
from models.weight_files import pretrained_file
from training.adversarial import Adversaries, Encoded, carry
from training.roll_stage import Draw, RollPhase, RollStage
from training.validation import validate_generator

_ENCODING_BATCH = 512


class CGANStage(RollStage):
    """Generator and critic on the latents of a frozen CVAE."""

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
        log = ["best by: distance of generated to real validation windows (evaluation/statistics/distances.py)"]
        gan = Adversaries.build(self.options, self.cvae, len(self.genres), phase.seq_len)
        gan.generator.start_at(self.train_windows.pitch_rate().cpu())
        self.models = {"generator": gan.generator, "critic": gan.critic}
        for name, (initial, lines) in self.initial.items():
            log += [*lines, carry(name, initial, self.models[name])]
        self.models = {name: model.to(self.device) for name, model in self.models.items()}
        self.models["generator"].prior.load_state_dict(self.cvae.prior.state_dict())
        return log

    def start(self) -> None:
        self.gan = Adversaries(self.models["generator"], self.models["critic"], self.options)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        generator, critic = self.gan.optimizers(self.options.learning_rate)
        return {"generator": generator, "critic": critic}

    @torch.no_grad()
    def encoded(self, draw: Draw, index: Tensor) -> Encoded:
        """The windows at `index` and their posteriors q(z | X, E, y) by the frozen CVAE."""
        if self.posteriors is None:
            batch = draw.batch_of(index)
            return Encoded(batch.roll, batch.genre, self.cvae.encode(*batch))
        windows, index = self.train_windows, self.train_windows.to_device(index)
        posterior = Posterior(*(field[index] for field in self.posteriors))
        return Encoded(windows.rolls(index), windows.genre[index], posterior)

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_generator(models["generator"], self.val_windows, self.ranks)
