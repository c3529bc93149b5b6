"""Training and free-running decoding of MeasureVAE and AdversarialVAE, against a cell of the library a token.

    python -m benchmarks.explainable --hidden 128 --batch 256
    python -m benchmarks.explainable --hidden 512 --bf16
    python -m benchmarks.explainable --hidden 1024 --batch 64          # AdversarialVAE's published width

The baseline is the straightforward loop as published: the encoder is the library's GRU, the decoder a GRUCell a token
and layer, tokens as vectors of 0 and 1 (AdversarialVAE) or looked up one by one (MeasureVAE), all of it differentiated.
Both sides have the same weights, and their logits are compared. `--bf16` computes our side, not the loop, as training
with that option does.
"""

import argparse
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import machine, print_table, seconds
from common.device import keep_freed_memory
from explainable.tokens import MEASURE
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE

LATENT, ATTRIBUTES = 32, 4


def cell_of(gru: nn.GRU) -> nn.GRUCell:
    """A cell with the same parameters."""
    cell = nn.GRUCell(gru.input_size, gru.hidden_size)
    for name, parameter in gru.named_parameters():
        setattr(cell, name.removesuffix("_l0"), parameter)
    return cell


class Loop(nn.Module):
    """A model's parameters, used step by step."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def step(self, cells: list[nn.GRUCell], inputs: Tensor, states: list[Tensor]) -> None:
        """Move `states` on, layer after layer."""
        for layer, cell in enumerate(cells):
            states[layer] = cell(inputs, states[layer])
            inputs = states[layer]


class MeasureLoop(Loop):
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
            self.step(beats, model.beat_input.expand(len(z), 1), states)
            own = list(F.selu(model.tick_start(states[1])).chunk(2, dim=1))
            for _ in range(model.ticks):
                self.step(ticks, torch.cat([before, F.selu(model.tick_input(states[1]))], dim=1), own)
                logits.append(F.relu(model.output(own[1])))
                before = model.played(logits[-1].argmax(1))
        return torch.stack(logits, dim=1)


class AdversarialLoop(Loop):
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
    """A step in which the decoder runs freely: forward, backward, Adam."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-4)

    def step() -> None:
        loss = F.cross_entropy(decode(encode(tokens)).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=128, help="width of the recurrent layers")
    parser.add_argument("--batch", type=int, default=256, help="measures at a time")
    parser.add_argument("--bf16", action="store_true", help="ours under autocast to bfloat16")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()  # as every training does; for both sides
    tokens = torch.randint(MEASURE.size, (arguments.batch, MEASURE.length))
    attributes = torch.randn(arguments.batch, ATTRIBUTES)
    measure_vae = MeasureVAE(MEASURE.size, LATENT, arguments.hidden, dropout=0.0)
    adversarial_vae = AdversarialVAE(MEASURE.size, ATTRIBUTES, MEASURE.hold, LATENT, arguments.hidden)
    rows = []
    for name, model, loop, play in (
        ("MeasureVAE", measure_vae, MeasureLoop(measure_vae), measure_vae.decode_free),
        ("AdversarialVAE", adversarial_vae, AdversarialLoop(adversarial_vae),
         lambda z: adversarial_vae.decode_free(z, attributes, MEASURE.length)),
    ):  # fmt: skip
        z = torch.randn(arguments.batch, LATENT)
        torch.testing.assert_close(play(z)[0], loop.decode(z, attributes), rtol=1e-3, atol=1e-4)
        ways = {
            "training": (
                training_step(model, tokens, loop.encode, lambda z, loop=loop: loop.decode(z, attributes)),
                training_step(model, tokens, lambda t, m=model: m.encode(t).mean, lambda z, play=play: play(z)[0]),
            ),
            "free-running decode": (
                torch.no_grad()(lambda z=z, loop=loop: loop.decode(z, attributes)),
                torch.no_grad()(lambda z=z, play=play: play(z)),
            ),
        }
        for what, (baseline, ours) in ways.items():
            slow = seconds(baseline)
            with torch.autocast("cpu", torch.bfloat16, arguments.bf16, cache_enabled=False):
                fast = seconds(ours)
            rates = [f"{arguments.batch / taken:,.0f}" for taken in (slow, fast)]
            rows.append([f"{name}, {what}", *rates, f"{slow / fast:.1f}"])
    kind = "bfloat16" if arguments.bf16 else "float32"
    title = f"Measures/s, width {arguments.hidden}, batches of {arguments.batch}, ours in {kind}; {machine()}"
    print_table(title, ["", "a cell a token", "ours", "ratio"], rows)


if __name__ == "__main__":
    main()
