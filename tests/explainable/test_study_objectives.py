"""Training of each model of the study against its objective in plain torch, with every weight and rate at an odd value.

Weights saved and losses logged by a run of two epochs must follow from the definitions here: batches, random numbers,
losses, gradients, learning rates, clipping, moving averages and validation. The networks have tests of their own
(tests/models/test_study.py); here they are used as they are.
"""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from common.randomness import rng_at, seed_at
from explainable.attributes import attribute_index, attributes
from explainable.measures import MeasureSet
from explainable.normal_scores import NormalScores, scores_of
from explainable.options import TRAININGS
from explainable.stages import STAGES
from explainable.tokens import MEASURE
from models.checkpoint import read_checkpoint
from models.prior import Posterior
from models.study.adversarial_vae import AdversarialVAE, AttributeClassifier
from models.study.attribute_vae import AttributeReader, AttributeRegressor, AttributeVAE
from models.study.measure_vae import MeasureVAE
from training.loop import train

SEED, LATENT, BATCH, EPOCH_ROWS, EPOCHS = 4, 5, 8, 14, 2  # the second batch of an epoch has 6 rows
RATE, CLIP, EMA, WARM_UP, FORCED = 3e-3, 0.05, 0.3, 3, 0.58
NAMES = ("note_range", "note_density")
COLUMNS = [attribute_index(name) for name in NAMES]
SHARED = {
    "seed": SEED, "latent": LATENT, "hidden": 8, "attributes": NAMES, "batch_size": BATCH, "epoch_rows": EPOCH_ROWS,
    "epochs": EPOCHS, "validation_rows": 5, "learning_rate": RATE, "clip_norm": CLIP, "ema": EMA, "warm_up": WARM_UP,
    "schedule": "cosine", "device": "cpu", "threads": 1,
}  # fmt: skip
PLACES = [(epoch, example) for epoch in range(EPOCHS) for example in range(0, EPOCH_ROWS, BATCH)]
Losses = dict[str, Tensor]


