"""AdversarialVAE: tokens to a latent without information on the attributes, which the decoder receives as input.

After Kawai, Esling and Harada (2020). A classifier predicts classes of the attributes from z; the encoder is trained
against it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Model, StudyVAE
from ..compiling import compilable
from ..gru import FrameGRU, Steps
from ..names import ADVERSARIAL_VAE
from ..prior import Posterior
from .token_gru import StepWeights, TokenGRU


class AdversarialVAE(StudyVAE):
    """Encoder, sampling and decoder of rows of tokens, int64 (B, T), of `n_tokens` tokens.

    In every step the decoder receives the previous token, z and `n_attributes` numbers. `start` is the token before the
    first step: the hold token.
    """

    network = ADVERSARIAL_VAE
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
        self, z: Tensor, attributes: Tensor, tokens: Tensor, played: tuple[Steps | None, Steps | None] = (None, None)
    ) -> Tensor:
        """Logits (B, T, n_tokens), teacher-forced: each step receives the previous one of `tokens`, int64 (B, T).

        `attributes` float32 (B, n_attributes), standardised. `played`: steps of both layers if already computed.
        """
        before = F.pad(tokens[:, :-1], (1, 0), value=self.start)
        condition, start = torch.cat([z, attributes], dim=1), torch.tanh(self.first_state(z))
        states = self.lower(before, condition, start, played[0])
        # The initial state of the upper layer is the lower layer's after the first step.
        return self.output(self.upper(states, hidden=states[:, 0], played=played[1]))

    def decode_free(
        self, z: Tensor, attributes: Tensor, n_steps: int, truth: Tensor | None = None, is_true: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, T, n_tokens), and tokens int64 (B, T): each step receives the most likely previous token.

        For scheduled sampling (Bengio et al. 2015) tokens of `truth` int64 (B, T) replace it where `is_true` bool (T,).
        The tokens are chosen without gradients, and the steps are kept. If gradients are enabled, those of all steps
        are computed at once.
        """
        logits, tokens, played = self._play(z, attributes, n_steps, truth, is_true)
        return (self.decode(z, attributes, tokens, played) if torch.is_grad_enabled() else logits), tokens

    @torch.no_grad()
    def _play(
        self, z: Tensor, attributes: Tensor, n_steps: int, truth: Tensor | None, is_true: Tensor | None
    ) -> tuple[Tensor, Tensor, tuple[Steps, Steps]]:
        lower, upper = StepWeights.of(self.lower), StepWeights.of(self.upper)
        output, bias = self.output.weight.to(upper.inputs.dtype), self.output.bias[:, None]
        of_token, constant = lower.inputs.float(), lower.of_constant(torch.cat([z, attributes], dim=1))
        token = torch.full((len(z),), self.start, device=z.device)
        low, high = Steps.from_start(n_steps, torch.tanh(self.first_state(z)).t()[None].float()), None
        logits, tokens = [], []
        for step in range(n_steps):
            below = lower.advance(low, step, of_token.index_select(1, token) + constant)
            if high is None:
                high = Steps.from_start(n_steps, below[None])
            above = upper.advance(high, step, upper.of_inputs(below) + upper.bias)
            logits.append(output @ above.to(output.dtype) + bias)
            token = logits[-1].max(0).indices
            if truth is not None and is_true is not None and is_true[step]:
                token = truth[:, step]
            tokens.append(token)
        return torch.stack(logits).permute(2, 0, 1), torch.stack(tokens, dim=1), (low, high)


class AttributeClassifier(Model):
    """Predicts the class of each attribute from z: the adversary of an `AdversarialVAE`."""

    kind, network = "explainable_adversary", "attribute_classifier"

    def __init__(self, latent: int, n_attributes: int, n_classes: int = 8) -> None:
        super().__init__()
        self.n_classes = n_classes
        hidden = max(latent // 2, 1)
        self.layers = nn.Sequential(
            nn.Linear(latent, hidden), nn.LeakyReLU(), nn.Linear(hidden, n_attributes * n_classes)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Logits (B, n_attributes, n_classes), one Bernoulli each, of z (B, latent)."""
        return self.layers(z).unflatten(1, (-1, self.n_classes))

    def loss(self, z: Tensor, classes: Tensor) -> Tensor:
        """The classifier's loss: binary cross-entropy with one-hot `classes` int64 (B, n_attributes), a scalar."""
        return self._cross_entropy(z, F.one_hot(classes, self.n_classes))

    def fooled_loss(self, z: Tensor, classes: Tensor) -> Tensor:
        """The encoder's adversarial loss: the same with inverted targets."""
        return self._cross_entropy(z, 1 - F.one_hot(classes, self.n_classes))

    @compilable
    def _cross_entropy(self, z: Tensor, targets: Tensor) -> Tensor:
        logits = self(z)
        return F.binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))


def probability_of_truth(iteration: int, k: float = 1000.0) -> float:
    """Probability of true tokens in scheduled sampling: k / (k + exp(iteration / k)), .99 at 2,000, .04 at 10,000."""
    exponent = min(iteration / k, 700.0)  # avoids overflow
    return k / (k + torch.tensor(exponent, dtype=torch.float64).exp().item())
