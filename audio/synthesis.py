"""Piano rolls and MIDI files -> sound at 16 kHz, mono, the same samples for the same music every time.

    renderer = open_renderer()
    audio = renderer.render_roll(roll, frames_per_second=16)
    render_midi_to_wav(Path("song.mid"), Path("song.wav"))

All clips are rendered with the same gain. None is normalised: how loud a clip is and how long it rings is part of the
music, and scaling clips to one peak would make a single note as loud as a chord.
"""

import hashlib
import importlib.resources
import os
import wave
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
import pretty_midi

from audio.backends import Backend, FluidSynth, TinySoundFont
from audio.messages import VELOCITY, Messages, midi_messages, roll_messages
from common.errors import UserError
from common.files import written_atomically

SAMPLE_RATE = 16_000
SYNTHS = ("fluidsynth", "tinysoundfont")
TAIL_SECONDS = 1.0  # after the last frame or message, for notes to fade away
_BACKENDS = dict(zip(SYNTHS, (FluidSynth, TinySoundFont), strict=True))
# Raise it when the same roll would give other samples for another reason than those that `identity` names.
_RENDERER_VERSION = 1


class Renderer:
    """A synthesiser with a SoundFont.

    Of two renderers with the same `identity`, the same music gives the same samples, bit for bit. `synth`: name and
    version, `soundfont`: file name, `soundfont_sha256`: first twelve hexadecimal digits of its hash.
    """

    def __init__(self, backend: Backend, soundfont: str, soundfont_sha256: str) -> None:
        self._backend = backend
        self.synth, self.soundfont, self.soundfont_sha256 = backend.version, soundfont, soundfont_sha256
        self.identity = (
            f"{self.synth}, {soundfont} {soundfont_sha256}, {SAMPLE_RATE} Hz mono, gain {backend.gain}, "
            f"tail {TAIL_SECONDS:g} s, program 0, velocity {VELOCITY}, version {_RENDERER_VERSION}"
        )

    def render_roll(self, roll: np.ndarray, frames_per_second: int) -> np.ndarray:
        """Sound of a roll, bool (128, T), on the piano: float32 (n_samples,) in [-1, 1].

        n_samples is (T / frames_per_second + TAIL_SECONDS) * SAMPLE_RATE, rounded, whatever sounds in it.
        """
        messages = roll_messages(roll, frames_per_second)
        return self._play(messages, roll.shape[1] / frames_per_second + TAIL_SECONDS)

    def render_rolls(
        self, rolls: Iterable[np.ndarray], frames_per_second: int, workers: int = 0
    ) -> Iterator[np.ndarray]:
        """`render_roll` of each of `rolls`, in their order, by threads; 0 means one for each core.

        Takes only a few rolls ahead of what it has given, so that `rolls` can be any number that is made on the way.
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

    def render_midi(self, midi: Path | pretty_midi.PrettyMIDI) -> np.ndarray:
        """Sound of a whole MIDI file: all instruments and drums, with programs, pedal and bends; float32 in [-1, 1].

        It lasts until TAIL_SECONDS after the last message. Raises `UserError` where the file cannot be read.
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
    """A renderer with a synthesiser of `SYNTHS` and a SoundFont file; None is the small one that `pretty_midi` ships.

    Raises `UserError` where the synthesiser is not installed or the SoundFont cannot be read.
    """
    path = soundfont or Path(str(importlib.resources.files(pretty_midi) / pretty_midi.fluidsynth.DEFAULT_SF2))
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); name another SoundFont") from error
    if content[:4] != b"RIFF" or content[8:12] != b"sfbk":
        raise UserError(f"{path}: not a SoundFont; name a .sf2 file")
    return Renderer(_BACKENDS[synth](path, SAMPLE_RATE), path.name, hashlib.sha256(content).hexdigest()[:12])


def render_midi_to_wav(
    midi: Path | pretty_midi.PrettyMIDI, wav: Path, *, synth: str = "fluidsynth", soundfont: Path | None = None
) -> None:
    """Write the sound of a whole MIDI file (`Renderer.render_midi`) as a WAV file. Raises `UserError`."""
    write_wav(wav, open_renderer(synth, soundfont).render_midi(midi))


def write_wav(path: Path, audio: np.ndarray) -> None:
    """Write samples, float (n_samples,), as a mono WAV of 16 bits at SAMPLE_RATE; what is beyond +-1 is clipped."""
    with written_atomically(path) as output, wave.open(output, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(audio.clip(-1, 1) * 32767).astype("<i2").tobytes())
