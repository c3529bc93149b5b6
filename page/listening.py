"""Clips to hear and to see: the first real and generated ones of each genre and T, as sound and as picture."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from audio.mp3 import encode_mp3
from audio.synthesis import TAIL_SECONDS, Renderer
from data.pianoroll import roll_notes
from evaluation.samples.clips import ClipSource
from figures.pitch_range import PitchRange, pitch_range
from page.roll_svg import note_path

REAL, GENERATED = "real", "generated"


@dataclass(frozen=True)
class Clip:
    """A clip, bool (128, T), by its number in `ClipSource.real_order` or among the generated ones.

    `audio` is a data URI, None where nothing sounds.
    """

    origin: str
    number: int
    roll: np.ndarray
    n_notes: int
    audio: str | None

    def path(self, pitches: PitchRange) -> str:
        """Its notes as data of an SVG path."""
        return note_path(self.roll, pitches)


@dataclass(frozen=True)
class Listening:
    """Clips of one T and maker by genre id. `frames`: how long their sound lasts, with the fading after the clip."""

    seq_len: int
    made_by: str
    clip_seconds: float
    frames: float
    clips: dict[int, list[Clip]]
    pitches: PitchRange


def choose_listening(
    source: ClipSource, renderer: Renderer, *, n_real: int, n_generated: int, workers: int = 0
) -> Listening:
    """The first clips of each genre, empty or not, and their sound; fewer real ones where there are no more."""
    chosen = []
    for genre_id in range(len(source.genres)):
        for origin, rolls in (
            (REAL, source.real(source.real_order(genre_id)[:n_real])),
            (GENERATED, source.generated(genre_id, 0, n_generated)),
        ):
            chosen += [(genre_id, origin, number, roll) for number, roll in enumerate(rolls)]
    rolls = [roll for *_, roll in chosen]
    sounds = _sounds(rolls, renderer, source.trained.frames_per_second, workers)
    clips: dict[int, list[Clip]] = {}
    for (genre_id, origin, number, roll), audio in zip(chosen, sounds, strict=True):
        clips.setdefault(genre_id, []).append(Clip(origin, number, roll, len(roll_notes(roll).pitch), audio))
    clip_seconds = source.seq_len / source.trained.frames_per_second
    frames = (clip_seconds + TAIL_SECONDS) * source.trained.frames_per_second
    return Listening(source.seq_len, source.facts["origin"], clip_seconds, frames, clips, pitch_range(rolls))


def _sounds(rolls: Sequence[np.ndarray], renderer: Renderer, frames_per_second: int, workers: int) -> list[str | None]:
    """An MP3 as data URI for each roll in which something sounds."""
    audible = (roll for roll in rolls if roll.any())
    audios = renderer.render_rolls(audible, frames_per_second, workers)
    return [data_uri("audio/mpeg", encode_mp3(next(audios))) if roll.any() else None for roll in rolls]


def data_uri(kind: str, content: bytes) -> str:
    """A file as an address that needs no network."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
