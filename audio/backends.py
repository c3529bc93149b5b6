"""FluidSynth and TinySoundFont behind one interface: the SoundFont is loaded once, each clip gets a new synthesiser.

A FluidSynth synthesiser that is used again gives different samples for the same notes, even after a reset. Only the
SoundFont is kept between clips: loading it takes a third of the time of a clip.
"""

import ctypes
import importlib.metadata
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from common.errors import UserError
from data.smf import CONTROL_CHANGE, NOTE_OFF, NOTE_ON, PITCH_BEND, PROGRAM_CHANGE
from data.song import DRUM_CHANNEL, PEDAL_THRESHOLD, SUSTAIN_PEDAL

CHANNELS = 16
MAX_VOICES = 256
_FLUID_WARNING = 2  # FLUID_WARN of fluidsynth/log.h
_REVERB_OFFSET = 1e-7  # FluidSynth's reverb adds a constant below this; it is removed, so that silence is all zeros


class FluidSynth:
    """FluidSynth with its default reverb and chorus. Threads render in parallel.

    `version`: name and version of the library; `gain`: its output gain. A message takes effect at the
    next block of 64 samples (4 ms at 16 kHz).
    """

    # No window of real music clips: the densest ones peak at 0.59, the median peak is 0.24.
    _GAIN = 1.0
    gain = f"{_GAIN:g}"

    def __init__(self, soundfont: Path, sample_rate: int) -> None:
        try:
            import fluidsynth as library
        except ImportError as error:
            remedy = "apt-get install libfluidsynth3 and pip install pyfluidsynth, or use the synthesiser tinysoundfont"
            raise UserError(f"FluidSynth is not installed ({error}): {remedy}") from error
        self._library = library
        self._soundfont, self._sample_rate = soundfont, sample_rate
        numbers = [ctypes.c_int() for _ in range(3)]
        library.fluid_version(*numbers)
        self.version = "FluidSynth " + ".".join(str(number.value) for number in numbers)
        pointer, integer = ctypes.c_void_p, ctypes.c_int

        def bind(name: str, *types: Any) -> Any:
            return library.cfunc(name, integer, *((f"argument_{n}", kind, 1) for n, kind in enumerate(types)))

        self._add_font = bind("fluid_synth_add_sfont", pointer, pointer)
        self._remove_font = bind("fluid_synth_remove_sfont", pointer, pointer)
        # Not fluid_synth_write_s16, which adds dither noise. Each buffer (left, right) is an address, offset and step.
        self._write = bind("fluid_synth_write_float", pointer, integer, *2 * (pointer, integer, integer))
        # Removing a SoundFont from a synthesiser logs a warning that its channels have no instrument. This silences all
        # warnings of the library in this process; errors are still logged.
        bind("fluid_set_log_function", integer, pointer, pointer)(_FLUID_WARNING, None, None)
        self._keepers: list[Any] = []
        weakref.finalize(self, lambda keepers: [keeper.delete() for keeper in keepers], self._keepers)
        self._idle_fonts = [self._load_font()]

    @contextmanager
    def synthesizer(self) -> Iterator["_FluidSynthesizer"]:
        """Open a new synthesiser, with program 0 on every channel and drums on channel 9. Threads can each hold one."""
        # One SoundFont per synthesiser at a time: FluidSynth counts references without a lock.
        try:
            font = self._idle_fonts.pop()
        except IndexError:  # no test before pop: another thread could take the last one
            font = self._load_font()
        synth = self._new_synth()
        try:
            self._add_font(synth.synth, font)
            yield _FluidSynthesizer(synth, self._write)
        finally:
            self._remove_font(synth.synth, font)
            synth.delete()
            self._idle_fonts.append(font)

    def _new_synth(self) -> Any:
        settings = {"synth.polyphony": MAX_VOICES, "synth.cpu-cores": 1}
        return self._library.Synth(self._GAIN, self._sample_rate, CHANNELS, **settings)

    def _load_font(self) -> int:
        """Load the SoundFont into a synthesiser that only keeps it alive; returns the address of the SoundFont."""
        keeper = self._new_synth()
        self._keepers.append(keeper)
        number = keeper.sfload(str(self._soundfont))
        if number < 0:
            raise UserError(f"{self._soundfont}: not a SoundFont that FluidSynth can read; name another")
        return self._library.fluid_synth_get_sfont_by_id(keeper.synth, number)