class Plain:
    """A model with a plain optimizer; `average` is the moving average of its state."""

    def __init__(self, model: nn.Module, rate: float) -> None:
        self.model, self.rate, self.average = model.train(), rate, None
        self.before, self.optimizer = copy.deepcopy(model.state_dict()), torch.optim.Adam(model.parameters())

    def step(self, loss: Tensor, place: tuple[int, int]) -> None:
        parameters, done = list(self.model.parameters()), place[0] * EPOCH_ROWS + place[1]
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True, allow_unused=True)
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient * min(1.0, CLIP / norm)
        cosine = 0.5 + 0.5 * math.cos(math.pi * done / (EPOCHS * EPOCH_ROWS))
        self.optimizer.param_groups[0]["lr"] = self.rate * cosine * min(1.0, (done // BATCH + 1) / WARM_UP)
        self.optimizer.step()
        state, before = copy.deepcopy(self.model.state_dict()), self.average
        self.average = state if before is None else {k: EMA * before[k] + (1 - EMA) * state[k] for k in state}


class Run:
    """A training from `models`, with its rows and what it has saved and logged.

    `helper_rate`: the learning rate of all models but the VAE.
    """

    def __init__(
        self, models: dict[str, nn.Module], helper_rate: float, measures: MeasureSet, folder: Path, **odd: Any
    ) -> None:
        self.plain = {name: Plain(each, RATE if name == "vae" else helper_rate) for name, each in models.items()}
        self.vae = self.plain["vae"].model
        make_options, make_stage = TRAININGS[self.vae.network], STAGES[self.vae.network]
        places = {"data": measures.folder, "checkpoints": folder / "weights", "runs": folder}
        stage = make_stage(make_options(**SHARED, **odd, **places))
        train(stage)
        self.log = [json.loads(line) for line in (stage.folder / "epochs.jsonl").read_text().splitlines()]
        self.saved = {name: read_checkpoint(stage.checkpoints / f"{name}_last.pth")["weights"] for name in self.plain}
        train_rows, val_rows = measures.split("train"), measures.split("val")
        self.tokens, self.values = torch.from_numpy(train_rows.tokens).long(), train_rows.attributes[:, COLUMNS]
        chosen = np.sort(np.random.default_rng(0).permutation(len(val_rows))[:5])
        self.val_tokens = torch.from_numpy(val_rows.tokens[chosen]).long()
        self.val_values = torch.from_numpy(val_rows.attributes[chosen][:, COLUMNS])

    def batch(self, epoch: int, example: int) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(self.tokens), generator=rng_at("rows", SEED, epoch))[:EPOCH_ROWS]
        torch.manual_seed(seed_at("step", SEED, "train", epoch, example))  # for dropout
        index = order[example : example + BATCH]
        return self.tokens[index], torch.from_numpy(self.values)[index]

    def decoded(self, z: Tensor, tokens: Tensor, place: tuple[int, int]) -> Tensor:
        """Logits of MeasureVAE or AttributeVAE in a training step."""
        is_forced = float(torch.rand((), generator=rng_at("teacher", SEED, *place))) < FORCED
        return self.vae.decode(z, tokens) if is_forced else self.vae.decode_free(z)[0]

    def check(self, steps: list[Losses], losses: Callable, encode: Callable, decode_free: Callable) -> None:
        """All weights have moved as expected; the log has the means of the losses over rows, and the validation."""
        for name, plain in self.plain.items():
            expected = plain.average if name == "vae" else plain.model.state_dict()
            assert expected.keys() == self.saved[name].keys()
            for key, tensor in expected.items():
                tolerance = 2e-3 * (tensor - plain.before[key]).norm() + 1e-8
                assert (self.saved[name][key] - tensor).norm() <= tolerance, f"{name} {key}"
        for epoch, record in enumerate(self.log):
            of_batches = zip(*(each.items() for each in steps[2 * epoch : 2 * epoch + 2]), strict=True)
            means = {name: (8 * first.item() + 6 * second.item()) / 14 for (name, first), (_, second) in of_batches}
            assert record["train"] == pytest.approx(means, rel=1e-4, abs=1e-6)
        self.vae.eval().load_state_dict(self.plain["vae"].average)
        tokens, values = self.val_tokens, self.val_values
        posterior = encode(tokens, values)
        z = sample(posterior, "validation")
        logits, decoded = decode_free(z, values)
        found = {**losses(tokens, values, posterior, z, logits), "accuracy": (decoded == tokens).float().mean()}
        expected = {f"val_{name}": value.item() for name, value in found.items()}
        assert self.log[-1]["val"] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def sample(posterior: Posterior, *place: int | str) -> Tensor:
    noise = torch.randn(posterior.mean.shape, generator=rng_at("noise", SEED, *place))
    return posterior.mean + (posterior.log_variance / 2).exp() * noise


def elbo_terms(logits: Tensor, tokens: Tensor, posterior: Posterior) -> tuple[Tensor, Tensor]:
    """The cross-entropy of a token, and the KL divergence of each dimension of z, (B, latent)."""
    kl = (posterior.mean.square() + posterior.log_variance.exp() - 1 - posterior.log_variance) / 2
    return -logits.log_softmax(2).gather(2, tokens[:, :, None]).mean(), kl


def test_measure_vae(measures: MeasureSet, tmp_path: Path) -> None:
    odd = {"beta": 0.37, "gamma": 1.9, "delta": 0.8, "teacher_forcing": FORCED, "dropout": 0.3, "relu_logits": False}
    torch.manual_seed(seed_at("weights", SEED, "measure_vae"))
    models = {"vae": MeasureVAE(MEASURE.size, LATENT, 8, dropout=0.3, relu_logits=False)}
    run = Run(models, RATE, measures, tmp_path, **odd)

    def losses(tokens: Tensor, values: Tensor, posterior: Posterior, z: Tensor, logits: Tensor) -> Losses:
        reconstruction, kl = elbo_terms(logits, tokens, posterior)
        difference = torch.tanh(0.8 * (z[:, None, :2] - z[None, :, :2])) - (values[:, None] - values[None]).sign()
        attribute, kl = difference.abs().mean((0, 1)).sum(), kl.sum(1).mean()
        loss = reconstruction + 0.37 * kl + 1.9 * attribute
        return {"loss": loss, "reconstruction": reconstruction, "kl": kl, "attribute": attribute}

    steps = []
    for place in PLACES:
        tokens, values = run.batch(*place)
        posterior = run.vae.encode(tokens)
        z = sample(posterior, *place)
        steps.append(losses(tokens, values, posterior, z, run.decoded(z, tokens, place)))
        run.plain["vae"].step(steps[-1]["loss"], place)
    run.check(steps, losses, lambda tokens, _: run.vae.encode(tokens), lambda z, _: run.vae.decode_free(z))


@pytest.mark.parametrize("kl_over", ["mean", "sum"])
def test_adversarial_vae(kl_over: str, measures: MeasureSet, tmp_path: Path) -> None:
    odd = {"kl_weight": 0.23, "kl_over": kl_over, "adversary_weight": 0.61, "classes": 5, "sampling_k": 1.5}
    torch.manual_seed(seed_at("weights", SEED, "adversarial_vae"))
    vae, adversary = AdversarialVAE(MEASURE.size, 2, MEASURE.hold, LATENT, 8), AttributeClassifier(LATENT, 2, 5)
    run = Run({"vae": vae, "adversary": adversary}, RATE, measures, tmp_path, **odd)

    def scaled(values: Tensor) -> Tensor:
        training = torch.from_numpy(run.values)
        return (values - training.mean(0)) / training.std(0)

    def classifier_loss(z: Tensor, values: Tensor, is_inverted: bool) -> Tensor:
        """A class is the number of quantiles up to a value; no class is below the smallest value."""
        edges = [np.unique(np.quantile(column.astype(float), np.arange(1, 5) / 5)) for column in run.values.T]
        edges = [torch.tensor(of[of > column.min()]) for of, column in zip(edges, run.values.T, strict=True)]
        classes = torch.stack([(edges[k] <= values[:, k, None]).sum(1) for k in range(2)], dim=1)
        targets = F.one_hot(classes, 5).float()
        targets, probabilities = 1 - targets if is_inverted else targets, adversary(z).sigmoid()
        return -(targets * probabilities.log() + (1 - targets) * (1 - probabilities).log()).mean()

    def losses(tokens: Tensor, values: Tensor, posterior: Posterior, z: Tensor, logits: Tensor) -> Losses:
        reconstruction, kl = elbo_terms(logits, tokens, posterior)
        fooled, kl_of_row = classifier_loss(z, values, is_inverted=True), kl.sum(1).mean()
        own = reconstruction + 0.23 * (kl.mean() if kl_over == "mean" else kl_of_row)
        parts = {"loss": own + 0.61 * fooled, "loss_without_adversary": own, "reconstruction": reconstruction}
        return {**parts, "kl": kl_of_row, "fooled": fooled}

    steps = []
    for iteration, place in enumerate(PLACES):
        tokens, values = run.batch(*place)
        guess = classifier_loss(sample(run.vae.encode(tokens), "adversary", *place), values, is_inverted=False)
        run.plain["adversary"].step(guess, place)
        posterior = run.vae.encode(tokens)
        z = sample(posterior, *place)
        share, length = 1.5 / (1.5 + math.exp(iteration / 1.5)), tokens.shape[1]
        is_true = torch.rand(length, generator=rng_at("teacher", SEED, *place)) < share
        logits, _ = run.vae.decode_free(z, scaled(values), length, tokens, is_true)
        steps.append({**losses(tokens, values, posterior, z, logits), "classifier": guess})
        run.plain["vae"].step(steps[-1]["loss"], place)

    def decode_free(z: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return run.vae.decode_free(z, scaled(values), MEASURE.length)

    run.check(steps, losses, lambda tokens, _: run.vae.encode(tokens), decode_free)


def test_attribute_vae(measures: MeasureSet, tmp_path: Path) -> None:
    odd = {
        "beta": 0.37, "teacher_forcing": FORCED, "dropout": 0.3, "adversary_weight": 0.61, "adversary_steps": 3,
        "adversary_rate": 7e-3, "dependence_weight": 0.43, "control_weight": 0.29,
    }  # fmt: skip
    torch.manual_seed(seed_at("weights", SEED, "attribute_vae"))
    vae, adversary = AttributeVAE(MEASURE.size, 2, LATENT, 8, dropout=0.3), AttributeRegressor(LATENT - 2, 2)
    reader = AttributeReader(MEASURE.size, 2)
    run = Run({"vae": vae, "adversary": adversary, "reader": reader}, 7e-3, measures, tmp_path, **odd)
    score_maps = [NormalScores.of(column) for column in run.values.T]

    def scores_of_values(values: Tensor | np.ndarray) -> Tensor:
        return torch.from_numpy(scores_of(score_maps, np.asarray(values)))

    def encode(tokens: Tensor, values: Tensor) -> Posterior:
        return run.vae.encode(tokens, scores_of_values(values))

    def losses(tokens: Tensor, _: Tensor, posterior: Posterior, z: Tensor, logits: Tensor) -> Losses:
        reconstruction, kl = elbo_terms(logits, tokens, posterior)
        kl, scores, others = kl[:, 2:].sum(1).mean(), z[:, :2], z[:, 2:]
        pairs = [torch.stack([adversary(others)[:, k], scores[:, k]]) for k in range(2)]
        explained = sum(torch.corrcoef(pair)[0, 1].square() for pair in pairs) / 2
        dependence = distance_correlation(others, scores)
        own = reconstruction + 0.37 * kl + 0.43 * dependence
        parts = {"loss": own + 0.61 * explained, "loss_without_adversary": own, "reconstruction": reconstruction}
        return {**parts, "kl": kl, "explained": explained, "dependence": dependence}

    steps = []
    for place in PLACES:
        tokens, values = run.batch(*place)
        posterior = encode(tokens, values)
        z = sample(posterior, *place)
        for step in range(3):
            guess = (adversary(sample(posterior, "adversary", *place, step)[:, 2:]) - z[:, :2]).square().mean()
            run.plain["adversary"].step(guess, place)
        of_step = losses(tokens, values, posterior, z, run.decoded(z, tokens, place))

        half, rng = len(tokens) // 2, rng_at("control", SEED, *place)
        requested = torch.stack([z[:half, k][torch.randperm(half, generator=rng)] for k in range(2)], dim=1)
        logits, decoded = run.vae.decode_free(torch.cat([requested, z[:half, 2:]], dim=1))
        reached = scores_of_values(attributes(decoded.numpy(), measures.form)[:, COLUMNS])
        one_hot, probabilities = F.one_hot(decoded, logits.shape[2]).float(), logits.softmax(2)
        read = (reader(one_hot) - reached).square().mean()
        run.plain["reader"].step(read, place)
        control = (reader(one_hot + probabilities - probabilities.detach()) - requested).square().mean()
        of_step["loss"] = of_step["loss"] + 0.29 * control
        run.plain["vae"].step(of_step["loss"], place)
        missed = (reached - requested).square().mean()
        steps.append({**of_step, "guess": guess, "control": control, "missed": missed, "read": read})
    run.check(steps, losses, encode, lambda z, _: run.vae.decode_free(z))


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Of U-centred distances (Szekely and Rizzo 2014)."""
    n, centred = len(x), []
    for values in (x, y):
        distances = torch.cdist(values, values)
        rows = distances.sum(1) / (n - 2)
        total = distances.sum() / (n - 1) / (n - 2)
        centred.append((distances - rows[:, None] - rows[None] + total) * (1 - torch.eye(n)))
    return (centred[0] * centred[1]).sum() / (centred[0].norm() * centred[1].norm())
