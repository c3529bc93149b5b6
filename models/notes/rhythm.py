"""The rhythm of a window: how many notes begin and end in each of its frames, and the distribution of that."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND
from ..gru import in_full_precision
from .notes import onsets
from .plan import LatentPlan

MOST = 16  # more notes that begin, or that end, together count as this many
EVENTS = 2  # numbers of a frame's rhythm: beginnings and ends
_RECENT = 32  # frames before each, by which it is compared with earlier ones
_MEMORY = 128  # earlier frames with which it is compared
_HEADS = 4
_OF_FRAME = 32  # numbers of the condition for each frame
_SILENT = -30.0  # logit before the first frame
IMPOSSIBLE = -1e4  # below all logits
_LEAST = 1e-6  # logit whose probability is above one half in float32


def rhythm_of(roll: Tensor) -> Tensor:
    """The levels log2(1 + n) for the n notes that begin and that end in each frame: (B, T, 2) from rolls (B, 128, T).

    n is at most `MOST`. Notes that sound in the first frame begin there. A note ends in the first frame without it.
    """
    sounding = (roll != 0).transpose(1, 2)
    ends = onsets(~sounding)
    ends[:, 0] = False
    return torch.log2(1 + torch.stack([onsets(sounding).sum(2), ends.sum(2)], dim=2).clamp_max(MOST))


def joined(z: Tensor, levels: Tensor, latent: int) -> Tensor:
    """Latents (B, T / 16 * latent) and levels (B, T, 2), second by second: (B, T / 16 * (latent + 32))."""
    seconds = z.unflatten(1, (-1, latent)), levels.to(z.dtype).unflatten(1, (-1, FRAMES_A_SECOND)).flatten(2)
    return torch.cat(seconds, dim=2).flatten(1)


def parted(inputs: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """The latents of each second (B, T / 16, latent) and the levels (B, T, 2), of what `joined` returned."""
    of_second = EVENTS * FRAMES_A_SECOND
    z, levels = inputs.unflatten(1, (-1, latent + of_second)).split([latent, of_second], dim=2)
    return z, levels.unflatten(2, (-1, EVENTS)).flatten(1, 2)


def counts_of(levels: Tensor) -> Tensor:
    """The numbers of notes, int64, of levels."""
    return (torch.exp2(levels) - 1).round().long()


def follow_rhythm(logits: Tensor, levels: Tensor) -> Tensor:
    """Logits of frames (B, T, C), changed so that as many notes begin and end in each frame as `levels` (B, T, 2) say.

    A cell sounds if its logit is positive. Of the silent keys those with the largest logits begin, of the sounding ones
    those with the smallest end, or all if there are fewer. Zero lies between the last of them and the next. Where none
    begins, silent keys keep the logit of the frame before; where none ends, sounding ones do.
    """
    last, followed = torch.full_like(logits[:, 0], _SILENT), []
    for frame, counts in zip(logits.unbind(1), counts_of(levels).unbind(1), strict=True):
        begin, end = counts.split(1, dim=1)
        sounds = last > 0
        begun = _first_positive(frame.masked_fill(sounds, IMPOSSIBLE), begin).where(begin > 0, last)
        kept = -_first_positive((-frame).masked_fill(~sounds, IMPOSSIBLE), end).where(end > 0, -last)
        last = torch.where(sounds, kept, begun)
        followed.append(last)
    return torch.stack(followed, dim=1)


def _first_positive(logits: Tensor, count: Tensor) -> Tensor:
    """`logits` (B, C) less a threshold, so that the `count` (B, 1) largest are positive, also where some are equal."""
    largest, keys = logits.topk(MOST + 1, dim=1)
    around = torch.cat([(count - 1).clamp_min(0), count], dim=1)
    over = logits - largest.gather(1, around).mean(1, keepdim=True)
    rank = torch.arange(MOST + 1, device=logits.device)
    first = torch.zeros_like(logits, dtype=torch.bool).scatter(1, keys, rank < count)
    return torch.where(first, over.clamp_min(_LEAST), over.clamp_max(-_LEAST))


class Rhythm(nn.Module):
    """p(rhythm | z, y): how many notes begin and end in each frame, given the frames before it, z and the genre.

    A beat relates distant frames, and chords and legato relate the ends of notes to the beginnings of others. A
    generator of whole windows did not learn them from independent noise. A likelihood of each frame given the earlier
    ones does. A frame is compared with earlier ones by the 32 frames before both, and attends to what came next there,
    because rhythms repeat.
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
        self.recent = nn.Linear(EVENTS * _RECENT + 1 + _OF_FRAME, hidden)
        self.compared = nn.Linear(hidden, 2 * size)
        self.next = nn.Embedding(EVENTS * (MOST + 1), size)
        self.nothing = nn.Parameter(torch.zeros(2, 1, 1, size))  # key and value beside those of the earlier frames
        self.begins, self.ends = (
            nn.Sequential(nn.Linear(hidden + size + more, hidden), nn.GELU(), nn.Linear(hidden, MOST + 1))
            for more in (0, 1)
        )

    def nll(self, z: Tensor, genre: Tensor, levels: Tensor) -> Tensor:
        """-log p(rhythm | z, y) in nats, (B,), for `z` (B, T / 16 * latent), `genre` int64 (B,), `levels` (B, T, 2)."""
        counts, n_frames = counts_of(levels), levels.shape[1]
        recent = F.pad(levels, (0, 0, _RECENT, 0))[:, :-1].unfold(1, _RECENT, 1).flatten(2)  # (B, T, 64)
        change = counts[:, :, 0] - counts[:, :, 1]
        hidden, query, key = self._compared(recent, change.cumsum(1) - change, self._of_frames(z, genre))
        key, value = (
            torch.cat([nothing.expand(z.shape[0], -1, -1).to(each.dtype), each], dim=1)
            for nothing, each in zip(self.nothing, (key, self._values(counts).to(key.dtype)), strict=True)
        )
        frame = torch.arange(n_frames, device=levels.device)
        lag = frame[:, None] - frame
        features = self._attended(hidden, query, key, value, F.pad((lag > 0) & (lag <= _MEMORY), (1, 0), value=True))
        logits = self.begins(features), self._ends(features, levels[:, :, :1])
        return sum(
            F.cross_entropy(of_event.transpose(1, 2).float(), count, reduction="none").sum(1)
            for of_event, count in zip(logits, counts.unbind(2), strict=True)
        )

    @in_full_precision
    @torch.no_grad()
    def sample(self, z: Tensor, genre: Tensor, uniform: Tensor) -> Tensor:
        """Levels (B, T, 2), in the dtype of z, drawn by `uniform` numbers in [0, 1), (B, T, 2).

        Never more notes end than sound.
        """
        of_frames, drawn = self._of_frames(z, genre), []
        recent = of_frames.new_zeros(z.shape[0], EVENTS, _RECENT)
        sounding = torch.zeros(z.shape[0], 1, dtype=torch.int64, device=z.device)
        keys, values = (nothing.expand(z.shape[0], -1, -1) for nothing in self.nothing)
        for of_frame, number in zip(of_frames.split(1, dim=1), uniform.unbind(1), strict=True):
            hidden, query, key = self._compared(recent.flatten(1)[:, None], sounding, of_frame)
            features = self._attended(hidden, query, keys, values)
            begin = _draw(self.begins(features), number[:, :1])
            end = _draw(self._ends(features, torch.log2(1 + begin)[..., None]), number[:, 1:]).minimum(sounding)
            sounding = sounding + begin - end
            counts = torch.cat([begin, end], dim=1)
            drawn.append(torch.log2(1 + counts.to(z.dtype)))
            recent = torch.cat([recent[:, :, 1:], drawn[-1][..., None]], dim=2)
            keys, values = (
                torch.cat([before[:, :1], before[:, 1:][:, 1 - _MEMORY :], new], dim=1)
                for before, new in ((keys, key), (values, self._values(counts[:, None])))
            )
        return torch.stack(drawn, dim=1)

    def _of_frames(self, z: Tensor, genre: Tensor) -> Tensor:
        """The condition of each frame, (B, T, 32)."""
        return self.spread(self.plan(z, self.genre(genre))).unflatten(2, (FRAMES_A_SECOND, -1)).flatten(1, 2)

    def _compared(self, recent: Tensor, sounding: Tensor, of_frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features of frames (B, n, hidden), and their queries and keys.

        `recent`: the levels before each, (B, n, 64). `sounding` int64 (B, n): the notes begun before that have not
        ended; real counts, being limited, may make it negative.
        """
        before = recent, torch.log2(1 + sounding.clamp_min(0))[..., None]
        hidden = F.gelu(self.recent(torch.cat([*(each.to(of_frames.dtype) for each in before), of_frames], dim=2)))
        return hidden, *self.compared(hidden).chunk(2, dim=2)

    def _values(self, counts: Tensor) -> Tensor:
        """What frames with `counts` (B, n, 2) tell to those that attend to them, (B, n, size)."""
        return self.next(counts + counts.new_tensor([0, MOST + 1])).sum(2)

    def _attended(
        self, hidden: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None
    ) -> Tensor:
        """(B, n, hidden + size). `seen` bool (n, keys): what each frame attends to, None for all."""
        heads = (each.unflatten(2, (_HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        attended = F.scaled_dot_product_attention(*heads, seen).transpose(1, 2).flatten(2)
        return torch.cat([hidden, attended], dim=2)

    def _ends(self, features: Tensor, begins: Tensor) -> Tensor:
        """Logits of the numbers of ends, (B, n, 17), given also the levels `begins` (B, n, 1) of the same frames."""
        return self.ends(torch.cat([features, begins.to(features.dtype)], dim=2))


def _draw(logits: Tensor, number: Tensor) -> Tensor:
    """A count, int64 (B, 1), from logits (B, 1, 17) by a `number` in [0, 1), (B, 1)."""
    below = logits[:, 0].softmax(1).cumsum(1)[:, :-1]
    return (number >= below).sum(1, keepdim=True)
