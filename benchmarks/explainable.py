"""Training and free-running decoding of MeasureVAE and AdversarialVAE, compared with one library cell per token.

    python -m benchmarks.explainable --hidden 128 --batch 256
    python -m benchmarks.explainable --hidden 512 --bf16
    python -m benchmarks.explainable --hidden 1024 --batch 64          # AdversarialVAE's published width

The baseline is the published loop, differentiated by autograd: the encoder is the library's GRU, the decoder a GRUCell
per token and layer. Tokens are one-hot vectors (AdversarialVAE) or are looked up one by one (MeasureVAE). Both sides
have the same weights, and their logits are compared. `--bf16` applies to our side only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import machine, parse_arguments, print_table, seconds, speeds
from common.device import keep_freed_memory
from explainable.tokens import MEASURE
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE

LATENT, ATTRIBUTES = 32, 4


def cell_of(gru: nn.GRU) -> nn.GRUCell:
    """Return a cell with the same parameters."""
    cell = nn.GRUCell(gru.input_size, gru.hidden_size)
    for name, parameter in gru.named_parameters():
        setattr(cell, name.removesuffix("_l0"), parameter)
    return cell


def step(cells: list[nn.GRUCell], inputs: Tensor, states: list[Tensor]) -> None:
    """Replace the states of all layers by those of the next step."""
    for layer, cell in enumerate(cells):
        inputs = states[layer] = cell(inputs, states[layer])


@dataclass
class MeasureLoop:
    """MeasureVAE step by step, with the parameters of `model`."""

    model: MeasureVAE

    def encode(self, tokens: Tensor) -> Tensor:
        states, ends = self.model.token(tokens), []
        for gru in self.model.encoder:
            states, last = gru.gru(states)
            ends += list(last)
        return self.model.mean(torch.cat(ends, dim=1))

    def decode(self, z: Tensor, attributes: Tensor) -> Tensor:
        model = self.model
        beats, ticks = ([cell_of(gru.gru) for gru in grus] for grus in (model.beat_gru, model.tick_gru))
        states, before, logits = list(F.selu(model.beat_start(z)).chunk(2, dim=1)), model.first.expand(len(z), -1), []
        for _ in range(model.beats):
            step(beats, model.beat_input.expand(len(z), 1), states)
            ticked = list(F.selu(model.tick_start(states[1])).chunk(2, dim=1))
            for _ in range(model.ticks):
                step(ticks, torch.cat([before, F.selu(model.tick_input(states[1]))], dim=1), ticked)
                logits.append(F.relu(model.output(ticked[1])))
                before = model.played(logits[-1].argmax(1))
        return torch.stack(logits, dim=1)


@dataclass
class AdversarialLoop:
    """AdversarialVAE step by step, with the parameters of `model`."""

    model: AdversarialVAE

    def encode(self, tokens: Tensor) -> Tensor:
        hot = F.one_hot(tokens, self.model.encoder.frame_size).float()
        _, last = self.model.encoder.gru(hot)
        return self.model.mean(torch.cat(list(last), dim=1))

    def decode(self, z: Tensor, attributes: Tensor) -> Tensor:
        model = self.model
        lower, upper = cell_of(model.lower.gru), cell_of(model.upper.gru)
        token, logits = torch.full((len(z),), model.start), []
        low, high = torch.tanh(model.first_state(z)), None
        for _ in range(MEASURE.length):
            hot = F.one_hot(token, model.lower.frame_size).float()
            low = lower(torch.cat([hot, z, attributes], dim=1), low)
            high = upper(low, low if high is None else high)
            logits.append(model.output(high))
            token = logits[-1].argmax(1)
        return torch.stack(logits, dim=1)


def training_step(
    model: nn.Module, tokens: Tensor, encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor]
) -> Callable[[], object]:
    """Return a training step with a free-running decoder: forward, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step() -> None:
        loss = F.cross_entropy(decode(encode(tokens)).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    options = parse_arguments(
        __doc__,
        hidden=(128, "width of the recurrent layers"),
        batch=(256, "measures per batch"),
        bf16=(False, "ours under autocast to bfloat16"),
        threads=(torch.get_num_threads(), "CPU threads"),
    )
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as every training does; for both sides
    tokens = torch.randint(MEASURE.size, (options.batch, MEASURE.length))
    attributes = torch.randn(options.batch, ATTRIBUTES)
    measure_vae = MeasureVAE(MEASURE.size, LATENT, options.hidden, dropout=0.0)
    adversarial_vae = AdversarialVAE(MEASURE.size, ATTRIBUTES, MEASURE.hold, LATENT, options.hidden)
    players = {
        "MeasureVAE": (measure_vae, MeasureLoop(measure_vae), measure_vae.decode_free),
        "AdversarialVAE": (
            adversarial_vae, AdversarialLoop(adversarial_vae),
            lambda z: adversarial_vae.decode_free(z, attributes, MEASURE.length),
        ),
    }  # fmt: skip
    z, rows = torch.randn(options.batch, LATENT), []
    for name, (model, loop, play) in players.items():
        torch.testing.assert_close(play(z)[0], loop.decode(z, attributes), rtol=1e-3, atol=1e-4)
        steps = (
            training_step(model, tokens, loop.encode, lambda z, loop=loop: loop.decode(z, attributes)),
            training_step(model, tokens, lambda t, m=model: m.encode(t).mean, lambda z, play=play: play(z)[0]),
        )
        decodes = torch.no_grad()(lambda loop=loop: loop.decode(z, attributes)), torch.no_grad()(partial(play, z))
        for what, (baseline, ours) in {"training": steps, "free-running decode": decodes}.items():
            slow = seconds(baseline)
            with torch.autocast("cpu", torch.bfloat16, options.bf16, cache_enabled=False):
                rows.append(speeds(f"{name}, {what}", slow, seconds(ours), options.batch))
    kind = "bfloat16" if options.bf16 else "float32"
    title = f"Measures/s, width {options.hidden}, batches of {options.batch}, ours in {kind}; {machine()}"
    print_table(title, ["", "a cell a token", "ours", "ratio"], rows)


if __name__ == "__main__":
    main()