class _FluidSynthesizer:
    def __init__(self, synth: Any, write: Any) -> None:
        self._synth, self._write = synth, write

    def send(self, kind: int, channel: int, data1: int, data2: int) -> None:
        """Process a message; `kind` is one of `data.smf`. Unsupported kinds are ignored."""
        if kind == NOTE_ON:
            self._synth.noteon(channel, data1, data2)
        elif kind == NOTE_OFF:
            self._synth.noteoff(channel, data1)
        elif kind == CONTROL_CHANGE:
            self._synth.cc(channel, data1, data2)
        elif kind == PROGRAM_CHANGE:
            self._synth.program_change(channel, data1)
        elif kind == PITCH_BEND:
            self._synth.pitch_bend(channel, data2 * 128 + data1 - 8192)

    def render(self, audio: np.ndarray) -> None:
        """Fill `audio`, float32 (n,) and contiguous, with the next n samples."""
        stereo = np.empty((2, len(audio)), np.float32)
        left, right = (side.ctypes.data for side in stereo)
        self._write(self._synth.synth, len(audio), left, 0, 1, right, 0, 1)
        np.mean(stereo, axis=0, out=audio)
        audio[np.abs(audio) < _REVERB_OFFSET] = 0


class TinySoundFont:
    """TinySoundFont, without reverb and chorus. It holds Python's global lock, so threads render one after another."""

    # As loud as FluidSynth at its gain: equal root mean square on windows of real music.
    _GAIN_DECIBEL = -2.1
    gain = f"{_GAIN_DECIBEL:g} dB"

    def __init__(self, soundfont: Path, sample_rate: int) -> None:
        try:
            from tinysoundfont import _tinysoundfont as library
        except ImportError as error:
            remedy = "pip install --no-deps tinysoundfont, or use the synthesiser fluidsynth"
            raise UserError(f"TinySoundFont is not installed ({error}): {remedy}") from error
        self._library, self._sample_rate = library, sample_rate
        self.version = f"TinySoundFont {importlib.metadata.version('tinysoundfont')}"
        try:
            self._font = library.SoundFont(str(soundfont))
        except RuntimeError as error:
            raise UserError(f"{soundfont}: not a SoundFont that TinySoundFont can read; name another") from error

    @contextmanager
    def synthesizer(self) -> Iterator["_TinySynthesizer"]:
        """As `FluidSynth.synthesizer`."""
        font = self._library.SoundFont(self._font)  # a copy that shares the samples
        font.set_output(self._library.OutputMode.Mono, self._sample_rate, self._GAIN_DECIBEL)
        font.set_max_voices(MAX_VOICES)
        synth = _TinySynthesizer(font)
        for channel in range(CHANNELS):
            synth.send(PROGRAM_CHANGE, channel, 0, 0)
        yield synth


class _TinySynthesizer:
    """Adds the sustain pedal, which the library lacks: note-offs while it is down are sent when it comes up."""

    def __init__(self, font: Any) -> None:
        self._font, self._pedal_down = font, [False] * CHANNELS
        self._held: list[list[int]] = [[] for _ in range(CHANNELS)]

    def send(self, kind: int, channel: int, data1: int, data2: int) -> None:
        if kind == NOTE_ON:
            self._font.channel_note_on(channel, data1, data2 / 127)
        elif kind == NOTE_OFF and self._pedal_down[channel]:
            self._held[channel].append(data1)
        elif kind == NOTE_OFF:
            self._font.channel_note_off(channel, data1)
        elif kind == CONTROL_CHANGE and data1 == SUSTAIN_PEDAL:
            self._pedal_down[channel] = data2 >= PEDAL_THRESHOLD
            if not self._pedal_down[channel]:
                for pitch in self._held[channel]:
                    self._font.channel_note_off(channel, pitch)
                self._held[channel].clear()
        elif kind == CONTROL_CHANGE:
            self._font.channel_midi_control(channel, data1, data2)
        elif kind == PROGRAM_CHANGE:
            with suppress(RuntimeError):  # the SoundFont lacks this program: keep the previous one
                self._font.channel_set_preset_number(channel, data1, channel == DRUM_CHANNEL)
        elif kind == PITCH_BEND:
            self._font.channel_set_pitch_wheel(channel, data2 * 128 + data1)

    def render(self, audio: np.ndarray) -> None:
        self._font.render(memoryview(audio).cast("B"))
