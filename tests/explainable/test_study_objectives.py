"""Training of each model of the study against its objective in plain torch, with every weight and rate at an odd value.

Weights saved and losses logged by a run of two epochs must follow from the definitions here: batches, random numbers,
losses, gradients, learning rates, clipping, moving averages and validation. The networks have tests of their own
(tests/models/test_study.py); here they are used as they are.
"""

import copy
import json
import math
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
from explainable.stages import MODELS
from models.checkpoint import read_checkpoint
from training.loop import train

SEED, LATENT, BATCH, EPOCH_ROWS, EPOCHS = 4, 5, 8, 14, 2  # the second batch of an epoch has 6 rows
RATE, CLIP, EMA, WARM_UP, FORCED = 3e-3, 0.05, 0.3, 3, 0.58
NAMES = ("note_range", "note_density")
SHARED = {
    "seed": SEED, "latent": LATENT, "hidden": 8, "attributes": NAMES, "batch_size": BATCH, "epoch_rows": EPOCH_ROWS,
    "epochs": EPOCHS, "validation_rows": 5, "learning_rate": RATE, "clip_norm": CLIP, "ema": EMA, "warm_up": WARM_UP,
    "schedule": "cosine", "device": "cpu", "threads": 1,
}  # fmt: skip
STEPS = [(epoch, example) for epoch in range(EPOCHS) for example in range(0, EPOCH_ROWS, BATCH)]


class Plain:
    """A model with a plain optimizer; `average` is the moving average of its state."""

    def __init__(self, model: nn.Module, rate: float = RATE) -> None:
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
        state = copy.deepcopy(self.model.state_dict())
        if self.average is not None:
            state = {name: EMA * self.average[name] + (1 - EMA) * tensor for name, tensor in state.items()}
        self.average = state


class Run:
    """A training: plain copies of its initial models, its rows, and what it has saved and logged."""

    def __init__(self, network: str, measures: MeasureSet, folder: Path, rates: dict[str, float], **odd: Any) -> None:
        make_options, make_stage = MODELS[network]
        places = {"data": measures.folder, "checkpoints": folder / "checkpoints", "runs": folder / "runs"}
        options = make_options(**SHARED, **odd, **places)
        stage = make_stage(options)
        stage.open()
        stage.open_phase(stage.phases[0])
        stage.build_models(stage.phases[0])
        self.models = {name: Plain(model, rates.get(name, RATE)) for name, model in stage.models.items()}
        columns = [attribute_index(name) for name in NAMES]
        self.rows = {}
        for split in ("train", "val"):
            rows = measures.split(split)
            values = torch.from_numpy(rows.attributes[:, columns])
            self.rows[split] = torch.from_numpy(rows.tokens).long(), values
        train(make_stage(options))
        self.log = [json.loads(line) for line in (stage.folder / "epochs.jsonl").read_text().splitlines()]
        self.saved = {name: read_checkpoint(stage.checkpoints / f"{name}_last.pth")["weights"] for name in stage.models}

    def batch(self, epoch: int, example: int) -> tuple[Tensor, Tensor]:
        tokens, values = self.rows["train"]
        order = torch.randperm(len(tokens), generator=rng_at("rows", SEED, epoch))[:EPOCH_ROWS]
        torch.manual_seed(seed_at("step", SEED, "train", epoch, example))  # for dropout
        return tuple(field[order[example : example + BATCH]] for field in (tokens, values))

    def validation(self) -> tuple[Tensor, Tensor]:
        tokens, values = self.rows["val"]
        index = np.sort(np.random.default_rng(0).permutation(len(tokens))[:5])
        model = self.models["vae"].model.eval()
        model.load_state_dict(self.models["vae"].average)
        return tokens[index], values[index]

    def check(self, steps: list[dict[str, Tensor]], validation: dict[str, Tensor], decoded: Tensor) -> None:
        """All weights have moved as expected; the log has the means of the losses over rows, and the validation."""
        for name, plain in self.models.items():
            expected = plain.average if name == "vae" else plain.model.state_dict()
            assert expected.keys() == self.saved[name].keys()
            for key, tensor in expected.items():
                tolerance = 1e-3 * (tensor - plain.before[key]).norm() + 1e-8
                assert (self.saved[name][key] - tensor).norm() <= tolerance, f"{name} {key}"
        for epoch, record in enumerate(self.log):
            first, second = steps[2 * epoch : 2 * epoch + 2]
            assert record["train"] == {
                name: pytest.approx((8 * first[name].item() + 6 * second[name].item()) / 14, rel=1e-4, abs=1e-6)
                for name in first
            }
        validation["accuracy"] = (decoded == self.validation()[0]).float().mean()
        expected = {name: pytest.approx(value.item(), rel=1e-4, abs=1e-6) for name, value in validation.items()}
        assert self.log[-1]["val"] == {f"val_{name}": value for name, value in expected.items()}


