"""AttributeVAE: MeasureVAE's networks; the first numbers of its latent are attributes, the others know nothing of them.

Between the two models of the study: as in MeasureVAE the attributes are dimensions of z, as in AdversarialVAE they are
given to the decoder and an adversary keeps them out of what else it hears. Given as normal scores they are distributed
as the prior says, so that no KL divergence pulls at them (as in arXiv 2511.07118, where they are regularised to it).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .measure_vae import MeasureVAE
from .prior import Posterior

_CERTAIN = -80.0  # log-variance of a number that is given


class AttributeVAE(MeasureVAE):
    """Encoder, sampling and decoder of measures, int64 (B, beats * ticks), of `n_tokens` tokens.

    The first `n_attributes` of the `latent` numbers of z are the attributes' normal scores. Raises `ValueError` where
    that leaves none.
    """

    network = "attribute_vae"

    def __init__(
        self,
        n_tokens: int,
        n_attributes: int,
        latent: int = 32,
        hidden: int = 512,
        embedding: int = 10,
        beats: int = 4,
        ticks: int = 6,
        dropout: float = 0.0,
    ) -> None:
        if latent <= n_attributes:
            raise ValueError(f"{latent} numbers of z hold no more than {n_attributes} attributes")
        super().__init__(
            n_tokens, latent, hidden, embedding, beats, ticks, dropout, relu_logits=False,
            inferred=latent - n_attributes,
        )  # fmt: skip
        self.config = {
            "n_tokens": n_tokens, "n_attributes": n_attributes, "latent": latent, "hidden": hidden,
            "embedding": embedding, "beats": beats, "ticks": ticks, "dropout": dropout,
        }  # fmt: skip

    def encode(self, tokens: Tensor, scores: Tensor) -> Posterior:
        """q(z | measure) of `tokens` int64 (B, T) with the normal scores of their attributes, (B, n_attributes)."""
        others = super().encode(tokens)
        certain = torch.full_like(scores, _CERTAIN)
        return Posterior(torch.cat([scores, others.mean], dim=1), torch.cat([certain, others.log_variance], dim=1))


class AttributeRegressor(nn.Module):
    """Guesses the attributes' normal scores from the other numbers of z: the adversary of an `AttributeVAE`."""

    kind, network = "explainable_adversary", "attribute_regressor"

    def __init__(self, latent: int, n_attributes: int, hidden: int = 128) -> None:
        super().__init__()
        self.config = {"latent": latent, "n_attributes": n_attributes, "hidden": hidden}
        self.layers = nn.Sequential(
            nn.Linear(latent, hidden), nn.LeakyReLU(), nn.Linear(hidden, hidden), nn.LeakyReLU(),
            nn.Linear(hidden, n_attributes),
        )  # fmt: skip

    def forward(self, others: Tensor) -> Tensor:
        """Guesses (B, n_attributes) from the numbers of z that are no attributes, (B, latent)."""
        return self.layers(others)

    def loss(self, others: Tensor, scores: Tensor) -> Tensor:
        """Mean squared error of the guesses, a scalar: what the adversary is trained for."""
        return F.mse_loss(self(others), scores)

    def explained(self, others: Tensor, scores: Tensor) -> Tensor:
        """Squared correlation of guesses and scores in the batch, mean over attributes, 0 to 1: the model's loss.

        Unlike the guesses' error it has a least value, and the adversary's scale does not matter to it.
        """
        guesses, scores = (values - values.mean(0) for values in (self(others).float(), scores))
        covariance = (guesses * scores).mean(0)
        variances = guesses.square().mean(0) * scores.square().mean(0)
        return (covariance.square() / variances.clamp_min(1e-6)).mean()
