"""AdversarialVAE: tokens to a latent that is to know nothing of attributes, which the decoder is told instead.

After Kawai, Esling and Harada (2020). A classifier guesses the attributes' classes from z; the model is trained so that
it guesses wrong.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Model, StudyVAE
from ..gru import FrameGRU, Steps
from ..prior import Posterior
from ..registry import register
from .token_gru import StepWeights, TokenGRU


@register
class AdversarialVAE(StudyVAE):
    """Encoder, sampling and decoder of rows of tokens, int64 (B, T), of `n_tokens` tokens.

    The decoder hears the token before, z and `n_attributes` numbers in every step. `start` is the token before the
    first: the one that goes on with what was (`continue`, `hold`).
    """

    network = "adversarial_vae"
    controls_in_latent = False

    def __init__(self, n_tokens: int, n_attributes: int, start: int, latent: int = 128, hidden: int = 1024) -> None:
        super().__init__()
        self.latent, self.start = latent, start
        self.encoder = TokenGRU(n_tokens, 0, hidden, bidirectional=True, half_products=True)
        self.mean, self.log_deviation = nn.Linear(2 * hidden, latent), nn.Linear(2 * hidden, latent)
        self.first_state = nn.Linear(latent, hidden)
        self.lower = TokenGRU(n_tokens, latent + n_attributes, hidden, half_products=True)
        self.upper = FrameGRU(hidden, 0, hidden, half_products=True)
        self.output = nn.Linear(hidden, n_tokens)

    def encode(self, tokens: Tensor) -> Posterior:
        """q(z | tokens) of int64 (B, T): mean and log-variance, float32 (B, latent) each."""
        _, last = self.encoder.run(tokens)
        summary = torch.cat(last.unbind(), dim=1)
        return Posterior(self.mean(summary).float(), 2 * self.log_deviation(summary).float())

    def decode(
        self,
        z: Tensor,
        attributes: Tensor,
        heard: Tensor,
        played: tuple[Steps | None, Steps | None] = (None, None),
    ) -> Tensor:
        """Logits (B, T, n_tokens) of every step, each after the one before in `heard`, int64 (B, T).

        `attributes` float32 (B, n_attributes), standardised. `played`: the steps of both layers, where they are known.
        """
        before = F.pad(heard[:, :-1], (1, 0), value=self.start)
        told, start = torch.cat([z, attributes], dim=1), torch.tanh(self.first_state(z))
        states = self.lower(before, told, start, played[0])
        # The upper layer begins with the state of the lower after the first step.
        return self.output(self.upper(states, hidden=states[:, 0], played=played[1]))

    def decode_free(
        self, z: Tensor, attributes: Tensor, n_steps: int, told: Tensor | None = None, is_told: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, T, n_tokens), and the tokens heard, int64 (B, T): the likeliest ones, step by step.

        For scheduled sampling (Bengio et al. 2015) `told` int64 (B, T) are heard instead where `is_told` bool (T,).
        The tokens are found without gradients, and the steps that led to them kept: the gradients of all steps are
        computed at once.
        """
        logits, heard, played = self._play(z, attributes, n_steps, told, is_told)
        return (self.decode(z, attributes, heard, played) if torch.is_grad_enabled() else logits), heard

    @torch.no_grad()
    def _play(
        self, z: Tensor, attributes: Tensor, n_steps: int, told: Tensor | None, is_told: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Steps, Steps]]:
        lower, upper = StepWeights.of(self.lower), StepWeights.of(self.upper)
        output, bias = self.output.weight.to(upper.inputs.dtype), self.output.bias[:, None]
        of_token, constant = lower.inputs.float(), lower.of_constant(torch.cat([z, attributes], dim=1))
        token = torch.full((len(z),), self.start, device=z.device)
        low, high = Steps.from_start(n_steps, torch.tanh(self.first_state(z)).t()[None].float()), None
        logits, heard = [], []
        for step in range(n_steps):
            below = lower.advance(low, step, of_token.index_select(1, token) + constant)
            if high is None:
                high = Steps.from_start(n_steps, below[None])
            above = upper.advance(high, step, upper.of_inputs(below) + upper.bias)
            logits.append(output @ above.to(output.dtype) + bias)
            token = logits[-1].max(0).indices
            if told is not None and is_told is not None and is_told[step]:
                token = told[:, step]
            heard.append(token)
        return torch.stack(logits).permute(2, 0, 1), torch.stack(heard, dim=1), (low, high)


@register
class AttributeClassifier(Model):
    """Guesses, from z, the class of each attribute: the adversary of an `AdversarialVAE`."""

    kind, network = "explainable_adversary", "attribute_classifier"

    def __init__(self, latent: int, n_attributes: int, n_classes: int = 8) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.layers = nn.Sequential(
            nn.Linear(latent, max(latent // 2, 1)),
            nn.LeakyReLU(),
            nn.Linear(max(latent // 2, 1), n_attributes * n_classes),
        )

    def forward(self, z: Tensor) -> Tensor:
        """Logits (B, n_attributes, n_classes), one Bernoulli each, of z (B, latent)."""
        return self.layers(z).unflatten(1, (-1, self.n_classes))

    def loss(self, z: Tensor, classes: Tensor) -> Tensor:
        """Binary cross-entropy with the classes int64 (B, n_attributes), a scalar."""
        logits = self(z)
        return F.binary_cross_entropy_with_logits(logits, self._hot(classes, logits))

    def fooled_loss(self, z: Tensor, classes: Tensor) -> Tensor:
        """The same with every answer turned round: what the encoder is trained for."""
        logits = self(z)
        return F.binary_cross_entropy_with_logits(logits, 1 - self._hot(classes, logits))

    def _hot(self, classes: Tensor, logits: Tensor) -> Tensor:
        return F.one_hot(classes, self.n_classes).to(logits.dtype)


def probability_of_truth(iteration: int, k: float = 1000.0) -> float:
    """How likely scheduled sampling tells the true token: k / (k + exp(iteration / k)), .99 at 2,000, .04 at 10,000."""
    exponent = min(iteration / k, 700.0)  # above, exp overflows
    return k / (k + torch.tensor(exponent, dtype=torch.float64).exp().item())
