"""The note decoder as a density model p(X | context) of rolls with any number of keys."""

import torch
from torch import Tensor, nn

from models.base import FRAMES_A_SECOND, Model
from models.notes.note_cvae import RollEncoder
from models.notes.note_decoder import NoteDecoder
from models.notes.notes import by_length, parts_by_length, roll_to_notes
from models.notes.plan import LatentPlan
from models.prior import Autoregressive, Posterior

_HEAD_SIZE = 32
_GENRE_SIZE = 8  # the CVAE's parts take a genre; here all music has the same one


class NoteModel(Model):
    """Density of rolls (B, pitches, T) of up to `horizon` frames.

    Exact with `latent` 0, otherwise a bound with `latent` numbers for every 16 frames.
    """

    kind, network = "density", "notes"

    def __init__(
        self, pitches: int = 88, horizon: int = 128, hidden: int = 192, depth: int = 4, latent: int = 0
    ) -> None:
        super().__init__()
        self.pitches, self.horizon, self.latent = pitches, horizon, latent
        heads, condition = max(1, hidden // _HEAD_SIZE), 3 * hidden // 4 if latent else 1
        if latent:
            self.genre = nn.Embedding(1, _GENRE_SIZE)
            self.encoder = RollEncoder(latent, condition, _GENRE_SIZE, pitches)
            self.plan = LatentPlan(latent, _GENRE_SIZE, condition)
            self.prior = Autoregressive(latent, 1)
        self.decoder = NoteDecoder(pitches, horizon, FRAMES_A_SECOND, condition, hidden, depth, heads)

    def noise_size(self, n_frames: int) -> int:
        """Standard normal numbers for the latent of a block of `n_frames` frames."""
        return self.latent * -(-n_frames // FRAMES_A_SECOND)

    def nats(self, roll: Tensor, lengths: Tensor, before: Tensor, noise: Tensor) -> Tensor:
        """-log p(X | before) in nats, or a bound, float32 (B,), of rolls (B, pitches, T).

        `lengths` (B,): frames of each roll without padding; `before` (B, pitches, C): preceding frames, padded with
        silence at their start; `noise` (B, `noise_size(T)`).
        """
        notes, earlier = roll_to_notes(roll), roll_to_notes(before)
        earlier = earlier._replace(onset=torch.where(earlier.present(), earlier.onset - before.shape[2], 0))
        condition, kl = self._plan(roll, lengths, noise) if self.latent else (roll.new_zeros(len(roll), 1, 1), 0.0)
        n_choices = notes.count + earlier.count + 1
        masks = self.decoder.dropout.masks(len(roll), roll.device)
        nll = -by_length(
            n_choices,
            parts_by_length(n_choices.cpu(), roll.device),
            lambda rows, _: self.decoder.log_likelihood(
                condition[rows], notes.of(rows), roll[rows], lengths[rows], earlier.of(rows), masks and masks.of(rows)
            ),
        )
        return nll + kl

    def _plan(self, roll: Tensor, lengths: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The decoder's conditions for a sample of z, (B, parts, condition size), and the KL without padding, (B,)."""
        of_one = torch.zeros(len(roll), dtype=torch.int64, device=roll.device)
        whole = nn.functional.pad(roll, (0, -roll.shape[2] % FRAMES_A_SECOND))
        posterior = Posterior(*(moment.flatten(1) for moment in self.encoder(whole, self.genre(of_one))))
        z = posterior.sample(noise)
        kl = self.prior.kl(posterior, z, of_one).unflatten(1, (-1, self.latent)).sum(2)
        begins = torch.arange(kl.shape[1], device=roll.device) * FRAMES_A_SECOND
        return self.plan(z, self.genre(of_one)), kl.masked_fill(begins >= lengths[:, None], 0.0).sum(1)
