"""Conditional variational autoencoder over piano rolls (report, section 2.1)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..base import MINIMUM_RATE, PITCHES, Decoded, Model
from ..gru import in_full_precision
from ..names import STANDARD_NORMAL
from ..playing import PROBABILITIES, SAMPLED, Playing
from ..prior import LOG_VARIANCE_BOUND, PRIOR_OF, Posterior
from .cells import cross_entropy, squared_error
from .roll_gru import RollGRU

_FRAMES_AT_ONCE = 2048  # whose logits have a megabyte


class EventEncoder(nn.Module):
    """A small network of each note, and its mean over a window's notes (report, section 2.1.1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.net = nn.Sequential(nn.Linear(3, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU())

    def forward(self, events: Tensor, event_window: Tensor, n_windows: int) -> Tensor:
        """(n_windows, size), zeros for a window without notes; `events` (N, 3), `event_window` int64 (N,)."""
        embedded = self.net(events).float()
        total = embedded.new_zeros(n_windows, self.size).index_add_(0, event_window, embedded)
        # Not bincount: the host would wait for the device.
        count = total.new_zeros(n_windows).index_add_(0, event_window, total.new_ones(len(event_window))).clamp_min_(1)
        return total / count[:, None]


class CVAE(Model):
    """q(z | X, E, y) and p(X | z, y); the decoder predicts frame t from z, y and the frames up to t - 1."""

    kind, network = "cvae", "frame-gru"
    plays_by = ("feedback",)
    predicts_cells = True

    def __init__(
        self, n_genres: int, latent: int = 32, hidden: int = 16, event_size: int = 16, genre_size: int = 4,
        prior: str = STANDARD_NORMAL,
    ) -> None:  # fmt: skip
        super().__init__()
        self.latent = latent
        self.prior = PRIOR_OF[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.event_encoder = EventEncoder(event_size)
        self.encoder = RollGRU(PITCHES, 0, hidden, bidirectional=True)
        summary = 2 * hidden + event_size + genre_size
        self.mean = nn.Linear(summary, latent)
        self.log_variance = nn.Linear(summary, latent)
        self.first_state = nn.Linear(latent + genre_size, hidden)
        self.decoder = RollGRU(PITCHES, genre_size, hidden)
        self.frame = nn.Linear(hidden, PITCHES)

    @torch.no_grad()
    def start_at(self, pitch_rate: Tensor) -> None:
        """Set the output bias so that each pitch sounds in its share of frames, `pitch_rate` (128,)."""
        self.frame.bias.copy_(torch.logit(pitch_rate, eps=MINIMUM_RATE))

    def encode(self, roll: Tensor, events: Tensor, event_window: Tensor, genre: Tensor) -> Posterior:
        """Posterior of a batch: `roll` (B, 128, T), its notes and `genre` int64 (B,), as in `data.windows.Batch`."""
        forward_last, backward_last = self.encoder.last_states(roll.transpose(1, 2))
        notes = self.event_encoder(events, event_window, len(roll))
        summary = torch.cat([forward_last, backward_last, notes, self.genre(genre)], dim=1)
        log_variance = self.log_variance(summary).float().clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return Posterior(self.mean(summary).float(), log_variance)

    def decode(self, z: Tensor, genre: Tensor, roll: Tensor, *, leak_target: bool = False) -> Tensor:
        """Logits (B, 128, T) with teacher forcing: the input of each step is the previous frame of `roll`.

        `leak_target` feeds each frame to its own prediction, only to reproduce the published error.
        """
        return self.frame(self._states(z, genre, roll, leak_target)).float().transpose(1, 2)

    def nll(self, z: Tensor, genre: Tensor, roll: Tensor, most_notes: Tensor | None = None) -> Tensor:
        """-log p(X | z, y) in nats, (B,): binary cross-entropy of the cells, teacher-forced. `most_notes` is unused."""
        return self._errors(z, genre, roll, cross_entropy)

    def squared_error(self, z: Tensor, genre: Tensor, roll: Tensor) -> Tensor:
        """Squared error of the teacher-forced probabilities, summed over a window's cells, (B,)."""
        return self._errors(z, genre, roll, squared_error)

    def _errors(self, z: Tensor, genre: Tensor, roll: Tensor, error: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """`error` of the logits and the cells; on a CPU of a few windows at a time, which needs less memory."""
        states, frames = self._states(z, genre, roll), roll.transpose(1, 2)
        n = max(1, _FRAMES_AT_ONCE // roll.shape[2]) if roll.device.type == "cpu" else len(roll)
        parts = zip(states.split(n), frames.split(n), strict=True)
        return torch.cat([error(self.frame(part).float(), cells) for part, cells in parts])

    def _states(self, z: Tensor, genre: Tensor, roll: Tensor, leak_target: bool = False) -> Tensor:
        """The decoder's states (B, T, hidden), teacher-forced."""
        frames, embedded = roll.transpose(1, 2), self.genre(genre)
        if not leak_target:
            frames = nn.functional.pad(frames[:, :-1], (0, 0, 1, 0))
        return self.decoder(frames, embedded, self._first_state(z, embedded))

    def chance_shape(self, seq_len: int, playing: Playing) -> tuple[int, int] | None:
        """Shape of the uniform numbers that draw one window of `seq_len` frames; None if nothing is drawn."""
        return (PITCHES, seq_len) if playing.feedback == SAMPLED else None

    @torch.no_grad()
    @in_full_precision
    def decode_free(
        self, z: Tensor, genre: Tensor, seq_len: int, uniform: Tensor | None = None, playing: Playing = Playing()
    ) -> Decoded:
        """`seq_len` frames, each predicted from the decoder's own previous frame.

        With "sampled" feedback a cell sounds where its probability exceeds `uniform` (B, 128, seq_len) in [0, 1),
        random if None; otherwise where it exceeds the threshold. The steps are sequential, so each consists of four
        small matrix products into reused buffers.
        """
        threshold, feedback = playing.threshold, playing.feedback
        if feedback == SAMPLED and uniform is None:
            uniform = torch.rand(len(z), PITCHES, seq_len, device=z.device)
        embedded = self.genre(genre)
        size, batch = self.decoder.gru.hidden_size, len(z)
        from_frame, from_genre, bias = self.decoder.input_weights()
        weight, bias_new = self.decoder.recurrent_weights()
        # Hidden units first, batch last: the gates of a step are contiguous.
        fixed = torch.addmm(bias, embedded, from_genre.t()).t().contiguous()  # (3 * hidden, B)
        state = self._first_state(z, embedded).t().contiguous()  # (hidden, B)
        weight_gates, weight_new = weight[0, : 2 * size], weight[0, 2 * size :]
        bias_new = bias_new[0].expand(-1, batch)
        bias_frame = self.frame.bias[:, None].expand(-1, batch)
        frames = z.new_empty(seq_len, PITCHES, batch)
        limits = uniform.permute(2, 1, 0) if feedback == SAMPLED else None
        gates, recurrent, previous = torch.empty_like(fixed), torch.empty_like(state), torch.zeros_like(frames[0])
        for t in range(seq_len):
            torch.addmm(fixed, from_frame, previous, out=gates)
            reset_update = gates[: 2 * size].addmm_(weight_gates, state).sigmoid_()
            torch.addmm(bias_new, weight_new, state, out=recurrent)
            candidate = gates[2 * size :].addcmul_(reset_update[:size], recurrent).tanh_()
            state = torch.lerp(candidate, state, reset_update[size:])
            torch.addmm(bias_frame, self.frame.weight, state, out=frames[t]).sigmoid_()
            if feedback == PROBABILITIES:
                previous = frames[t]
            else:
                torch.gt(frames[t], threshold if limits is None else limits[t], out=previous)
        roll = frames > (threshold if limits is None else limits)
        return Decoded(frames.permute(2, 1, 0), roll.permute(2, 1, 0))

    def _first_state(self, z: Tensor, embedded: Tensor) -> Tensor:
        state = torch.tanh(self.first_state(torch.cat([z, embedded], dim=1)))
        return state.to(torch.promote_types(state.dtype, torch.float32))  # not in half precision
