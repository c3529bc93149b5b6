"""The published frame decoder as a density model p(X | context) of rolls with any number of keys."""

import torch
from torch import Tensor, nn

from models.base import PITCHES, Model
from models.rolls.cvae import CVAE


class FrameModel(Model):
    """Density of rolls (B, pitches, T): exact with `latent` 0, otherwise a bound with one latent for each block.

    The network is the published one for 128 keys. Keys outside the roll are silent and do not count.
    """

    kind, network = "density", "frame-gru"

    def __init__(self, pitches: int = 88, hidden: int = 16, latent: int = 0) -> None:
        super().__init__()
        self.pitches, self.latent = pitches, latent
        self.cvae = CVAE(n_genres=1, latent=max(latent, 1), hidden=hidden)
        if not latent:  # z is 0, and there is no encoder
            del self.cvae.encoder, self.cvae.event_encoder, self.cvae.mean, self.cvae.log_variance

    @torch.no_grad()
    def start_at(self, key_rate: Tensor) -> None:
        """Set the output bias so that each key sounds in its share of frames, `key_rate` (pitches,)."""
        below = self._keys_below
        self.cvae.start_at(nn.functional.pad(key_rate, (below, PITCHES - self.pitches - below)))

    @property
    def _keys_below(self) -> int:
        return (PITCHES - self.pitches) // 2

    def noise_size(self, n_frames: int) -> int:
        """Standard normal numbers for the latent of a block of any length."""
        return self.latent

    def nats(self, roll: Tensor, lengths: Tensor, before: Tensor, noise: Tensor) -> Tensor:
        """-log p(X | before) in nats, or a bound, float32 (B,), of rolls (B, pitches, T).

        `lengths` (B,): frames of each roll without padding; `before` (B, pitches, C): preceding frames, the decoder's
        context; `noise` (B, `latent`).
        """
        below = self._keys_below
        keys = 0, 0, below, PITCHES - self.pitches - below
        of_one = torch.zeros(len(roll), dtype=torch.int64, device=roll.device)
        whole, kl = nn.functional.pad(roll, keys), 0.0
        z = roll.new_zeros(len(roll), 1)
        if self.latent:
            no_notes = roll.new_zeros(0, 3), of_one[:0]
            posterior = self.cvae.encode(whole, *no_notes, of_one)
            z = posterior.sample(noise)
            kl = self.cvae.prior.kl(posterior, z, of_one).sum(1)
        context = nn.functional.pad(before, keys)
        logits = self.cvae.decode(z, of_one, torch.cat([context, whole], dim=2))[:, below : below + self.pitches]
        logits = logits[:, :, before.shape[2] :]
        cells = nn.functional.binary_cross_entropy_with_logits(logits, roll, reduction="none").sum(1)  # (B, T)
        counts = torch.arange(roll.shape[2], device=roll.device) < lengths[:, None]
        return cells.masked_fill(~counts, 0.0).sum(1) + kl
