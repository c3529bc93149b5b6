"""MeasureVAE: a measure of tokens to a latent and back, beat by beat (Pati, Lerch and Hadjeres 2019).

Also the regularisation loss that ties a dimension of z to an attribute (Pati and Lerch 2020).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import StudyVAE
from ..compiling import compilable
from ..dropout import Masks, RowDropout, dropped
from ..gru import FrameGRU, Steps
from ..names import MEASURE_VAE
from ..prior import Posterior
from .token_gru import StepWeights

_LAYERS = 2


class MeasureVAE(StudyVAE):
    """Encoder, sampling and decoder of measures, int64 (B, beats * ticks), of `n_tokens` tokens.

    The decoder maps z to beats and each beat to its ticks, which receive the previous token. `relu_logits` applies a
    ReLU to the logits, as published. `inferred`: the number of latents that the encoder outputs, all if None.
    """

    network = MEASURE_VAE

    def __init__(
        self, n_tokens: int, latent: int = 32, hidden: int = 512, embedding: int = 10, beats: int = 4, ticks: int = 6,
        dropout: float = 0.5, relu_logits: bool = True, inferred: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.latent, self.hidden, self.beats, self.ticks = latent, hidden, beats, ticks
        self.dropout, self.relu_logits = RowDropout(dropout), relu_logits
        self.token = nn.Embedding(n_tokens, embedding)
        self.encoder = nn.ModuleList(
            FrameGRU(size, 0, hidden, bidirectional=True, half_products=True) for size in (embedding, 2 * hidden)
        )
        summary = 2 * _LAYERS * hidden
        self.mean, self.log_deviation = (_two_layers(summary, 2 * hidden, inferred or latent) for _ in range(2))
        self.beat_start = nn.Linear(latent, _LAYERS * hidden)
        self.beat_input = nn.Parameter(torch.zeros(1))
        self.beat_gru = nn.ModuleList(FrameGRU(size, 0, hidden, half_products=True) for size in (1, hidden))
        self.tick_start = nn.Linear(hidden, _LAYERS * hidden)
        self.tick_input = nn.Linear(hidden, hidden)
        self.played = nn.Embedding(n_tokens, embedding)
        self.first = nn.Parameter(torch.zeros(embedding))  # before the first tick
        self.tick_gru = nn.ModuleList(
            FrameGRU(*sizes, hidden, half_products=True) for sizes in ((embedding, hidden), (hidden, 0))
        )
        self.output = nn.Linear(hidden, n_tokens)
        for name, parameter in self.named_parameters():
            if "weight" in name:
                nn.init.xavier_normal_(parameter)

    def encode(self, tokens: Tensor) -> Posterior:
        """q(z | measure) of `tokens` int64 (B, T): mean and log-variance, float32 (B, latent) each."""
        states, ends, masks = self.token(tokens), [], self.dropout.masks(len(tokens), tokens.device)
        for layer, gru in enumerate(self.encoder):
            states, last = gru.run(dropped(states, masks, layer) if layer else states)
            ends += last.unbind()
        summary = torch.cat(ends, dim=1)
        return Posterior(self.mean(summary).float(), 2 * self.log_deviation(summary).float())

    def decode(self, z: Tensor, tokens: Tensor) -> Tensor:
        """Logits (B, T, n_tokens), teacher-forced: each tick receives the previous one of `tokens`, int64 (B, T)."""
        masks = self.dropout.masks(len(z), z.device)
        return self._logits(*self._beat_states(z, masks), tokens, self._factors(masks))

    def decode_free(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, n_tokens), and tokens int64 (B, T): each tick receives the most likely previous token.

        The tokens are chosen tick by tick without gradients, and the steps are kept. If gradients are enabled, those of
        all ticks are computed at once. No gradient passes through the choice of a token.
        """
        masks = self.dropout.masks(len(z), z.device)
        start, context = self._beat_states(z, masks)
        factors = self._factors(masks)
        logits, tokens, played = self._play(start, context, factors)
        if not torch.is_grad_enabled():
            return logits, tokens
        lower, upper = (Steps.side_by_side(of_beats) for of_beats in zip(*played, strict=True))
        return self._logits(start, context, tokens, factors, (lower, upper)), tokens

    def _beat_states(self, z: Tensor, masks: Masks | None) -> tuple[Tensor, Tensor]:
        """For each beat the initial states of its ticks, (beats * B, layers * hidden), and their context, (.., hidden).

        Here and below the rows are ordered by beat: one beat is a slice.
        """
        starts = F.selu(self.beat_start(z)).chunk(_LAYERS, dim=1)
        states = self.beat_input.expand(len(z), self.beats, 1)
        for layer, (gru, start) in enumerate(zip(self.beat_gru, starts, strict=True)):
            states = gru(dropped(states, masks, layer) if layer else states, hidden=start)
        states = states.transpose(0, 1).flatten(0, 1)
        return F.selu(self.tick_start(states)), F.selu(self.tick_input(states))

    def _logits(
        self, start: Tensor, context: Tensor, tokens: Tensor, factors: Tensor | None,
        played: tuple[Steps | None, Steps | None] = (None, None),
    ) -> Tensor:  # fmt: skip
        """Logits of all beats at once, given all tokens; `played`: steps that are already computed."""
        batch = len(tokens)
        before = torch.cat([self.first.expand(batch, 1, -1), self.played(tokens[:, :-1])], dim=1)
        states = before.unflatten(1, (self.beats, self.ticks)).transpose(0, 1).flatten(0, 1)
        starts = start.chunk(_LAYERS, dim=1)
        lower, upper = self.tick_gru
        states = lower(states, context, starts[0], played[0])
        if factors is not None:
            states = states * factors.permute(2, 0, 1)
        logits = self._rectified(self.output(upper(states, hidden=starts[1], played=played[1])))
        return logits.unflatten(0, (self.beats, batch)).transpose(0, 1).flatten(1, 2)

    @torch.no_grad()
    def _play(
        self, start: Tensor, context: Tensor, factors: Tensor | None
    ) -> tuple[Tensor, Tensor, list[tuple[Steps, Steps]]]:
        """Logits, tokens int64 (B, T), and for each beat the steps of both layers."""
        lower, upper = (StepWeights.of(gru) for gru in self.tick_gru)
        output, bias = self.output.weight.to(upper.inputs.dtype), self.output.bias[:, None]
        of_token, previous = lower.of_inputs(self.played.weight.t()), lower.of_inputs(self.first[:, None])
        logits, chosen, played = [], [], []
        for beat, (first, constant) in enumerate(zip(start.chunk(self.beats), context.chunk(self.beats), strict=True)):
            low, high = (Steps.from_start(self.ticks, part.t()[None].float()) for part in first.chunk(_LAYERS, dim=1))
            constant = lower.of_constant(constant)
            for tick in range(self.ticks):
                below = lower.advance(low, tick, previous + constant)
                if factors is not None:
                    below = below * factors[tick, :, beat * len(first) : (beat + 1) * len(first)]
                above = upper.advance(high, tick, upper.of_inputs(below) + upper.bias)
                logits.append(self._rectified(output @ above.to(output.dtype) + bias))
                chosen.append(logits[-1].max(0).indices)
                previous = of_token.index_select(1, chosen[-1])
            played.append((low, high))
        return torch.stack(logits).permute(2, 0, 1), torch.stack(chosen, dim=1), played

    def _factors(self, masks: Masks | None) -> Tensor | None:
        """Dropout factors of the lower layer of ticks, (ticks, hidden, beats * B); None without dropout."""
        if masks is None:
            return None
        factors = masks.factors(_LAYERS, self.beats * self.ticks, self.hidden, self.beat_input.dtype)
        return factors.unflatten(1, (self.beats, self.ticks)).permute(2, 3, 1, 0).flatten(2)

    def _rectified(self, logits: Tensor) -> Tensor:
        return F.relu(logits) if self.relu_logits else logits


def _two_layers(size: int, middle: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, middle), nn.SELU(), nn.Linear(middle, out))


@compilable
def attribute_loss(z: Tensor, attribute: Tensor, delta: float = 10.0) -> Tensor:
    """Distance of the order of a dimension of z from that of an attribute, both (B,): a scalar, 0 to 2.

    The mean over all ordered pairs of |tanh(delta (z_i - z_j)) - sgn(a_i - a_j)| (Pati and Lerch 2020).
    """
    distance = torch.tanh(delta * (z[:, None] - z[None]))
    return (distance - torch.sign(attribute[:, None] - attribute[None])).abs().mean()
