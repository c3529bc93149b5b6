"""Clips and pieces to play on the page: the first real and generated ones of each genre, as MP3 and piano roll."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from audio.files import HIGH_MP3_COMPRESSION, MP3_COMPRESSION, encode_mp3
from audio.synthesis import TAIL_SECONDS, Renderer
from common.errors import signals_deferred
from data.pianoroll import roll_notes
from evaluation.samples.clips import ClipSource, best_of_pieces
from evaluation.samples.songs import RealSongs
from figures.pitch_range import PitchRange, pitch_range


@dataclass(frozen=True)
class Clip:
    """A clip, bool (128, T). `origin`: "real" or "generated"; `number`: its place among those of its genre and maker.

    `made_by`: the weights, "" for a real clip. `audio` is a data URI, None for an empty clip.
    """

    origin: str
    made_by: str
    number: int
    roll: np.ndarray
    n_notes: int
    audio: str | None


@dataclass(frozen=True)
class Listening:
    """Clips of one length by genre id: the real ones, then those of each source.

    `seq_len`: T of the sources. `frames`: the length of their sound, which rings on after the clip.
    """

    seq_len: int
    clip_seconds: float
    frames: float
    clips: dict[int, list[Clip]]
    pitches: PitchRange


class _Chosen(NamedTuple):
    """A clip to render; see `Clip`."""

    genre_id: int
    origin: str
    made_by: str
    number: int
    roll: np.ndarray


def choose_listening(
    sources: Sequence[ClipSource], renderer: Renderer, n_real: int, n_generated: int, workers: int
) -> Listening:
    """Take the first clips of each genre, empty or not, and render them. There may be fewer real ones.

    `sources` share T and the real clips.
    """
    first = sources[0]
    chosen = []
    for genre_id in range(len(first.genres)):
        real = first.real.clips(genre_id, 0, n_real)
        chosen += [_Chosen(genre_id, "real", "", number, roll) for number, roll in enumerate(real)]
        for source in sources:
            generated, made_by = source.clips(genre_id, 0, n_generated), source.facts["origin"]
            chosen += [_Chosen(genre_id, "generated", made_by, number, roll) for number, roll in enumerate(generated)]
    return _render(chosen, first, renderer, workers)


def choose_pieces(sources: Sequence[ClipSource], minutes: float, renderer: Renderer, workers: int) -> Listening | None:
    """Take the first real song of each genre that lasts `minutes`, cut there, and a piece of as many by one source.

    Genres without such a song are left out; None if all are, or if no source plays pieces.
    """
    source = best_of_pieces(sources)
    n_frames = round(minutes * 60 * source.trained.frames_per_second) if source else 0
    if not n_frames:
        return None
    of_real = source.real
    songs = RealSongs(of_real.windows.store, of_real.windows.split, of_real.seed, of_real.min_note_frames, n_frames)
    chosen = []
    for genre_id in range(len(source.genres)):
        for song in songs.rolls(genre_id, 1):
            (piece,) = source.pieces(genre_id, 1, -(-n_frames // source.seq_len))[:, :, :n_frames]
            chosen.append(_Chosen(genre_id, "real", "", 0, song))
            chosen.append(_Chosen(genre_id, "generated", source.facts["origin"], 0, piece))
    return _render(chosen, source, renderer, workers, HIGH_MP3_COMPRESSION) if chosen else None


def _render(
    chosen: Sequence[_Chosen],
    source: ClipSource,
    renderer: Renderer,
    workers: int,
    compression: float = MP3_COMPRESSION,
) -> Listening:
    """Render clips of one length and the `source`'s frame rate."""
    frames_per_second, rolls = source.trained.frames_per_second, [each.roll for each in chosen]
    audio = renderer.render_rolls((roll for roll in rolls if roll.any()), frames_per_second, workers)
    clips: dict[int, list[Clip]] = {}
    for genre_id, *about, roll in chosen:
        uri = None
        if roll.any():
            sound = next(audio)
            with signals_deferred():  # the encoder calls back into Python
                uri = data_uri("audio/mpeg", encode_mp3(sound, compression))
        clips.setdefault(genre_id, []).append(Clip(*about, roll, len(roll_notes(roll).pitch), uri))
    seconds = rolls[0].shape[1] / frames_per_second
    frames = (seconds + TAIL_SECONDS) * frames_per_second
    return Listening(source.seq_len, seconds, frames, clips, pitch_range(rolls))


def data_uri(kind: str, content: bytes) -> str:
    """A file as a URI that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def note_path(roll: np.ndarray, pitches: PitchRange) -> str:
    """The notes of a roll, bool (128, T), as data of an SVG path: boxes, 1 wide per frame and 1 high per pitch."""
    notes = zip(*(field.tolist() for field in roll_notes(roll)), strict=True)
    return "".join(f"M{start} {pitches.high - 1 - pitch}h{end - start}v1h{start - end}z" for pitch, start, end in notes)
