"""Render piano rolls and MIDI files as 16 kHz mono audio, deterministically.

    renderer = open_renderer()
    audio = renderer.render_roll(roll, frames_per_second=16)
    audio = renderer.render_midi(Path("song.mid"))

All clips are rendered with the same gain and none is normalised: scaling clips to one peak would make a single note as
loud as a chord.
"""

import hashlib
import importlib.resources
import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np

from audio.backends import FluidSynth, TinySoundFont
from audio.messages import VELOCITY, Messages, midi_messages, roll_messages
from audio.options import SYNTHS
from common.errors import UserError
from common.midi_library import pretty_midi

SAMPLE_RATE = 16_000
_BACKENDS = dict(zip(SYNTHS, (FluidSynth, TinySoundFont), strict=True))
TAIL_SECONDS = 1.0  # after the last frame or message, so that notes can decay
# Raise this if the samples of a roll change for a reason that `identity` does not name.
_RENDERER_VERSION = 1


class Renderer:
    """A synthesiser with a SoundFont.

    Renderers with equal `identity` give bit-identical samples for the same music. `synth`: name and version;
    `soundfont`: file name; `soundfont_sha256`: the first 12 hexadecimal digits of its hash.
    """

    def __init__(self, backend: FluidSynth | TinySoundFont, soundfont: str, soundfont_sha256: str) -> None:
        self._backend = backend
        self.synth, self.soundfont, self.soundfont_sha256 = backend.version, soundfont, soundfont_sha256
        self.identity = (
            f"{self.synth}, {soundfont} {soundfont_sha256}, {SAMPLE_RATE} Hz mono, gain {backend.gain}, "
            f"tail {TAIL_SECONDS:g} s, program 0, velocity {VELOCITY}, version {_RENDERER_VERSION}"
        )

    def render_roll(self, roll: np.ndarray, frames_per_second: int) -> np.ndarray:
        """Render a roll, bool (128, T), as piano: float32 (n_samples,) in [-1, 1].

        n_samples = round((T / frames_per_second + TAIL_SECONDS) * SAMPLE_RATE), also for an empty roll.
        """
        messages = roll_messages(roll, frames_per_second)
        return self._play(messages, roll.shape[1] / frames_per_second + TAIL_SECONDS)

    def render_rolls(
        self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int = 0
    ) -> Iterator[np.ndarray]:
        """Yield `render_roll` of each roll, in order, with `workers` threads; 0 means one per core.

        At most `2 * workers` rolls are taken in advance, so `rolls` may be a long generator.
        """
        workers = workers or os.cpu_count() or 1
        rolls, running = iter(rolls), deque[Future[np.ndarray]]()
        with ThreadPoolExecutor(workers) as pool:
            while True:
                ahead = islice(rolls, 2 * workers - len(running))
                running.extend(pool.submit(self.render_roll, roll, frames_per_second) for roll in ahead)
                if not running:
                    return
                yield running.popleft().result()

    def render_midi(self, midi: Path) -> np.ndarray:
        """Render a MIDI file with all instruments, drums, programs, sustain pedal and pitch bends: float32 in [-1, 1].

        The audio ends TAIL_SECONDS after the last message. Raises `UserError` if the file cannot be read.
        """
        messages = midi_messages(midi)
        return self._play(messages, messages.seconds.max(initial=0.0) + TAIL_SECONDS)

    def _play(self, messages: Messages, seconds: float) -> np.ndarray:
        audio = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        samples = np.rint(messages.seconds * SAMPLE_RATE).astype(int).tolist()
        position = 0
        with self._backend.synthesizer() as synth:
            for sample, *message in zip(samples, *(field.tolist() for field in messages[1:]), strict=True):
                if sample > position:
                    synth.render(audio[position:sample])
                    position = sample
                synth.send(*message)
            synth.render(audio[position:])
        return audio.clip(-1, 1, out=audio)


def open_renderer(synth: str = "fluidsynth", soundfont: Path | None = None) -> Renderer:
    """Open a synthesiser of `SYNTHS` with a SoundFont file, by default TimGM6mb.sf2, which `pretty_midi` ships.

    Raises `UserError` if the synthesiser is not installed or the SoundFont cannot be read.
    """
    path = soundfont or Path(str(importlib.resources.files(pretty_midi) / pretty_midi.fluidsynth.DEFAULT_SF2))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name another SoundFont") from error
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise UserError(f"{path}: not a SoundFont; name a .sf2 file")
    return Renderer(_BACKENDS[synth](path, SAMPLE_RATE), path.name, hashlib.sha256(content).hexdigest()[:12])
