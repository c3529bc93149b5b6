"""Conditional variational autoencoder over piano rolls (report, section 2.1)."""

import torch
from torch import Tensor, nn

from ..gru import FrameGRU
from ..latents import LatentOfWindow
from ..playing import PROBABILITIES, SAMPLED, Decoded, Playing
from ..prior import PRIORS, STANDARD_NORMAL, Posterior
from ..registry import register

PITCHES = 128
LOG_VARIANCE_BOUND = 10.0
MINIMUM_RATE = 1e-4


def bernoulli_nll(logits: Tensor, roll: Tensor) -> Tensor:
    """Binary cross-entropy summed over a window's cells, in nats, (B,). Both inputs (B, 128, T)."""
    # -log p(x) = softplus(l) - x l: fewer passes over the roll than the library's form.
    return nn.functional.softplus(logits).sum((1, 2)) - (logits * roll).sum((1, 2))


def squared_error(logits: Tensor, roll: Tensor) -> Tensor:
    """Squared error of the probabilities, summed over a window's cells, (B,). Both inputs (B, 128, T)."""
    return (torch.sigmoid(logits) - roll).square().sum((1, 2))


class EventEncoder(nn.Module):
    """Mean over a window's notes of a small network of each note (report, section 2.1.1)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.net = nn.Sequential(nn.Linear(3, size), nn.ReLU(), nn.Linear(size, size), nn.ReLU())

    def forward(self, events: Tensor, event_window: Tensor, n_windows: int) -> Tensor:
        """(n_windows, size); zeros where a window has no note. `events` (N, 3), `event_window` int64 (N,)."""
        embedded = self.net(events).float()
        total = embedded.new_zeros(n_windows, self.size).index_add_(0, event_window, embedded)
        # Not bincount, which makes the host wait for the device.
        count = total.new_zeros(n_windows).index_add_(0, event_window, total.new_ones(len(event_window))).clamp_min_(1)
        return total / count[:, None]


@register
class CVAE(LatentOfWindow, nn.Module):
    """q(z | X, E, y) and p(X | z, y); the decoder sees frame t-1 when it predicts frame t."""

    kind, network = "cvae", "frame-gru"
    # What `Playing` leaves open that concerns this decoder.
    plays_by = ("feedback",)

    def __init__(
        self,
        n_genres: int,
        latent: int = 32,
        hidden: int = 16,
        event_size: int = 16,
        genre_size: int = 4,
        prior: str = STANDARD_NORMAL,
    ) -> None:
        super().__init__()
        self.config = {
            "n_genres": n_genres, "latent": latent, "hidden": hidden, "event_size": event_size,
            "genre_size": genre_size, "prior": prior,
        }  # fmt: skip
        self.latent = latent
        self.prior = PRIORS[prior](latent, n_genres)
        self.genre = nn.Embedding(n_genres, genre_size)
        self.event_encoder = EventEncoder(event_size)
        self.encoder = FrameGRU(PITCHES, 0, hidden, bidirectional=True)
        summary = 2 * hidden + event_size + genre_size
        self.mean = nn.Linear(summary, latent)
        self.log_variance = nn.Linear(summary, latent)
        self.first_state = nn.Linear(latent + genre_size, hidden)
        self.decoder = FrameGRU(PITCHES, genre_size, hidden)
        self.frame = nn.Linear(hidden, PITCHES)

    @torch.no_grad()
    def start_at(self, pitch_rate: Tensor) -> None:
        """Begin at the training data's share of frames (128,) in which each pitch sounds, as output bias."""
        self.frame.bias.copy_(torch.logit(pitch_rate, eps=MINIMUM_RATE))

    def encode(self, roll: Tensor, events: Tensor, event_window: Tensor, genre: Tensor) -> Posterior:
        """Posterior of a batch: `roll` (B, 128, T), its notes and `genre` int64 (B,), as in `data.windows.Batch`."""
        states = self.encoder(roll.transpose(1, 2))
        forward_last, backward_last = states[:, -1].chunk(2, dim=1)[0], states[:, 0].chunk(2, dim=1)[1]
        notes = self.event_encoder(events, event_window, len(roll))
        summary = torch.cat([forward_last, backward_last, notes, self.genre(genre)], dim=1)
        log_variance = self.log_variance(summary).float().clamp(-LOG_VARIANCE_BOUND, LOG_VARIANCE_BOUND)
        return Posterior(self.mean(summary).float(), log_variance)

    def decode(self, z: Tensor, genre: Tensor, roll: Tensor, *, leak_target: bool = False) -> Tensor:
        """Logits (B, 128, T) with teacher forcing: each frame is predicted from the true frame before it.

        `leak_target` feeds each frame to its own prediction, as the published code does. It is there to reproduce
        the published error and for nothing else.
        """
        frames = roll.transpose(1, 2)
        if not leak_target:
            frames = nn.functional.pad(frames[:, :-1], (0, 0, 1, 0))
        embedded = self.genre(genre)
        states = self.decoder(frames, embedded, self._first_state(z, embedded))
        return self.frame(states).float().transpose(1, 2)

    def nll(self, z: Tensor, genre: Tensor, roll: Tensor) -> Tensor:
        """-log p(X | z, y) in nats, (B,): binary cross-entropy of the window's cells, given the true frames before."""
        return bernoulli_nll(self.decode(z, genre, roll), roll)

    def squared_error(self, z: Tensor, genre: Tensor, roll: Tensor) -> Tensor:
        """Squared error of the probabilities, summed over a window's cells, (B,), given the true frames before."""
        return squared_error(self.decode(z, genre, roll), roll)

    def chance_shape(self, seq_len: int, playing: Playing) -> tuple[int, int] | None:
        """How many uniform numbers a window of `seq_len` frames is drawn with; None where nothing is drawn."""
        return (PITCHES, seq_len) if playing.feedback == SAMPLED else None

    @torch.no_grad()
    def decode_free(
        self,
        z: Tensor,
        genre: Tensor,
        seq_len: int,
        uniform: Tensor | None = None,
        playing: Playing = Playing(),
    ) -> Decoded:
        """`seq_len` frames, each predicted from what the decoder played in the frame before.

        With "sampled" feedback the numbers `uniform` (B, 128, seq_len) in [0, 1) decide, random ones if None. With
        "probabilities" the roll is what lies above the threshold, too. The steps are sequential, so each is kept
        to four small matrix products into buffers that are reused.
        """
        threshold, feedback = playing.threshold, playing.feedback
        if feedback == SAMPLED and uniform is None:
            uniform = torch.rand(len(z), PITCHES, seq_len, device=z.device)
        embedded = self.genre(genre)
        size, batch = self.decoder.gru.hidden_size, len(z)
        from_frame, from_genre, bias = self.decoder.input_weights()
        weight, bias_new = self.decoder.recurrent_weights()
        # Hidden units first and batch last: the gates of a step are contiguous.
        fixed = torch.addmm(bias, embedded, from_genre.t()).t().contiguous()  # (3 * hidden, B)
        state = self._first_state(z, embedded).t().contiguous()  # (hidden, B)
        weight_gates, weight_new = weight[0, : 2 * size], weight[0, 2 * size :]
        bias_new = bias_new[0].expand(-1, batch)
        bias_frame = self.frame.bias[:, None].expand(-1, batch)
        frames = z.new_empty(seq_len, PITCHES, batch)
        limits = uniform.permute(2, 1, 0) if feedback == SAMPLED else None
        gates, recalled, heard = torch.empty_like(fixed), torch.empty_like(state), torch.zeros_like(frames[0])
        for t in range(seq_len):
            torch.addmm(fixed, from_frame, heard, out=gates)
            reset_update = gates[: 2 * size].addmm_(weight_gates, state).sigmoid_()
            torch.addmm(bias_new, weight_new, state, out=recalled)
            candidate = gates[2 * size :].addcmul_(reset_update[:size], recalled).tanh_()
            state = torch.lerp(candidate, state, reset_update[size:])
            torch.addmm(bias_frame, self.frame.weight, state, out=frames[t]).sigmoid_()
            if feedback == PROBABILITIES:
                heard = frames[t]
            else:
                torch.gt(frames[t], threshold if limits is None else limits[t], out=heard)
        roll = frames > (threshold if limits is None else limits)
        return Decoded(frames.permute(2, 1, 0), roll.permute(2, 1, 0))

    def _first_state(self, z: Tensor, embedded: Tensor) -> Tensor:
        state = torch.tanh(self.first_state(torch.cat([z, embedded], dim=1)))
        return state.to(torch.promote_types(state.dtype, torch.float32))  # not in half precision