def noise(n: int, *place: int | str) -> Tensor:
    return torch.randn(n, LATENT, generator=rng_at("noise", SEED, *place))


def sample(posterior: tuple[Tensor, Tensor], noise: Tensor) -> Tensor:
    return posterior[0] + (posterior[1] / 2).exp() * noise


def kl_of_dimensions(posterior: tuple[Tensor, Tensor]) -> Tensor:
    normal = torch.distributions.Normal(posterior[0], (posterior[1] / 2).exp())
    return torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))


def cross_entropy(logits: Tensor, tokens: Tensor) -> Tensor:
    return -logits.log_softmax(2).gather(2, tokens[:, :, None]).mean()


def is_forced(share: float, place: tuple[int, int]) -> bool:
    return float(torch.rand((), generator=rng_at("teacher", SEED, *place))) < share


def test_measure_vae(measures: MeasureSet, tmp_path: Path) -> None:
    odd = {
        "beta": 0.37, "gamma": 1.9, "delta": 0.8, "teacher_forcing": FORCED, "dropout": 0.3, "relu_logits": False,
    }  # fmt: skip
    run = Run("measure_vae", measures, tmp_path, {}, **odd)
    vae = run.models["vae"]

    def losses(values: Tensor, tokens: Tensor, posterior: Any, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        distances = [
            (torch.tanh(0.8 * (z[:, None, k] - z[None, :, k])) - (values[:, None, k] - values[None, :, k]).sign()).abs()
            for k in range(2)
        ]
        parts = {"reconstruction": cross_entropy(logits, tokens), "kl": kl_of_dimensions(posterior).sum(1).mean()}
        parts["attribute"] = distances[0].mean() + distances[1].mean()
        return {**parts, "loss": parts["reconstruction"] + 0.37 * parts["kl"] + 1.9 * parts["attribute"]}

    steps = []
    for place in STEPS:
        tokens, values = run.batch(*place)
        posterior = vae.model.encode(tokens)
        z = sample(posterior, noise(len(tokens), *place))
        logits = vae.model.decode(z, tokens) if is_forced(FORCED, place) else vae.model.decode_free(z)[0]
        steps.append(losses(values, tokens, posterior, z, logits))
        vae.step(steps[-1]["loss"], place)
    tokens, values = run.validation()
    posterior = vae.model.encode(tokens)
    z = sample(posterior, noise(5, "validation"))
    logits, decoded = vae.model.decode_free(z)
    run.check(steps, losses(values, tokens, posterior, z, logits), decoded)


@pytest.mark.parametrize("kl_over", ["mean", "sum"])
def test_adversarial_vae(kl_over: str, measures: MeasureSet, tmp_path: Path) -> None:
    odd = {"kl_weight": 0.23, "kl_over": kl_over, "adversary_weight": 0.61, "classes": 5, "sampling_k": 1.5}
    run = Run("adversarial_vae", measures, tmp_path, {}, **odd)
    vae, adversary = run.models["vae"], run.models["adversary"]
    training = run.rows["train"][1]

    def scaled(values: Tensor) -> Tensor:
        return (values - training.mean(0)) / training.std(0)

    def one_hot(values: Tensor) -> Tensor:
        """A class is the number of quantiles up to a value; no class is below the smallest value."""
        edges = [np.unique(np.quantile(column.double(), np.arange(1, 5) / 5)) for column in training.t()]
        columns = zip(values.t(), training.t(), edges, strict=True)
        classes = [(torch.tensor(of[of > own.min().item()]) <= column[:, None]).sum(1) for column, own, of in columns]
        return F.one_hot(torch.stack(classes, dim=1), 5).float()

    def classifier_loss(z: Tensor, targets: Tensor) -> Tensor:
        probabilities = adversary.model(z).sigmoid()
        return -(targets * probabilities.log() + (1 - targets) * (1 - probabilities).log()).mean()

    def losses(values: Tensor, tokens: Tensor, posterior: Any, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        kl = kl_of_dimensions(posterior)
        parts = {"reconstruction": cross_entropy(logits, tokens), "kl": kl.sum(1).mean()}
        parts["fooled"] = classifier_loss(z, 1 - one_hot(values))
        own = parts["reconstruction"] + 0.23 * (kl.mean() if kl_over == "mean" else kl.sum(1).mean())
        return {**parts, "loss_without_adversary": own, "loss": own + 0.61 * parts["fooled"]}

    steps = []
    for iteration, place in enumerate(STEPS):
        tokens, values = run.batch(*place)
        n, length = tokens.shape
        z = sample(vae.model.encode(tokens), noise(n, "adversary", *place))
        guess = classifier_loss(z, one_hot(values))
        adversary.step(guess, place)
        posterior = vae.model.encode(tokens)
        z = sample(posterior, noise(n, *place))
        share = 1.5 / (1.5 + math.exp(iteration / 1.5))
        is_true = torch.rand(length, generator=rng_at("teacher", SEED, *place)) < share
        logits, _ = vae.model.decode_free(z, scaled(values), length, tokens, is_true)
        steps.append({**losses(values, tokens, posterior, z, logits), "classifier": guess})
        vae.step(steps[-1]["loss"], place)
    tokens, values = run.validation()
    posterior = vae.model.encode(tokens)
    z = sample(posterior, noise(5, "validation"))
    logits, decoded = vae.model.decode_free(z, scaled(values), tokens.shape[1])
    run.check(steps, losses(values, tokens, posterior, z, logits), decoded)


def test_attribute_vae(measures: MeasureSet, tmp_path: Path) -> None:
    odd = {
        "beta": 0.37, "teacher_forcing": FORCED, "dropout": 0.3, "adversary_weight": 0.61, "adversary_steps": 3,
        "adversary_rate": 7e-3, "dependence_weight": 0.43, "control_weight": 0.29,
    }  # fmt: skip
    run = Run("attribute_vae", measures, tmp_path, {"adversary": 7e-3, "reader": 7e-3}, **odd)
    vae, adversary, reader = run.models["vae"], run.models["adversary"], run.models["reader"]
    score_maps = [NormalScores.of(column) for column in run.rows["train"][1].numpy().T]
    columns = [attribute_index(name) for name in NAMES]

    def scores_of_values(values: Tensor) -> Tensor:
        return torch.from_numpy(scores_of(score_maps, values.numpy()))

    def losses(tokens: Tensor, posterior: Any, z: Tensor, logits: Tensor) -> dict[str, Tensor]:
        scores, others = z[:, :2], z[:, 2:]
        parts = {"reconstruction": cross_entropy(logits, tokens)}
        parts["kl"] = kl_of_dimensions(posterior)[:, 2:].sum(1).mean()
        predicted = adversary.model(others)
        pairs = [torch.stack([predicted[:, k], scores[:, k]]) for k in range(2)]
        parts["explained"] = (torch.corrcoef(pairs[0])[0, 1] ** 2 + torch.corrcoef(pairs[1])[0, 1] ** 2) / 2
        parts["dependence"] = distance_correlation(others, scores)
        own = parts["reconstruction"] + 0.37 * parts["kl"] + 0.43 * parts["dependence"]
        return {**parts, "loss_without_adversary": own, "loss": own + 0.61 * parts["explained"]}

    steps = []
    for place in STEPS:
        tokens, values = run.batch(*place)
        n = len(tokens)
        posterior = vae.model.encode(tokens, scores_of_values(values))
        z = sample(posterior, noise(n, *place))
        for step in range(3):
            others = sample(posterior, noise(n, "adversary", *place, step))[:, 2:]
            guess = (adversary.model(others) - z[:, :2]).square().mean()
            adversary.step(guess, place)
        logits = vae.model.decode(z, tokens) if is_forced(FORCED, place) else vae.model.decode_free(z)[0]
        of_step = losses(tokens, posterior, z, logits)

        half, rng = n // 2, rng_at("control", SEED, *place)
        requested = torch.stack([z[:half, k][torch.randperm(half, generator=rng)] for k in range(2)], dim=1)
        logits, decoded = vae.model.decode_free(torch.cat([requested, z[:half, 2:]], dim=1))
        reached = scores_of_values(torch.from_numpy(attributes(decoded.numpy(), measures.form)[:, columns]))
        one_hot, probabilities = F.one_hot(decoded, logits.shape[2]).float(), logits.softmax(2)
        read = (reader.model(one_hot) - reached).square().mean()
        reader.step(read, place)
        predicted = reader.model(one_hot + probabilities - probabilities.detach())
        control = (predicted - requested).square().mean()
        missed = (reached - requested).square().mean()
        of_step["loss"] = of_step["loss"] + 0.29 * control
        vae.step(of_step["loss"], place)
        steps.append({**of_step, "guess": guess, "control": control, "read": read, "missed": missed})
    tokens, values = run.validation()
    posterior = vae.model.encode(tokens, scores_of_values(values))
    z = sample(posterior, noise(5, "validation"))
    logits, decoded = vae.model.decode_free(z)
    run.check(steps, losses(tokens, posterior, z, logits), decoded)


def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Of U-centred distances (Szekely and Rizzo 2014)."""
    n, centred = len(x), []
    for values in (x, y):
        distances = torch.cdist(values, values)
        rows = distances.sum(1) / (n - 2)
        total = distances.sum() / (n - 1) / (n - 2)
        centred.append((distances - rows[:, None] - rows[None] + total) * (1 - torch.eye(n)))
    return (centred[0] * centred[1]).sum() / (centred[0].norm() * centred[1].norm())
