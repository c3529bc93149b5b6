"""Conditional variational autoencoder with a latent for every second and a decoder over notes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND, MINIMUM_RATE, PITCHES, Decoded, Model
from ..compiling import compilable
from ..dropout import Masks
from ..frames import Convolution
from ..names import AUTOREGRESSIVE
from ..playing import Playing
from ..prior import LOG_VARIANCE_BOUND, PRIOR_OF, Posterior
from .note_decoder import NoteDecoder
from .note_sampling import MOST_NOTES, NUMBERS_A_NOTE, draw_notes
from .notes import Notes, by_length, count_notes, notes_to_roll, parts_by_length, roll_to_notes
from .plan import ConditionedConvolution, LatentPlan

_HEAD_SIZE = 64
# Windows that a CPU decodes at a time: more are no faster, and the memory of their notes took over a gigabyte.
_CPU_WINDOWS = 128


class RollEncoder(nn.Module):
    """Convolutions over time, from a roll and its onsets to a mean and a log-variance for each second, 16 frames."""

    def __init__(self, latent: int, channels: int, condition_size: int, pitches: int = PITCHES) -> None:
        super().__init__()
        self.quarter = Convolution(2 * pitches, channels, 8, stride=4)
        self.sixteenth = Convolution(channels, channels, 8, stride=4)
        self.neighbours = nn.ModuleList(ConditionedConvolution(channels, condition_size) for _ in range(2))
        self.moments = Convolution(channels, 2 * latent, 1)

    @compilable
    def forward(self, roll: Tensor, genre: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance, (B, T / 16, latent) each, of rolls (B, pitches, T) with genre embeddings (B, size)."""
        mean, log_variance = self.moments(self.states(roll, genre)).float().chunk(2, dim=2)
        return mean, log_variance.clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)

    def states(self, roll: Tensor, genre: Tensor) -> Tensor:
        """The last hidden layer, (B, T / 16, channels)."""
        frames = roll.transpose(1, 2)
        onsets = frames * (1 - F.pad(frames[:, :-1], (0, 0, 1, 0)))
        hidden = F.gelu(self.quarter(torch.cat([frames, onsets], dim=2)))
        hidden = self.sixteenth(hidden)
        for layer in self.neighbours:
            hidden = layer(hidden, genre)
        return hidden


