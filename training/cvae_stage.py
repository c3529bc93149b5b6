"""Stage 1 without its objective, which is in train_cvae.py: the CVAE, its optimizer and its validation."""

from collections.abc import Mapping
from dataclasses import fields

import torch
from torch import Tensor, nn

from common.errors import UserError
from data.windows import Batch
from models.losses import ElboTerms, elbo_terms
from models.names import NLL
from models.weight_files import pretrained_file
from training.optimizers import optimizer_of, set_dropout
from training.options import CVAESizeOptions
from training.roll_stage import RollPhase, RollStage, build_sized, with_prior
from training.validation import validate_cvae


class CVAEStage(RollStage):
    """A CVAE, of new or initial weights."""

    name = "cvae"
    best_by = {"cvae": "negative_elbo"}
    averaged = ("cvae",)

    def open(self) -> None:
        super().open()
        self.initial = None
        if self.options.init_from:
            cvae, lines = self.load_initial(pretrained_file("cvae"), "cvae")
            for name in ("latent", "hidden", "depth", "event_size", "genre_size"):
                given, own = getattr(self.options, name), cvae.config.get(name)
                if given not in (None, own):
                    flag = f"--{name.replace('_', '-')} {given}"
                    raise UserError(f"{flag}: the weights of --init-from have {own or 'no such size'}; leave it out")
            cvae, prior_lines = with_prior(cvae, self.options.prior)
            self.initial = cvae, [*lines, *prior_lines]

    def build_models(self, phase: RollPhase) -> list[str]:
        self.seed_weights(self.name)
        log = ["best by: validation ELBO, mean over genres"]
        if self.initial:
            cvae, lines = self.initial
            self.models = {"cvae": cvae.to(self.device)}
            return [*log, *lines]
        options = {field.name: getattr(self.options, field.name) for field in fields(CVAESizeOptions)}
        cvae = build_sized("cvae", n_genres=len(self.genres), **options).to(self.device)
        cvae.start_at(self.train_windows.pitch_rate())
        self.models = {"cvae": cvae}
        return log

    def start(self) -> None:
        set_dropout(self.models["cvae"], self.options.dropout)
        super().start()

    def make_optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"cvae": optimizer_of(self.models["cvae"], self.options.learning_rate, self.options)}

    def elbo_terms(self, batch: Batch, noise: Tensor, most_notes: Tensor) -> ElboTerms:
        """-log p(X | z, y) and KL(q || p) of each window, with z drawn by `noise`.

        `most_notes`: of `Draw`.
        """
        return elbo_terms(self.models["cvae"], batch, noise, NLL, self.options.free_nats, self.batch_mean, most_notes)

    def validate(self, models: Mapping[str, nn.Module]) -> dict[str, float]:
        return validate_cvae(models["cvae"], self.val_windows, NLL, self.options.beta, self.ranks)
