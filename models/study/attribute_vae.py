"""AttributeVAE: the networks of MeasureVAE; the first latents are the attributes, absent from the other latents.

It combines the two models of the study. As in MeasureVAE the attributes are dimensions of z. As in AdversarialVAE they
are inputs of the decoder, and an adversary removes them from the rest of z. The attributes are given as normal scores:
apart from ties they follow the prior, so they need no KL term (arXiv 2511.07118 regularises them towards it instead).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import Model
from ..compiling import compilable
from ..names import ATTRIBUTE_VAE
from ..prior import Posterior
from .measure_vae import MeasureVAE

_CERTAIN = -80.0  # log-variance of the given latents


class AttributeVAE(MeasureVAE):
    """Encoder, sampling and decoder of measures, int64 (B, beats * ticks), of `n_tokens` tokens.

    The first `n_attributes` of the `latent` numbers of z are the attributes' normal scores. Raises `ValueError` if none
    are left.
    """

    network = ATTRIBUTE_VAE
    encodes_scores = True

    def __init__(
        self, n_tokens: int, n_attributes: int, latent: int = 32, hidden: int = 512, embedding: int = 10,
        beats: int = 4, ticks: int = 6, dropout: float = 0.0,
    ) -> None:  # fmt: skip
        if latent <= n_attributes:
            raise ValueError(f"{latent} numbers of z hold no more than {n_attributes} attributes")
        super().__init__(
            n_tokens, latent, hidden, embedding, beats, ticks, dropout, relu_logits=False,
            inferred=latent - n_attributes,
        )  # fmt: skip

    def encode(self, tokens: Tensor, scores: Tensor) -> Posterior:
        """q(z | measure) of `tokens` int64 (B, T) with the normal scores of their attributes, (B, n_attributes)."""
        others = super().encode(tokens)
        certain = torch.full_like(scores, _CERTAIN)
        return Posterior(torch.cat([scores, others.mean], dim=1), torch.cat([certain, others.log_variance], dim=1))


class AttributeRegressor(Model):
    """Predicts the attributes' normal scores from the other latents: the adversary of an `AttributeVAE`."""

    kind, network = "explainable_adversary", "attribute_regressor"

    def __init__(self, latent: int, n_attributes: int, hidden: int = 128) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU(),
            nn.Linear(hidden, n_attributes),
        )  # fmt: skip

    def forward(self, others: Tensor) -> Tensor:
        """Predicted scores (B, n_attributes) from the latents without the attributes, (B, latent)."""
        return self.layers(others)

    @compilable
    def loss(self, others: Tensor, scores: Tensor) -> Tensor:
        """The adversary's loss: mean squared error of the predictions, a scalar."""
        return F.mse_loss(self(others), scores)

    @compilable
    def explained(self, others: Tensor, scores: Tensor) -> Tensor:
        """The model's adversarial loss: squared correlation of predictions and scores, mean over attributes, 0 to 1."""
        predictions, scores = (values - values.mean(0) for values in (self(others).float(), scores))
        covariance = (predictions * scores).mean(0)
        variances = predictions.square().mean(0) * scores.square().mean(0)
        return (covariance.square() / variances.clamp_min(1e-6)).mean()


class AttributeReader(Model):
    """Differentiable predictor of the attributes' normal scores from tokens, or from probabilities of tokens.

    Through it the error of decoded attributes with respect to the requested ones is back-propagated to the decoder.
    """

    kind, network = "explainable_reader", "attribute_reader"

    def __init__(self, n_tokens: int, n_attributes: int, hidden: int = 64) -> None:
        super().__init__()
        self.token = nn.Linear(n_tokens, hidden)
        self.mix = nn.ModuleList(nn.Conv1d(hidden, hidden, 3, padding=reach, dilation=reach) for reach in (1, 2, 4))
        self.scores = nn.Sequential(nn.Linear(2 * hidden, hidden), nn.LeakyReLU(), nn.Linear(hidden, n_attributes))

    @compilable
    def forward(self, tokens: Tensor) -> Tensor:
        """Scores (B, n_attributes) of one-hot tokens or probabilities, float32 (B, T, n_tokens)."""
        states = self.token(tokens).transpose(1, 2)
        for layer in self.mix:
            states = states + F.leaky_relu(layer(states))
        return self.scores(torch.cat([states.mean(2), states.amax(2)], dim=1)).float()


@compilable
def played_tokens(logits: Tensor, tokens: Tensor) -> Tensor:
    """One-hot vectors (B, T, n_tokens) of tokens int64 (B, T), with the gradient of the softmax of their logits."""
    probabilities = logits.float().softmax(2)
    return F.one_hot(tokens, probabilities.shape[2]) + probabilities - probabilities.detach()


@compilable
def distance_correlation(x: Tensor, y: Tensor) -> Tensor:
    """Squared distance correlation of rows of x (B, n) and y (B, m), a scalar up to 1 (Szekely et al. 2007).

    It uses the unbiased estimate of the covariance, which may be negative. It is 0 for fewer than four rows.
    """
    if len(x) < 4:
        return x.sum() * 0
    first, second = (_centred(torch.cdist(values, values)) for values in (x.float(), y.float()))
    covariance = (first * second).sum()
    return covariance / (first.square().sum() * second.square().sum()).clamp_min(1e-12).sqrt()


def _centred(distances: Tensor) -> Tensor:
    """U-centred distances, for unbiased estimates (Szekely and Rizzo 2014)."""
    n = len(distances)
    rows = distances.sum(1, keepdim=True) / (n - 2)
    centred = distances - rows - rows.t() + distances.sum() / ((n - 1) * (n - 2))
    return centred.masked_fill(torch.eye(n, dtype=torch.bool, device=distances.device), 0.0)
