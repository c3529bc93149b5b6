"""The rhythm of a window: how many notes begin in each of its frames, and the distribution of that."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND
from ..gru import in_full_precision
from .notes import onsets
from .plan import LatentPlan

MOST_ONSETS = 8  # more notes that begin together count as this many
_RECENT = 32  # frames before each, by which it is compared with earlier ones
_MEMORY = 128  # earlier frames with which it is compared
_HEADS = 4
_OF_FRAME = 32  # numbers of the condition for each frame
_SILENT = -30.0  # logit before the first frame
IMPOSSIBLE = -1e4  # below all logits
_LEAST = 1e-6  # logit whose probability is above one half in float32


def onset_levels(roll: Tensor) -> Tensor:
    """log2(1 + n) for the n notes that begin in each frame, at most `MOST_ONSETS`: (B, T) from rolls (B, 128, T).

    Notes that sound in the first frame begin there.
    """
    return torch.log2(1 + onsets((roll != 0).transpose(1, 2)).sum(2).clamp_max(MOST_ONSETS))


def joined(z: Tensor, levels: Tensor, latent: int) -> Tensor:
    """Latents (B, T / 16 * latent) and levels (B, T), second by second: (B, T / 16 * (latent + 16))."""
    seconds = z.unflatten(1, (-1, latent)), levels.to(z.dtype).unflatten(1, (-1, FRAMES_A_SECOND))
    return torch.cat(seconds, dim=2).flatten(1)


def parted(inputs: Tensor, latent: int, with_levels: bool) -> tuple[Tensor, Tensor]:
    """The latents of each second (B, T / 16, latent), and the levels (B, T) or, without them, (B, 0)."""
    seconds = inputs.unflatten(1, (-1, latent + (FRAMES_A_SECOND if with_levels else 0)))
    z, levels = seconds.tensor_split([latent], dim=2)
    return z, levels.flatten(1)


def counts_of(levels: Tensor) -> Tensor:
    """The numbers of onsets, int64, of levels."""
    return (torch.exp2(levels) - 1).round().long()


def follow_rhythm(logits: Tensor, levels: Tensor) -> Tensor:
    """Logits of frames (B, T, C), changed so that exactly as many notes begin in each frame as its level (B, T) says.

    A cell sounds if its logit is positive. Of the silent keys those with the largest logits begin, or all if there are
    fewer: the threshold lies between the last of them and the next. If it is negative, it remains the threshold of
    these notes until they end. In a frame in which none begins, a silent key's logit does not rise.
    """
    rank = torch.arange(MOST_ONSETS + 1, device=logits.device)
    last, threshold, followed = torch.full_like(logits[:, 0], _SILENT), torch.zeros_like(logits[:, 0]), []
    for frame, count in zip(logits.unbind(1), counts_of(levels)[..., None].unbind(1), strict=True):
        sounds = last > 0
        largest, keys = frame.masked_fill(sounds, IMPOSSIBLE).topk(MOST_ONSETS + 1, dim=1)
        begins = torch.zeros_like(sounds).scatter(1, keys, rank < count)
        around = torch.cat([(count - 1).clamp_min(0), count], dim=1)
        between = largest.gather(1, around).mean(1, keepdim=True)
        others = torch.where(count > 0, (frame - between).clamp_max(0), torch.minimum(frame, last))
        silent = torch.where(begins, (frame - between).clamp_min(_LEAST), others)  # logits may be equal
        last = torch.where(sounds, frame - threshold, silent)
        threshold = torch.where(sounds, threshold, between.clamp_max(0))
        followed.append(last)
    return torch.stack(followed, dim=1)


class Rhythm(nn.Module):
    """p(rhythm | z, y): the number of onsets of each frame, given the frames before it, z and the genre.

    A beat relates distant frames. A generator of whole windows did not learn one from independent noise. A likelihood
    of each frame given the earlier ones does. A frame is compared with earlier ones by the 32 frames before both, and
    attends to what came next there, because rhythms repeat.
    """

    def __init__(self, latent: int, n_genres: int, genre_size: int, hidden: int) -> None:
        """Raises `ValueError` for a `hidden` that the heads do not divide."""
        super().__init__()
        if hidden % (4 * _HEADS):
            raise ValueError(f"rhythm must be a multiple of {4 * _HEADS}, but is {hidden}")
        size = hidden // 4  # of queries, keys and values, all heads together
        self.genre = nn.Embedding(n_genres, genre_size)
        self.plan = LatentPlan(latent, genre_size, hidden // 2)
        self.spread = nn.Linear(hidden // 2, FRAMES_A_SECOND * _OF_FRAME)
        self.recent = nn.Linear(_RECENT + _OF_FRAME, hidden)
        self.compared = nn.Linear(hidden, 2 * size)
        self.next = nn.Embedding(MOST_ONSETS + 1, size)
        self.nothing = nn.Parameter(torch.zeros(2, 1, 1, size))  # key and value beside those of the earlier frames
        self.counts = nn.Sequential(nn.Linear(hidden + size, hidden), nn.GELU(), nn.Linear(hidden, MOST_ONSETS + 1))

    def nll(self, z: Tensor, genre: Tensor, levels: Tensor) -> Tensor:
        """-log p(rhythm | z, y) in nats, (B,), for `z` (B, T / 16 * latent), `genre` int64 (B,), `levels` (B, T)."""
        counts, n_frames = counts_of(levels), levels.shape[1]
        recent = F.pad(levels, (_RECENT, 0))[:, :-1].unfold(1, _RECENT, 1)  # (B, T, 32)
        hidden, query, key = self._compared(recent, self._of_frames(z, genre))
        key, value = (
            torch.cat([nothing.expand(z.shape[0], -1, -1).to(each.dtype), each], dim=1)
            for nothing, each in zip(self.nothing, (key, self.next(counts).to(key.dtype)), strict=True)
        )
        frame = torch.arange(n_frames, device=levels.device)
        lag = frame[:, None] - frame
        logits = self._logits(hidden, query, key, value, F.pad((lag > 0) & (lag <= _MEMORY), (1, 0), value=True))
        return F.cross_entropy(logits.transpose(1, 2).float(), counts, reduction="none").sum(1)

    @in_full_precision
    @torch.no_grad()
    def sample(self, z: Tensor, genre: Tensor, uniform: Tensor) -> Tensor:
        """Levels (B, T), in the dtype of z, drawn by `uniform` numbers in [0, 1), (B, T)."""
        of_frames, drawn = self._of_frames(z, genre), []
        recent = of_frames.new_zeros(z.shape[0], 1, _RECENT)
        keys, values = (nothing.expand(z.shape[0], -1, -1) for nothing in self.nothing)
        for of_frame, number in zip(of_frames.split(1, dim=1), uniform.split(1, dim=1), strict=True):
            hidden, query, key = self._compared(recent, of_frame)
            below = self._logits(hidden, query, keys, values)[:, 0].softmax(1).cumsum(1)[:, :-1]
            count = (number >= below).sum(1, keepdim=True)
            drawn.append(torch.log2(1 + count.to(z.dtype)))
            recent = torch.cat([recent[:, :, 1:], drawn[-1][:, None]], dim=2)
            keys, values = (
                torch.cat([before[:, :1], before[:, 1:][:, 1 - _MEMORY :], new], dim=1)
                for before, new in ((keys, key), (values, self.next(count)))
            )
        return torch.cat(drawn, dim=1)

    def _of_frames(self, z: Tensor, genre: Tensor) -> Tensor:
        """The condition of each frame, (B, T, 32)."""
        return self.spread(self.plan(z, self.genre(genre))).unflatten(2, (FRAMES_A_SECOND, -1)).flatten(1, 2)

    def _compared(self, recent: Tensor, of_frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of frames (B, n, hidden) from the levels before each, (B, n, 32), and their queries and keys."""
        hidden = F.gelu(self.recent(torch.cat([recent.to(of_frames.dtype), of_frames], dim=2)))
        return hidden, *self.compared(hidden).chunk(2, dim=2)

    def _logits(self, hidden: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits of the counts, (B, n, 9). `seen` bool (n, keys): what each frame attends to, None for all."""
        heads = (each.unflatten(2, (_HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        attended = F.scaled_dot_product_attention(*heads, seen).transpose(1, 2).flatten(2)
        return self.counts(torch.cat([hidden, attended], dim=2))
