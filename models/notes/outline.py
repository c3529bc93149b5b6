"""The outline of a window: how many notes begin and end in each frame, which is the highest, and their distribution."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..base import FRAMES_A_SECOND, PITCHES
from ..gru import in_full_precision
from .notes import onsets
from .plan import LatentPlan

_MOST = 16  # more notes that begin, or that end, together count as this many
NUMBERS = 3  # of a frame: notes that begin, notes that end, the highest key that begins
_RECENT = 32  # frames before each, by which it is compared with earlier ones
_MEMORY = 128  # earlier frames with which it is compared
_MELODY = 4  # highest keys before each frame
_NEAR = 25  # semitones between two of them; larger intervals count as this one
_HEADS = 4
_OCTAVE = 12
_OF_FRAME = 32  # numbers of the condition for each frame
_SILENT = -30.0  # logit before the first frame
IMPOSSIBLE, _CERTAIN = -1e4, 1e4  # below and above all logits
_EXCLUDED = -2e4  # below impossible ones, of which enough begin where there are no others
_LEAST = 1e-6  # logit whose probability is above one half in float32


def outline_of(roll: Tensor) -> Tensor:
    """Numbers of each frame, int64 (B, T, 3), from rolls (B, 128, T).

    The notes that begin and that end, at most 16, and the highest key that begins, 0 if none does. Notes that sound in
    the first frame begin there. A note ends in the first frame without it.
    """
    sounding = (roll != 0).transpose(1, 2)
    begins, ends = onsets(sounding), onsets(~sounding)
    ends[:, 0] = False
    highest = (begins * torch.arange(begins.shape[2], device=roll.device)).amax(2)
    return torch.stack([begins.sum(2).clamp_max(_MOST), ends.sum(2).clamp_max(_MOST), highest], dim=2)


def joined(z: Tensor, outline: Tensor, latent: int) -> Tensor:
    """Latents (B, T / 16 * latent) and an outline int64 (B, T, 3), second by second: (B, T / 16 * (latent + 48)).

    Numbers n of notes become log2(1 + n), keys octaves.
    """
    numbers = torch.cat([torch.log2(1 + outline[..., :2]), outline[..., 2:] / _OCTAVE], dim=2)
    seconds = z.unflatten(1, (-1, latent)), numbers.to(z.dtype).unflatten(1, (-1, FRAMES_A_SECOND)).flatten(2)
    return torch.cat(seconds, dim=2).flatten(1)


def parted(inputs: Tensor, latent: int) -> tuple[Tensor, Tensor]:
    """What `joined` joined: the latents of each second (B, T / 16, latent), and numbers of each frame (B, T, 3)."""
    of_second = NUMBERS * FRAMES_A_SECOND
    z, numbers = inputs.unflatten(1, (-1, latent + of_second)).split([latent, of_second], dim=2)
    return z, numbers.unflatten(2, (-1, NUMBERS)).flatten(1, 2)


def outline_from(numbers: Tensor) -> Tensor:
    """The outline, int64 (B, T, 3), of `joined`'s numbers of frames."""
    return torch.cat([torch.exp2(numbers[..., :2]) - 1, numbers[..., 2:] * _OCTAVE], dim=2).round().long()


def follow_outline(logits: Tensor, outline: Tensor) -> Tensor:
    """Logits of frames (B, T, C), changed so that notes begin and end as the `outline` int64 (B, T, 3) says.

    A cell sounds if its logit is positive. The outline's highest key begins, unless it sounds already. The others that
    begin are the silent keys below it with the largest logits, or any above if there are too few. Those that end are
    the sounding keys with the smallest logits, or all if there are fewer. Zero lies between the last of them and the
    next. Where none begins, silent keys keep the logit of the frame before; where none ends, sounding ones do.
    """
    keys, highest = torch.arange(logits.shape[2], device=logits.device), outline[:, :, 2:]
    may_begin = logits.masked_fill(keys > highest, IMPOSSIBLE).masked_fill(keys == highest, _CERTAIN)
    last, followed = torch.full_like(logits[:, 0], _SILENT), []
    for frame, candidates, numbers in zip(logits.unbind(1), may_begin.unbind(1), outline.unbind(1), strict=True):
        begin, end, _ = numbers.split(1, dim=1)
        sounds = last > 0
        begun = _first_positive(candidates.masked_fill(sounds, _EXCLUDED), begin).where(begin > 0, last)
        kept = -_first_positive((-frame).masked_fill(~sounds, _EXCLUDED), end).where(end > 0, -last)
        last = torch.where(sounds, kept, begun)
        followed.append(last)
    return torch.stack(followed, dim=1)


