"""MeasureVAE: a measure of tokens to a latent and back, beat by beat (Pati, Lerch and Hadjeres 2019).

Beside the networks: the loss by which a dimension of z follows an attribute (Pati and Lerch 2020).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .gru import FrameGRU
from .prior import Posterior
from .token_gru import GRUStep

_LAYERS = 2


class MeasureVAE(nn.Module):
    """Encoder, sampling and decoder of measures, int64 (B, beats * ticks), of `n_tokens` tokens.

    The decoder goes from z to beats, and from a beat to its ticks, each of which hears the token before. Logits pass a
    ReLU, as published: `relu_logits` False mends that.
    """

    kind, network = "explainable", "measure_vae"

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
    ) -> None:
        super().__init__()
        self.config = {
            "n_tokens": n_tokens, "latent": latent, "hidden": hidden, "embedding": embedding, "beats": beats,
            "ticks": ticks, "dropout": dropout, "relu_logits": relu_logits,
        }  # fmt: skip
        self.latent, self.hidden, self.beats, self.ticks = latent, hidden, beats, ticks
        self.dropout, self.relu_logits = dropout, relu_logits
        self.token = nn.Embedding(n_tokens, embedding)
        self.encoder = nn.ModuleList(FrameGRU(size, 0, hidden, bidirectional=True) for size in (embedding, 2 * hidden))
        summary = 2 * _LAYERS * hidden
        self.mean, self.log_deviation = (_two_layers(summary, 2 * hidden, latent) for _ in range(2))
        self.beat_start = nn.Linear(latent, _LAYERS * hidden)
        self.beat_input = nn.Parameter(torch.zeros(1))
        self.beat_gru = nn.ModuleList(FrameGRU(size, 0, hidden) for size in (1, hidden))
        self.tick_start = nn.Linear(hidden, _LAYERS * hidden)
        self.tick_input = nn.Linear(hidden, hidden)
        self.played = nn.Embedding(n_tokens, embedding)
        self.first = nn.Parameter(torch.zeros(embedding))  # before the first tick
        self.tick_gru = nn.ModuleList([FrameGRU(embedding, hidden, hidden), FrameGRU(hidden, 0, hidden)])
        self.output = nn.Linear(hidden, n_tokens)
        for name, parameter in self.named_parameters():
            if "weight" in name:
                nn.init.xavier_normal_(parameter)

    def encode(self, tokens: Tensor) -> Posterior:
        """q(z | measure) of `tokens` int64 (B, T): mean and log-variance, float32 (B, latent) each."""
        states, ends = self.token(tokens), []
        for layer, gru in enumerate(self.encoder):
            states = gru(self._dropped(states) if layer else states)
            forward, backward = states.chunk(2, dim=2)
            ends += [forward[:, -1], backward[:, 0]]
        summary = torch.cat(ends, dim=1)
        return Posterior(self.mean(summary), 2 * self.log_deviation(summary))

    def decode(self, z: Tensor, heard: Tensor) -> Tensor:
        """Logits (B, T, n_tokens) of every tick, each after the one before in `heard`, int64 (B, T)."""
        masks = self._masks(z)
        return self._logits(*self._beat_states(z), heard, masks)

    def decode_free(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (B, T, n_tokens), and the tokens int64 (B, T): each tick hears the likeliest token before.

        Where gradients are wanted, the tokens are found tick by tick without, then all ticks are computed at once from
        them: the same values, and the same gradients, since none passes through the choice of a token.
        """
        start, told = self._beat_states(z)
        masks = self._masks(z)
        logits, heard = self._play(start, told, masks)
        return (self._logits(start, told, heard, masks) if torch.is_grad_enabled() else logits), heard

    def _beat_states(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """For each beat where its ticks start, (B, beats, layers * hidden), and what they are told, (.., hidden)."""
        starts = F.selu(self.beat_start(z)).chunk(_LAYERS, dim=1)
        states = self.beat_input.expand(len(z), self.beats, 1)
        for layer, (gru, start) in enumerate(zip(self.beat_gru, starts, strict=True)):
            states = gru(self._dropped(states) if layer else states, hidden=start)
        return F.selu(self.tick_start(states)), F.selu(self.tick_input(states))

    def _logits(self, start: Tensor, told: Tensor, heard: Tensor, masks: Tensor | None) -> Tensor:
        """Of all beats at once: they share nothing but the tokens heard."""
        batch = len(heard)
        before = torch.cat([self.first.expand(batch, 1, -1), self.played(heard[:, :-1])], dim=1)
        states = before.reshape(batch * self.beats, self.ticks, -1)
        starts, told = start.flatten(0, 1).chunk(_LAYERS, dim=1), told.flatten(0, 1)
        lower, upper = self.tick_gru
        states = lower(states, told, starts[0])
        if masks is not None:
            states = states * masks.flatten(0, 1)
        return self._rectified(self.output(upper(states, hidden=starts[1]))).reshape(batch, self.beats * self.ticks, -1)

    @torch.no_grad()
    def _play(self, start: Tensor, told: Tensor, masks: Tensor | None) -> tuple[Tensor, Tensor]:
        lower, upper = (GRUStep.of(gru) for gru in self.tick_gru)
        of_token, first = lower.of_inputs(self.played.weight), lower.of_inputs(self.first[None])
        heard, logits, chosen = first.expand(len(start), -1), [], []
        for beat in range(self.beats):
            low, high = start[:, beat].chunk(_LAYERS, dim=1)
            constant = lower.of_constant(told[:, beat])
            for tick in range(self.ticks):
                low = lower(heard + constant, low)
                below = low if masks is None else low * masks[:, beat, tick]
                high = upper(upper.of_inputs(below) + upper.bias, high)
                logits.append(self._rectified(self.output(high)))
                chosen.append(logits[-1].argmax(1))
                heard = of_token[chosen[-1]]
        return torch.stack(logits, dim=1), torch.stack(chosen, dim=1)

    def _masks(self, z: Tensor) -> Tensor | None:
        """What dropout leaves of the lower layer of ticks, (B, beats, ticks, hidden); None where it leaves all."""
        if not (self.training and self.dropout):
            return None
        return F.dropout(z.new_ones(len(z), self.beats, self.ticks, self.hidden), self.dropout)

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
