"""Rolls and MIDI files as audio: content, length, determinism, errors."""

import io
import os
import subprocess
import sys
import wave
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from midi_files import DRUMS, TICKS_PER_SECOND, bend, midi, off, on, pedal, program, roll_with, write

from audio.backends import FluidSynth
from audio.files import HIGH_MP3_COMPRESSION, encode_mp3, write_roll_files, write_wav
from audio.messages import midi_messages, roll_messages
from audio.options import SYNTHS
from audio.synthesis import SAMPLE_RATE, Renderer, open_renderer
from common.errors import UserError
from common.midi_library import pretty_midi
from data.pianoroll import pianoroll_to_pretty_midi
from data.smf import NOTE_OFF, NOTE_ON

ROOT = Path(__file__).resolve().parents[2]
FRAMES_PER_SECOND = 16
A4, HERTZ_OF_A4 = 69, 440.0


@pytest.fixture(scope="module", params=SYNTHS)
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return open_renderer(request.param)


def synth_of(renderer: Renderer) -> str:
    return renderer.synth.split()[0].lower()


def random_rolls(count: int, n_frames: int = 24) -> list[np.ndarray]:
    """Rolls with about five notes at a time, each two frames long or more."""
    rng = np.random.default_rng(0)
    return [np.repeat(rng.random((128, n_frames // 2)) < 0.04, 2, axis=1) for _ in range(count)]


def render(content: bytes, renderer: Renderer, folder: Path) -> np.ndarray:
    return renderer.render_midi(write(folder / "song.mid", content))


def energy(audio: np.ndarray) -> float:
    return float(np.square(audio, dtype=np.float64).sum())


def semitones_from_a4(audio: np.ndarray) -> float:
    """Pitch of the strongest frequency."""
    spectrum = np.abs(np.fft.rfft(audio * np.hanning(len(audio))))
    return 12 * np.log2(spectrum.argmax() * SAMPLE_RATE / len(audio) / HERTZ_OF_A4)


@pytest.mark.parametrize("n_frames", [1, 33, 128])
def test_length_depends_on_the_roll_shape_alone_and_silence_is_all_zeros(
    renderer: Renderer, n_frames: int, capfd: pytest.CaptureFixture[str]
) -> None:
    empty = roll_with(frames=n_frames)
    for roll in (empty, roll_with((A4, 0, 1), frames=n_frames), np.ones((128, n_frames), bool)):
        audio = renderer.render_roll(roll, FRAMES_PER_SECOND)
        assert audio.shape == (1000 * n_frames + 16_000,) and audio.dtype == np.float32
        assert np.abs(audio).max() <= 1 and audio.any() == roll.any()
    assert renderer.render_roll(empty, 8).shape == (2000 * n_frames + 16_000,)
    assert capfd.readouterr() == ("", ""), "nothing is logged"


def test_a_roll_always_gives_the_same_samples(renderer: Renderer) -> None:
    """Whatever was rendered before, by any renderer, with any number of threads."""
    rolls = random_rolls(10)
    first = [renderer.render_roll(roll, FRAMES_PER_SECOND) for roll in rolls]
    assert len({audio.tobytes() for audio in first}) == len(rolls)
    other = open_renderer(synth_of(renderer))
    assert other.identity == renderer.identity
    np.testing.assert_array_equal(other.render_roll(rolls[-1], FRAMES_PER_SECOND), first[-1])
    for workers in (0, 1, 3):
        again = list(renderer.render_rolls(reversed(rolls), FRAMES_PER_SECOND, workers))
        np.testing.assert_array_equal(again[::-1], first)


def test_few_rolls_are_taken_in_advance(renderer: Renderer) -> None:
    taken = []

    def endless() -> Iterator[np.ndarray]:
        while True:
            taken.append(None)
            yield roll_with((A4, 0, 1), frames=1)

    audio = renderer.render_rolls(endless(), FRAMES_PER_SECOND, workers=2)
    assert not taken
    for given in range(1, 7):
        next(audio)
        assert len(taken) <= given + 3
    audio.close()


def test_an_error_in_a_roll_is_raised(renderer: Renderer) -> None:
    with pytest.raises(ValueError, match="shape"):
        list(renderer.render_rolls([roll_with(), np.zeros((127, 8), bool)], FRAMES_PER_SECOND))


def test_notes_have_their_pitch_and_time(renderer: Renderer) -> None:
    for pitch in (69, 76, 81):
        audio = renderer.render_roll(roll_with((pitch, 0, 32)), FRAMES_PER_SECOND)
        assert semitones_from_a4(audio[:32_000]) == pytest.approx(pitch - A4, abs=0.3)
    audio = renderer.render_roll(roll_with((A4, 16, 24)), FRAMES_PER_SECOND)
    assert not audio[:16_000].any()
    attack, sustain, decayed = (energy(audio[first : first + 1600]) for first in (16_000, 20_000, 46_000))
    assert attack > 0 and sustain > 100 * decayed


def test_energy_grows_with_notes_and_velocity(renderer: Renderer, tmp_path: Path) -> None:
    chords = [roll_with(*((pitch, 0, 16) for pitch in pitches)) for pitches in ((60,), (60, 64), (60, 64, 67))]
    one, two, three = (energy(renderer.render_roll(roll, FRAMES_PER_SECOND)) for roll in chords)
    assert 0 < one < two < three
    notes = [midi([on(0, 60, velocity), off(480, 60)]) for velocity in (20, 80, 127)]
    soft, medium, loud = (energy(render(content, renderer, tmp_path)) for content in notes)
    assert 0 < 2 * soft < medium < loud / 2


def test_programs_and_drums(renderer: Renderer, tmp_path: Path) -> None:
    notes, drums = [on(0, 60), off(960, 60)], [on(0, 60, channel=DRUMS), off(960, 60, DRUMS)]
    songs = {
        "piano": midi(notes),
        "organ": midi([program(0, 19), *notes]),
        "organ, later": midi([on(0, 60), off(480, 60), program(0, 19), on(0, 60), off(480, 60)]),
        "drums": midi(drums),
        "piano and drums": midi(notes, drums),
    }
    audio = {name: render(content, renderer, tmp_path) for name, content in songs.items()}
    assert len({sound.tobytes() for sound in audio.values()}) == len(songs)
    mixed = audio["piano"] + audio["drums"]
    assert np.corrcoef(mixed, audio["piano and drums"])[0, 1] > 0.99
    np.testing.assert_array_equal(audio["organ, later"][:7900], audio["piano"][:7900])


def test_pedal_and_bends(renderer: Renderer, tmp_path: Path) -> None:
    def note(before: mido.Message, after: mido.Message) -> np.ndarray:
        return render(midi([before, on(0, A4), off(240, A4), after, pedal(1440, 0)]), renderer, tmp_path)

    up, down = pedal(0, 0), pedal(0, 127)
    plain, held, released, too_late = note(up, up), note(down, down), note(down, up), note(up, down)
    while_down, at_last = slice(12_000, 24_000), slice(40_000, 44_000)
    assert energy(held[while_down]) > 10 * energy(plain[while_down])
    assert energy(held[at_last]) < energy(held[while_down]) / 1000
    np.testing.assert_array_equal(released, plain)
    np.testing.assert_array_equal(too_late, plain)
    assert semitones_from_a4(note(bend(0, 8191), up)[:4000]) == pytest.approx(2, abs=0.3)


def test_a_roll_sounds_like_its_midi_file(renderer: Renderer, tmp_path: Path) -> None:
    """Frames are whole ticks and whole samples, so the samples are equal up to the last message and its decay."""
    for roll in random_rolls(3):
        pianoroll_to_pretty_midi(roll).write(str(tmp_path / "roll.mid"))
        audio = renderer.render_midi(tmp_path / "roll.mid")
        assert len(audio) == 1000 * (np.flatnonzero(roll.any(axis=0))[-1] + 1) + 16_000
        np.testing.assert_array_equal(audio, renderer.render_roll(roll, FRAMES_PER_SECOND)[: len(audio)])


def test_fluidsynth_sounds_like_pretty_midi() -> None:
    """For clips that begin with a note; after silence the internal blocks of 64 samples are aligned differently."""
    roll = roll_with((60, 0, 8), (64, 4, 20), (67, 12, 32))
    theirs = pianoroll_to_pretty_midi(roll).fluidsynth(fs=SAMPLE_RATE)
    ours = open_renderer("fluidsynth").render_roll(roll, FRAMES_PER_SECOND)
    assert len(theirs) == len(ours)
    assert np.corrcoef(ours, theirs)[0, 1] > 0.999


def test_the_synthesizers_are_equally_loud_but_have_different_identities() -> None:
    renderers = [open_renderer(synth) for synth in SYNTHS]
    rolls = random_rolls(4)
    loud = [sum(energy(renderer.render_roll(roll, FRAMES_PER_SECOND)) for roll in rolls) for renderer in renderers]
    assert 0.7 < loud[0] / loud[1] < 1.4
    assert renderers[0].identity != renderers[1].identity


def test_messages_of_a_roll() -> None:
    messages = roll_messages(roll_with((64, 0, 3), (60, 3, 4), (64, 5, 32)), FRAMES_PER_SECOND)
    expected = [
        (0, NOTE_ON, 0, 64, 80),
        (3 / 16, NOTE_ON, 0, 60, 80),
        (3 / 16, NOTE_OFF, 0, 64, 0),
        (4 / 16, NOTE_OFF, 0, 60, 0),
        (5 / 16, NOTE_ON, 0, 64, 80),
        (2, NOTE_OFF, 0, 64, 0),
    ]
    assert list(zip(*(field.tolist() for field in messages), strict=True)) == expected


def test_messages_of_tracks_are_merged_in_time(tmp_path: Path) -> None:
    path = write(tmp_path / "two.mid", midi([on(0, 60), off(480, 60)], [on(240, 70, 90, 1), on(960, 70, 0, 1)]))
    messages = midi_messages(path)
    assert messages.seconds.tolist() == [0, 0.25, 0.5, 1.25]
    assert messages.kind.tolist() == [NOTE_ON, NOTE_ON, NOTE_OFF, NOTE_OFF]
    assert messages.channel.tolist() == [0, 1, 0, 1]
    assert messages.data1.tolist() == [60, 70, 60, 70]


def test_wav_is_clipped_and_written_atomically(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    write_wav(path, np.array([0, 0.5, 1, -1, 1.5, -7], np.float32))
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, SAMPLE_RATE)
        assert np.frombuffer(file.readframes(6), "<i2").tolist() == [0, 16384, 32767, -32767, 32767, -32767]
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        write_wav(path, None)
    assert path.read_bytes() == before


def test_files_of_rolls(tmp_path: Path) -> None:
    rolls = {"one": roll_with((A4, 0, 8)), "none": roll_with()}
    assert write_roll_files(tmp_path / "midi", rolls, 16) == [tmp_path / "midi/one.mid", tmp_path / "midi/none.mid"]
    paths = write_roll_files(tmp_path / "both", rolls, 16, open_renderer("tinysoundfont"))
    assert [path.name for path in paths] == ["one.mid", "none.mid", "one.wav", "none.wav"]
    assert sorted((tmp_path / "both").glob("[!.]*")) == sorted(paths)
    for path, sounds in zip(paths[2:], (True, False), strict=True):
        with wave.open(str(path)) as file:
            assert file.getnframes() == 48_000
            assert any(file.readframes(48_000)) == sounds


def test_no_file_of_rolls_is_written_where_one_cannot_be(tmp_path: Path) -> None:
    rolls = dict.fromkeys(("one", "two"), np.zeros((128, 32), bool))
    (tmp_path / "two.wav").write_text("by hand")
    with pytest.raises(UserError, match=r"two\.wav: exists, and no program of ours wrote it"):
        write_roll_files(tmp_path, rolls, 16, open_renderer("tinysoundfont"))
    assert [path.name for path in tmp_path.iterdir()] == ["two.wav"]
    assert len(write_roll_files(tmp_path, rolls, 16)) == 2, "no WAV file is written, so none is checked"


def test_identity_names_what_the_samples_depend_on(renderer: Renderer, tmp_path: Path) -> None:
    assert renderer.soundfont == "TimGM6mb.sf2" and len(renderer.soundfont_sha256) == 12
    for fact in (renderer.synth, renderer.soundfont, renderer.soundfont_sha256, "16000 Hz", "gain", "velocity 80"):
        assert fact in renderer.identity
    content = bytearray((Path(pretty_midi.__file__).parent / "TimGM6mb.sf2").read_bytes())
    content[content.index(b"INAM") + 8] += 1  # the first letter of its title
    other = open_renderer(synth_of(renderer), write(tmp_path / "other.sf2", content))
    assert other.soundfont == "other.sf2" and other.soundfont_sha256 != renderer.soundfont_sha256
    assert other.identity != renderer.identity


def test_a_missing_library_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    remedies = "apt-get install libfluidsynth3 and pip install pyfluidsynth", "pip install --no-deps tinysoundfont"
    for synth, remedy in zip(SYNTHS, remedies, strict=True):
        monkeypatch.setitem(sys.modules, synth, None)  # its import fails
        with pytest.raises(UserError, match=f"is not installed .*{remedy}"):
            open_renderer(synth)


def test_an_unusable_soundfont_is_reported(renderer: Renderer, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none.sf2: cannot be read \(No such file or directory\); name"):
        open_renderer(synth_of(renderer), tmp_path / "none.sf2")
    with pytest.raises(UserError, match=r"text.sf2: not a SoundFont; name a .sf2 file"):
        open_renderer(synth_of(renderer), write(tmp_path / "text.sf2", b"This is no SoundFont."))
    with pytest.raises(UserError, match=r"cut.sf2: not a SoundFont that \w+ can read; name another"):
        open_renderer(synth_of(renderer), write(tmp_path / "cut.sf2", b"RIFF\0\0\0\0sfbkLIST"))


def test_an_unusable_midi_file_is_reported(renderer: Renderer, tmp_path: Path) -> None:
    song = midi([on(0, 60), off(480, 60)])
    long = midi([on(0, 60), off(3601 * TICKS_PER_SECOND, 60)])
    for name, content, reason in (
        ("none.mid", None, "cannot be read"),
        ("text.mid", b"This is no MIDI file.", "not a MIDI file"),
        ("cut.mid", song[:-6], "truncated"),
        ("long.mid", long, "lasts 60 minutes, more than the 60"),
    ):
        if content is not None:
            write(tmp_path / name, content)
        with pytest.raises(UserError, match=f"{name}: {reason}"):
            renderer.render_midi(tmp_path / name)


def test_a_loaded_soundfont_is_reused() -> None:
    """One SoundFont per concurrent synthesiser, not per clip."""
    backend = FluidSynth(Path(pretty_midi.__file__).parent / "TimGM6mb.sf2", SAMPLE_RATE)
    for _ in range(3):
        with backend.synthesizer(), backend.synthesizer():
            assert len(backend._keepers) == 2
            assert not backend._idle_fonts
    assert len(backend._idle_fonts) == 2


def test_mp3_is_small_and_sounds_the_same() -> None:
    seconds = np.arange(4 * 16_000) / 16_000
    audio = (0.3 * np.sin(2 * np.pi * 440 * seconds) * np.exp(-seconds)).astype(np.float32)
    content = encode_mp3(audio)
    assert len(content) < 0.25 * 2 * len(audio)
    decoded, rate = soundfile.read(io.BytesIO(content))
    assert rate == 16_000 and len(decoded) == pytest.approx(len(audio), abs=1200)
    n_samples = min(len(audio), len(decoded))
    assert np.corrcoef(audio[:n_samples], decoded[:n_samples])[0, 1] > 0.99
    assert encode_mp3(audio) == content
    noise = np.random.default_rng(0).normal(0, 0.1, len(audio)).astype(np.float32)
    assert len(encode_mp3(noise, HIGH_MP3_COMPRESSION)) < 0.8 * len(encode_mp3(noise))


def test_nothing_is_printed_where_the_variable_ci_is_set() -> None:
    """pyfluidsynth then prints the place of its library to standard output, where programs print results."""
    words = [sys.executable, "-c", "import audio.synthesis, fluidsynth, sys; print('fluidsynth' in sys.modules)"]
    done = subprocess.run(words, cwd=ROOT, env={**os.environ, "CI": "true"}, capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