def _first_positive(logits: Tensor, count: Tensor) -> Tensor:
    """`logits` (B, C) less a threshold, so that the `count` (B, 1) largest are positive, also where some are equal."""
    largest, keys = logits.topk(_MOST + 1, dim=1)
    around = torch.cat([(count - 1).clamp_min(0), count], dim=1)
    over = logits - largest.gather(1, around).mean(1, keepdim=True)
    rank = torch.arange(_MOST + 1, device=logits.device)
    first = torch.zeros_like(logits, dtype=torch.bool).scatter(1, keys, rank < count)
    return torch.where(first, over.clamp_min(_LEAST), over.clamp_max(-_LEAST))


class Outline(nn.Module):
    """p(outline | z, y): each frame's numbers of `outline_of`, given the frames before it, z and the genre.

    A beat relates distant frames, chords and legato relate the ends of notes to the beginnings of others, and a melody
    relates each of its notes to those before. A generator of whole windows did not learn them from independent noise. A
    likelihood of each frame given the earlier ones does. A frame is compared with earlier ones by the 32 frames before
    both, and attends to what came next there, because music repeats.
    """

    def __init__(self, latent: int, n_genres: int, genre_size: int, hidden: int) -> None:
        """Raises `ValueError` for a `hidden` that the heads do not divide."""
        super().__init__()
        if hidden % (4 * _HEADS):
            raise ValueError(f"outline must be a multiple of {4 * _HEADS}, but is {hidden}")
        size = hidden // 4  # of queries, keys and values, all heads together
        self.genre = nn.Embedding(n_genres, genre_size)
        self.plan = LatentPlan(latent, genre_size, hidden // 2)
        self.spread = nn.Linear(hidden // 2, FRAMES_A_SECOND * _OF_FRAME)
        self.melody = nn.Embedding(_MELODY * (1 + PITCHES), size)
        self.recent = nn.Linear(2 * _RECENT + 1 + size + _OF_FRAME, hidden)
        self.compared = nn.Linear(hidden, 2 * size)
        self.next = nn.Embedding(2 * (_MOST + 1) + PITCHES, size)
        first_row = torch.tensor([0, _MOST + 1, 2 * (_MOST + 1)])  # of the three numbers in `next`
        self.register_buffer("first_row", first_row, persistent=False)
        self.nothing = nn.Parameter(torch.zeros(2, 1, 1, size))  # key and value beside those of the earlier frames
        self.begins, self.ends, self.highest = (
            nn.Sequential(nn.Linear(hidden + size + more, hidden), nn.GELU(), nn.Linear(hidden, outputs))
            for more, outputs in ((0, _MOST + 1), (1, _MOST + 1), (2, PITCHES + 2 * _NEAR + 1))
        )

    def nll(self, z: Tensor, genre: Tensor, outline: Tensor) -> Tensor:
        """-log p(outline | z, y) in nats, (B,), for z (B, T / 16 * latent), `genre` int64 (B,), `outline` (B, T, 3)."""
        n_frames, (begin, end, highest) = outline.shape[1], outline.unbind(2)
        counts = torch.log2(1 + outline[:, :, :2])
        recent = F.pad(counts, (0, 0, _RECENT, 0))[:, :-1].unfold(1, _RECENT, 1).flatten(2)  # (B, T, 64)
        sounding, melody = (begin - end).cumsum(1) - (begin - end), _melodies(begin, highest)
        hidden, query, key = self._compared(recent, sounding, melody, self._of_frames(z, genre))
        key, value = (
            torch.cat([nothing.expand(z.shape[0], -1, -1).to(each.dtype), each], dim=1)
            for nothing, each in zip(self.nothing, (key, self._values(outline).to(key.dtype)), strict=True)
        )
        frame = torch.arange(n_frames, device=z.device)
        lag = frame[:, None] - frame
        features = self._attended(hidden, query, key, value, F.pad((lag > 0) & (lag <= _MEMORY), (1, 0), value=True))
        logits = self.begins(features), self._ends(features, begin), self._highest(features, begin, end, melody)
        nll = [
            F.cross_entropy(of_event.transpose(1, 2).float(), event, reduction="none")
            for of_event, event in zip(logits, (begin, end, highest), strict=True)
        ]
        return (nll[0] + nll[1] + nll[2] * (begin > 0)).sum(1)

    @in_full_precision
    @torch.no_grad()
    def sample(self, z: Tensor, genre: Tensor, uniform: Tensor) -> Tensor:
        """An outline, int64 (B, T, 3), by `uniform` numbers in [0, 1), (B, T, 3). No more notes end than sound."""
        of_frames, drawn, batch = self._of_frames(z, genre), [], z.shape[0]
        recent = of_frames.new_zeros(batch, 2, _RECENT)
        sounding, melody = (torch.zeros(batch, n, dtype=torch.int64, device=z.device) for n in (1, _MELODY))
        keys, values = (nothing.expand(batch, -1, -1) for nothing in self.nothing)
        for of_frame, numbers in zip(of_frames.split(1, dim=1), uniform.unbind(1), strict=True):
            number = numbers.split(1, dim=1)
            hidden, query, key = self._compared(recent.flatten(1)[:, None], sounding, melody[:, None], of_frame)
            features = self._attended(hidden, query, keys, values)
            begin = _draw(self.begins(features), number[0])
            end = _draw(self._ends(features, begin), number[1]).minimum(sounding)
            highest = _draw(self._highest(features, begin, end, melody[:, None]), number[2]).where(begin > 0, 0)
            sounding = sounding + begin - end
            melody = torch.cat([melody[:, 1:], 1 + highest], dim=1).where(begin > 0, melody)
            drawn.append(torch.cat([begin, end, highest], dim=1))
            recent = torch.cat([recent[:, :, 1:], torch.log2(1 + drawn[-1][:, :2, None].to(recent.dtype))], dim=2)
            keys, values = (
                torch.cat([before[:, :1], before[:, 1:][:, 1 - _MEMORY :], new], dim=1)
                for before, new in ((keys, key), (values, self._values(drawn[-1][:, None])))
            )
        return torch.stack(drawn, dim=1)

    def _of_frames(self, z: Tensor, genre: Tensor) -> Tensor:
        """The condition of each frame, (B, T, 32)."""
        return self.spread(self.plan(z, self.genre(genre))).unflatten(2, (FRAMES_A_SECOND, -1)).flatten(1, 2)

    def _compared(
        self, recent: Tensor, sounding: Tensor, melody: Tensor, of_frames: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Features of frames (B, n, hidden), and their queries and keys.

        `recent`: log2(1 + n) of the notes that begin and end in the 32 frames before each, (B, n, 64). `sounding` int64
        (B, n): the notes begun before that have not ended; limited counts of real music may make it negative.
        `melody`: as from `_melodies`.
        """
        place = torch.arange(_MELODY, device=melody.device) * (1 + PITCHES)
        before = recent, torch.log2(1 + sounding.clamp_min(0))[..., None], self.melody(melody + place).sum(2)
        hidden = F.gelu(self.recent(torch.cat([*(each.to(of_frames.dtype) for each in before), of_frames], dim=2)))
        return hidden, *self.compared(hidden).chunk(2, dim=2)

    def _values(self, outline: Tensor) -> Tensor:
        """Values of frames with an `outline` (B, n, 3), for attention, (B, n, size)."""
        return self.next(outline + self.first_row).sum(2)

    def _attended(
        self, hidden: Tensor, query: Tensor, key: Tensor, value: Tensor, seen: Tensor | None = None
    ) -> Tensor:
        """(B, n, hidden + size). `seen` bool (n, keys): what each frame attends to, None for all."""
        heads = (each.unflatten(2, (_HEADS, -1)).transpose(1, 2) for each in (query, key, value))
        attended = F.scaled_dot_product_attention(*heads, seen).transpose(1, 2).flatten(2)
        return torch.cat([hidden, attended], dim=2)

    def _ends(self, features: Tensor, begin: Tensor) -> Tensor:
        """Logits of the numbers of ends, (B, n, 17), given also how many notes begin in the frames, `begin` (B, n)."""
        return self.ends(_with_counts(features, begin))

    def _highest(self, features: Tensor, begin: Tensor, end: Tensor, melody: Tensor) -> Tensor:
        """Logits of the highest key that begins, (B, n, 128), by the key and by its interval from the one before."""
        of_key, of_interval = self.highest(_with_counts(features, begin, end)).split([PITCHES, 2 * _NEAR + 1], dim=2)
        interval = torch.arange(PITCHES, device=melody.device) - (melody[:, :, -1:] - 1)
        return of_key + of_interval.gather(2, interval.clamp(-_NEAR, _NEAR) + _NEAR)


def _with_counts(features: Tensor, *counts: Tensor) -> Tensor:
    """Features (B, n, hidden) with log2(1 + n) for numbers n of notes, (B, n)."""
    return torch.cat([features, *(torch.log2(1 + each)[..., None].to(features.dtype) for each in counts)], dim=2)


def _melodies(begin: Tensor, highest: Tensor) -> Tensor:
    """1 + the last highest keys that began before each frame, int64 (B, T, 4), 0 where there were fewer."""
    batch, n_frames = begin.shape
    so_far = (begin > 0).cumsum(1)
    # The k-th key is in place k + 3; frames in which none begins write to the last place.
    keys = begin.new_zeros(batch, n_frames + _MELODY + 1)
    keys.scatter_(1, (so_far + _MELODY - 1).where(begin > 0, n_frames + _MELODY), 1 + highest)
    place = (so_far - (begin > 0).long())[..., None] + torch.arange(_MELODY, device=begin.device)
    return keys.gather(1, place.flatten(1)).view(batch, n_frames, _MELODY)


def _draw(logits: Tensor, number: Tensor) -> Tensor:
    """An index, int64 (B, 1), from logits (B, 1, n) by a `number` in [0, 1), (B, 1)."""
    below = logits[:, 0].softmax(1).cumsum(1)[:, :-1]
    return (number >= below).sum(1, keepdim=True)
