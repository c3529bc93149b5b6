"""MeasureVAE: a measure of tokens to a latent and back, beat by beat (Pati, Lerch and Hadjeres 2019).

Beside the networks: the loss by which a dimension of z follows an attribute (Pati and Lerch 2020).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import StudyVAE
from ..gru import FrameGRU, Steps
from ..prior import Posterior
from ..registry import register
from .token_gru import StepWeights

_LAYERS = 2


@register
class MeasureVAE(StudyVAE):
    """Encoder, sampling and decoder of measures, int64 (B, beats * ticks), of `n_tokens` tokens.

    The decoder goes from z to beats, and from a beat to its ticks, each of which hears the token before. Logits pass a
    ReLU, as published: `relu_logits` False mends that. `inferred`: how many of the `latent` numbers of z the encoder
    tells, all if None.
    """

    network = "measure_vae"

    def __init__(
        self,
        n_tokens: int,
        latent: int = 32,
        hidden: int = 512,
        embedding: int = 10,
        beats: int = 4,
        ticks: int = 6,
        dropout: float = 0.5,
        relu_logits: bool = True,
        inferred: int | None = None,
    ) -> None:
        super().__init__()
        self.latent, self.hidden, self.beats, self.ticks = latent, hidden, beats, ticks
        self.dropout, self.relu_logits = dropout, relu_logits
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
        states, ends = self.token(tokens), []
        for layer, gru in enumerate(self.encoder):
            states, last = gru.run(self._dropped(states) if layer else states)
            ends += last.unbind()
        summary = torch.cat(ends, dim=1)
        return Posterior(self.mean(summary).float(), 2 * self.log_deviation(summary).float())

    def decode(self, z: Tensor, heard: Tensor) -> Tensor:
        """Logits (B, T, n_tokens) of every tick, each after the one before in `heard`, int64 (B, T)."""
        return self._logits(*self._beat_states(z), heard, self._masks(z))

    def decode_free(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, n_tokens), and the tokens int64 (B, T): each tick hears the likeliest token before.

        Where gradients are wanted, the tokens are found tick by tick without; the steps that led to them are kept, so
        that all that is left are the gradients of all ticks at once. None passes through the choice of a token.
        """
        start, told = self._beat_states(z)
        masks = self._masks(z)
        logits, heard, played = self._play(start, told, masks)
        if not torch.is_grad_enabled():
            return logits, heard
        lower, upper = (Steps.side_by_side(of_beats) for of_beats in zip(*played, strict=True))
        return self._logits(start, told, heard, masks, (lower, upper)), heard

    def _beat_states(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """For each beat where its ticks start, (beats * B, layers * hidden), and what they are told, (.., hidden).

        Here and below the rows of a beat stand together, so that what one beat plays is a slice.
        """
        starts = F.selu(self.beat_start(z)).chunk(_LAYERS, dim=1)
        states = self.beat_input.expand(len(z), self.beats, 1)
        for layer, (gru, start) in enumerate(zip(self.beat_gru, starts, strict=True)):
            states = gru(self._dropped(states) if layer else states, hidden=start)
        states = states.transpose(0, 1).flatten(0, 1)
        return F.selu(self.tick_start(states)), F.selu(self.tick_input(states))

    def _logits(
        self,
        start: Tensor,
        told: Tensor,
        heard: Tensor,
        masks: Tensor | None,
        played: tuple[Steps | None, Steps | None] = (None, None),
    ) -> Tensor:
        """Of all beats at once: they share nothing but the tokens heard."""
        batch = len(heard)
        before = torch.cat([self.first.expand(batch, 1, -1), self.played(heard[:, :-1])], dim=1)
        states = before.unflatten(1, (self.beats, self.ticks)).transpose(0, 1).flatten(0, 1)
        starts = start.chunk(_LAYERS, dim=1)
        lower, upper = self.tick_gru
        states = lower(states, told, starts[0], played[0])
        if masks is not None:
            states = states * masks.permute(2, 0, 1)
        logits = self._rectified(self.output(upper(states, hidden=starts[1], played=played[1])))
        return logits.unflatten(0, (self.beats, batch)).transpose(0, 1).flatten(1, 2)

    @torch.no_grad()
    def _play(
        self, start: Tensor, told: Tensor, masks: Tensor | None
    ) -> tuple[Tensor, Tensor, list[tuple[Steps, Steps]]]:
        """Logits, the tokens int64 (B, T), and for each beat the steps of both layers that lead to them."""
        lower, upper = (StepWeights.of(gru) for gru in self.tick_gru)
        output, bias = self.output.weight.to(upper.inputs.dtype), self.output.bias[:, None]
        of_token, heard = lower.of_inputs(self.played.weight.t()), lower.of_inputs(self.first[:, None])
        logits, chosen, played = [], [], []
        for beat, (first, constant) in enumerate(zip(start.chunk(self.beats), told.chunk(self.beats), strict=True)):
            low, high = (Steps.from_start(self.ticks, part.t()[None].float()) for part in first.chunk(_LAYERS, dim=1))
            constant = lower.of_constant(constant)
            for tick in range(self.ticks):
                below = lower.advance(low, tick, heard + constant)
                if masks is not None:
                    below = below * masks[tick, :, beat * len(first) : (beat + 1) * len(first)]
                above = upper.advance(high, tick, upper.of_inputs(below) + upper.bias)
                logits.append(self._rectified(output @ above.to(output.dtype) + bias))
                chosen.append(logits[-1].max(0).indices)
                heard = of_token.index_select(1, chosen[-1])
            played.append((low, high))
        return torch.stack(logits).permute(2, 0, 1), torch.stack(chosen, dim=1), played

    def _masks(self, z: Tensor) -> Tensor | None:
        """What dropout leaves of the lower layer of ticks, (ticks, hidden, beats * B); None where it leaves all."""
        if not (self.training and self.dropout):
            return None
        return F.dropout(z.new_ones(self.ticks, self.hidden, self.beats * len(z)), self.dropout)

    def _dropped(self, states: Tensor) -> Tensor:
        return F.dropout(states, self.dropout, self.training)

    def _rectified(self, logits: Tensor) -> Tensor:
        return F.relu(logits) if self.relu_logits else logits


def _two_layers(size: int, middle: int, out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, middle), nn.SELU(), nn.Linear(middle, out))


def attribute_loss(z: Tensor, attribute: Tensor, delta: float = 10.0) -> Tensor:
    """How far a dimension of z is from the order of an attribute, both (B,): a scalar, 0 to 2.

    mean over all ordered pairs of |tanh(delta (z_i - z_j)) - sgn(a_i - a_j)| (Pati and Lerch 2020).
    """
    distance = torch.tanh(delta * (z[:, None] - z[None]))
    return (distance - torch.sign(attribute[:, None] - attribute[None])).abs().mean()