class NoteCVAE(Model):
    """q(z | X, y), p(z | y) and p(X | z, y); z has `latent` numbers for every second, 16 frames, of a window.

    Waits and durations of more than `horizon` frames are one class.
    """

    kind, network = "cvae", "notes"
    any_length = True
    plays_by = ("temperature", "nucleus")

    def __init__(
        self, n_genres: int, latent: int = 16, hidden: int = 256, depth: int = 4, genre_size: int = 32,
        horizon: int = 128, prior: str = AUTOREGRESSIVE,
    ) -> None:  # fmt: skip
        super().__init__()
        channels, heads = 3 * hidden // 4, max(1, hidden // _HEAD_SIZE)
        self.latent = latent
        self.prior = PRIOR_OF[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.encoder = RollEncoder(latent, channels, genre_size)
        self.plan = LatentPlan(latent, genre_size, channels)
        self.decoder = NoteDecoder(PITCHES, horizon, FRAMES_A_SECOND, channels, hidden, depth, heads)

    @torch.no_grad()
    def start_at(self, pitch_rate: Tensor) -> None:
        """Set the bias of the next pitch to the logarithm of `pitch_rate` (128,), each pitch's share of frames."""
        self.decoder.pitch_head.choices.bias.copy_(pitch_rate.clamp_min(MINIMUM_RATE).log())

    def encode(self, roll: Tensor, events: Tensor, event_window: Tensor, genre: Tensor) -> Posterior:
        """Posterior of a batch as in `data.windows.Batch`, from `roll` (B, 128, T) and `genre`; events are ignored."""
        mean, log_variance = self.encoder(roll, self.genre(genre))
        return Posterior(mean.flatten(1), log_variance.flatten(1))

    def nll(self, z: Tensor, genre: Tensor, roll: Tensor, most_notes: Tensor | None = None) -> Tensor:
        """-log p(X | z, y) in nats, float32 (B,), of rolls (B, 128, T), teacher-forced.

        `most_notes` int64 (B,) on the host: the number of notes of each roll, or more. Without it the host counts them,
        for which it waits for a device.
        """
        return -self._likelihoods(z, genre, roll, most_notes, self.decoder.log_likelihood)

    def choice_nll(self, z: Tensor, genre: Tensor, roll: Tensor) -> Tensor:
        """-log p(X | z, y) in nats by choice, float32 (B, N + 1, 3), of rolls (B, 128, T); N: the most notes of a roll.

        [:, k] has the wait, the pitch and the duration of note k, in the order of `roll_to_notes`. After its last note
        a roll has the wait for a note beyond its end; the rest is 0. The sum is `nll`.
        """
        most_notes = count_notes(roll).cpu()
        places = int(most_notes.max()) + 1

        def choices(condition: Tensor, notes: Notes, rolls: Tensor, masks: Masks | None) -> Tensor:
            found = self.decoder.choices(condition, notes, rolls, masks=masks)
            each = torch.stack(found[:3], dim=2).masked_fill(~notes.present()[..., None], 0.0)
            each = F.pad(each, (0, 0, 0, places - each.shape[1]))
            each[torch.arange(len(each)), notes.count, 0] = found.end
            return each

        return -self._likelihoods(z, genre, roll, most_notes, choices)

    def continuation_nll(self, z: Tensor, genre: Tensor, roll: Tensor, first: int, known: int) -> Tensor:
        """-log p in nats, (B,), of rolls (B, 128, T) from second `known` on, given the seconds from `first` to it.

        `z` is of the whole rolls. Of a note that goes on at second `known` the beginning only is given.
        """
        condition, heard = self.plan(z, self.genre(genre))[:, first:], roll[:, :, first * FRAMES_A_SECOND :]
        given = heard[:, :, : (known - first) * FRAMES_A_SECOND]
        nats = [self.decoder.log_likelihood(condition, roll_to_notes(part), part) for part in (given, heard)]
        return nats[0] - nats[1]

    def _likelihoods(
        self, z: Tensor, genre: Tensor, roll: Tensor, most_notes: Tensor | None, of: Callable[..., Tensor]
    ) -> Tensor:
        """`of(condition, notes, rolls, masks=...)` of the decoder for all rolls, those of similar lengths at a time."""
        if most_notes is None:
            most_notes = count_notes(roll).cpu()
        parts = parts_by_length(most_notes + 1, roll.device)
        condition, notes = self.plan(z, self.genre(genre)), roll_to_notes(roll, parts[-1].length - 1)
        masks = self.decoder.dropout.masks(len(roll), roll.device)

        def likelihood(rows: Tensor, length: int) -> Tensor:
            of_rows = masks and masks.of(rows)
            return of(condition[rows], notes.of(rows, length - 1), roll[rows], masks=of_rows)

        return by_length(notes.count, parts, likelihood)

    def chance_shape(self, seq_len: int, playing: Playing) -> tuple[int, int]:
        """Shape of the uniform numbers that draw one window of any length."""
        return MOST_NOTES, NUMBERS_A_NOTE

    @torch.no_grad()
    def decode_free(
        self, z: Tensor, genre: Tensor, seq_len: int, uniform: Tensor | None = None, playing: Playing = Playing()
    ) -> Decoded:
        """`seq_len` frames, sampled note after note with `uniform` (B, most notes, 3) in [0, 1), random if None."""
        if uniform is None:
            uniform = torch.rand(len(z), MOST_NOTES, NUMBERS_A_NOTE, device=z.device)
        condition, at_once = self.plan(z, self.genre(genre)), _CPU_WINDOWS if z.device.type == "cpu" else len(z)
        parts = (
            draw_notes(self.decoder, rows, seq_len, numbers, playing)
            for rows, numbers in zip(condition.split(at_once), uniform.split(at_once), strict=True)
        )
        roll = torch.cat([notes_to_roll(notes, PITCHES, seq_len) for notes in parts])
        return Decoded(roll.float(), roll)

    @torch.no_grad()
    def play_on(
        self, z: Tensor, genre: Tensor, begun: Tensor, n_frames: int, numbers: Callable[[int], Tensor],
        playing: Playing = Playing(), window: int = 128,
    ) -> Tensor:  # fmt: skip
        """Rolls, bool (B, 128, n_frames), that continue `begun`, bool (B, 128, known), `known` a multiple of 16.

        `z` (B, size for n_frames) is of the whole roll. Each part is sampled with the preceding half `window` of frames
        as context, and notes that sound at its start continue, so there is no seam. A context in which no note begins
        is left out: the next note would follow a long wait, which becomes ever longer, so that the roll would stay
        silent. `numbers(k)` returns the uniform numbers (B, most notes, 3) of the k-th part.
        """
        condition, known, part = self.plan(z, self.genre(genre)), begun.shape[2], 0
        roll = F.pad(begun, (0, n_frames - known))
        while known < n_frames:
            context = max(0, known - window // 2)
            end, uniform = min(context + window, n_frames), numbers(part)
            begins = roll & ~F.pad(roll[:, :, :-1], (1, 0))
            goes_on = begins[:, :, context:known].any(2).any(1)
            for rows, start in ((goes_on, context), (~goes_on, known)):
                seconds = condition[rows, start // FRAMES_A_SECOND : -(-end // FRAMES_A_SECOND)]
                if len(seconds):
                    beginning = roll_to_notes(roll[rows, :, start:end])
                    notes = draw_notes(
                        self.decoder, seconds, end - start, uniform[rows], playing, beginning, known - start
                    )
                    roll[rows, :, start:] |= notes_to_roll(notes, PITCHES, n_frames - start)
            known, part = end, part + 1
        return roll
