"""generate.py on random weights: names and content of files, and error messages."""

import os
import wave
from pathlib import Path

import matplotlib.image
import numpy as np
import pretty_midi
import pytest
import torch
from midi_files import example_song, roll_of, write
from weights import save_weights

import generate as script
from audio.synthesis import open_renderer
from common.errors import run_command
from common.files import save_plain
from common.options import parse_options
from data.song import read_song
from data.song_windows import read_song_windows
from evaluation.samples.sampling import interpolate, play_latents, sample_noise
from generate import generate
from generation.music import SOURCES, Options, load_encoder, load_player
from models import CVAE, Critic, Generator
from models.checkpoint import CheckpointError, weights_content

GENRES = ["Classical", "jazz", "R&B / soul"]
BIAS = torch.full((128,), -100.0)
BIAS[65:81] = -1.5
FIRST_COLOR = (0x1F, 0x5F, 0x99)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random hybrid weights for T = 32 and a generator for T = 128, which play in one octave and a third."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for seq_len in (32, 128):
        facts = {"genres": GENRES, "frames_per_second": 16, "seq_len": seq_len}
        model = Generator(len(GENRES), seq_len, hidden=8)
        with torch.no_grad():
            model.roll.weight.mul_(8)
            model.roll.bias.copy_(BIAS.repeat(seq_len))
        save_weights(model, folder / f"hybrid_G_best_T{seq_len}.pth", **facts)
    with torch.no_grad():
        model.roll.bias.fill_(-100.0)
    save_weights(model, folder / "silent.pth", **facts)
    facts["seq_len"] = 32
    cvae = CVAE(len(GENRES), hidden=8)
    with torch.no_grad():
        cvae.frame.weight.mul_(8)
        cvae.frame.bias.copy_(BIAS)
        cvae.mean.weight.mul_(10)
    save_weights(cvae, folder / "hybrid_cvae_best_T32.pth", **facts)
    save_weights(CVAE(len(GENRES), latent=8), folder / "small_cvae.pth", **facts)
    save_weights(Critic(len(GENRES), 32), folder / "critic.pth", **facts)
    save_plain(weights_content(Generator(2, 32), {"seq_len": 32}), folder / "no_genres.pth")
    with torch.no_grad():
        model.roll.bias[3] = torch.nan
    save_weights(model, folder / "nan.pth", **facts)
    return folder


@pytest.fixture
def options(checkpoints: Path, tmp_path: Path) -> dict[str, object]:
    how = {"source": "generator", "seq_len": 32, "count": 3}
    return {"checkpoints": checkpoints, "output": tmp_path / "samples", **how}


@pytest.fixture
def no_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the picture, to save time."""
    monkeypatch.setattr(script, "save_roll_sheet", lambda *args, **options: None)


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, Path]:
    """Chords below that octave, and a melody in it."""
    return tuple(write(tmp_path / f"{name}.mid", example_song(style, 0, 5)) for style, name in enumerate("ab"))


def read_roll(path: Path, n_frames: int) -> np.ndarray:
    return roll_of(pretty_midi.PrettyMIDI(str(path)), n_frames)


def read_wav(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767


def has_color(path: Path, color: tuple[int, int, int]) -> bool:
    image = (matplotlib.image.imread(path)[:, :, :3] * 255).round().astype(int)
    return bool((image == color).all(axis=2).any())


def error_line(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that fails with exit code 2."""
    with pytest.raises(SystemExit) as stopped:
        run_command(lambda: generate(parse_options(Options, "", list(map(str, arguments)))), CheckpointError)
    assert stopped.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_every_genre_by_default(options: dict, capsys: pytest.CaptureFixture[str]) -> None:
    *files, sheet = generate(Options(**options))
    names = [f"{genre}_T32_seed0_00{number}.mid" for genre in ("classical", "jazz", "r_b_soul") for number in range(3)]
    assert [path.name for path in files] == names
    assert sorted(path.name for path in options["output"].iterdir()) == sorted([*names, "sheet_T32_seed0.png"])
    assert sheet.name == "sheet_T32_seed0.png"
    assert has_color(sheet, FIRST_COLOR)
    model = load_player(Options(**options), "generator", SOURCES).model
    for genre_id in range(3):
        expected = play_latents(model, sample_noise(0, 3, model.latent, 0), [genre_id] * 3, 32).numpy()
        assert 0.01 < expected.mean() < 0.05
        for number, roll in enumerate(expected):
            np.testing.assert_array_equal(read_roll(files[3 * genre_id + number], 32), roll)
    header, *rows = capsys.readouterr().out.splitlines()[:4]
    assert header.split() == ["genre", "clips", "empty", "notes/clip", "polyphony"]
    assert rows[2].startswith("R&B / soul")
    *_, n_clips, n_empty, notes, polyphony = rows[2].split()
    assert (n_clips, n_empty) == ("3", "0")
    midis = [pretty_midi.PrettyMIDI(str(path)) for path in files[6:]]
    assert float(notes) == pytest.approx(np.mean([len(midi.instruments[0].notes) for midi in midis]), abs=0.06)
    assert float(polyphony) == pytest.approx(expected.sum(axis=1).mean(), abs=0.006)


@pytest.mark.usefixtures("no_sheet")
def test_a_clip_depends_on_its_seed_and_number_alone(options: dict, tmp_path: Path) -> None:
    def contents(**changes: object) -> dict[str, bytes]:
        *files, _ = generate(Options(**{**options, "output": tmp_path / str(len(changes)), **changes}))
        return {path.name: path.read_bytes() for path in files}

    clips = contents(windows=2)
    assert len(set(clips.values())) == len(clips)
    assert contents(windows=2, batch_size=1) == clips
    assert contents(windows=2, batch_size=5, count=3) == clips
    fewer = contents(windows=2, count=1, genre="jazz", seed=0)
    assert fewer == {"jazz_T32x2_seed0_000.mid": clips["jazz_T32x2_seed0_000.mid"]}
    other = contents(windows=2, seed=1)
    assert not set(other.values()) & set(clips.values())


@pytest.mark.usefixtures("no_sheet")
def test_windows_are_joined_to_a_longer_piece(options: dict) -> None:
    one, *_ = generate(Options(**options, genre="jazz"))
    three, *_ = generate(Options(**options, genre="jazz", windows=3))
    assert three.name == "jazz_T32x3_seed0_000.mid"
    parts = np.split(read_roll(three, 96), 3, axis=1)
    np.testing.assert_array_equal(parts[0], read_roll(one, 32))
    shares = [(part != parts[0]).mean() for part in parts]
    assert min(shares[1:]) > 0
    same, *_ = generate(Options(**options, genre="jazz", windows=3, correlation=1.0))
    np.testing.assert_array_equal(read_roll(same, 96), np.tile(parts[0], 3))


def test_empty_clips_are_counted(options: dict, checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *files, sheet = generate(Options(**options, genre="jazz", checkpoint=checkpoints / "silent.pth"))
    assert [path.name for path in files] == [f"jazz_T128_seed0_00{number}.mid" for number in range(3)]
    assert not read_roll(files[0], 128).any()
    out = capsys.readouterr().out
    assert ["jazz", "3", "3", "0", "0"] in [line.split() for line in out.splitlines()]
    assert "3 of the 3 MIDI files have no notes, because nothing sounds there" in out
    assert sheet.is_file()
    assert not has_color(sheet, FIRST_COLOR)


@pytest.mark.usefixtures("no_sheet")
def test_wav_files(options: dict, checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renderer = open_renderer("tinysoundfont")
    options |= {"wav": True, "synth": "tinysoundfont", "genre": "jazz"}
    *files, _ = generate(Options(**options))
    names = [f"jazz_T32_seed0_00{number}" for number in range(3)]
    assert [path.name for path in files] == [f"{name}.mid" for name in names] + [f"{name}.wav" for name in names]
    assert "3 MIDI files, each with a WAV file, and sheet_T32_seed0.png shows them" in capsys.readouterr().out
    for midi_path, wav_path in zip(files[:3], files[3:], strict=True):
        expected = renderer.render_roll(read_roll(midi_path, 32), 16)
        np.testing.assert_allclose(read_wav(wav_path), expected, atol=1 / 32767)
        assert len(expected) == 48_000
    *_, wav_path, _ = generate(Options(**options, checkpoint=checkpoints / "silent.pth"))
    silence = read_wav(wav_path)
    assert len(silence) == 144_000
    assert not silence.any()


def test_reconstruction(options: dict, songs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    original, reconstructed, sheet = generate(Options(**options, genre="jazz", reconstruct=songs[1]))
    assert [path.name for path in (original, reconstructed)] == ["b_original.mid", "b_reconstructed.mid"]
    assert has_color(sheet, FIRST_COLOR)
    frames = np.unpackbits(read_song(songs[1]).frames, axis=1).T > 0
    n_frames = frames.shape[1]
    assert n_frames % 32
    truth, found = (read_roll(path, n_frames) for path in (original, reconstructed))
    np.testing.assert_array_equal(truth, frames)
    assert found.any()
    f1 = 2 * (truth & found).sum() / (truth.sum() + found.sum())
    assert f1 > 0
    assert f"frame F1 {f1:.3f} over {n_frames} frames in {n_frames // 32 + 1} windows" in capsys.readouterr().out


def test_interpolation(options: dict, songs: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    *files, sheet = generate(Options(**options, genre="jazz", interpolate=songs, steps=4))
    names = [f"a_to_b_T32_{model}_00{step}.mid" for model in ("G", "cvae") for step in range(4)]
    assert [path.name for path in files] == names
    assert has_color(sheet, FIRST_COLOR)
    rolls = [read_roll(path, 32) for path in files]
    assert all((rolls[step] != rolls[step + 1]).any() for step in (0, 1, 2))
    # A step away from A is a step nearer to B, and the way back is the same way.
    assert (rolls[0] != rolls[1]).sum() < (rolls[0] != rolls[3]).sum()
    monkeypatch.setattr(script, "save_roll_sheet", lambda *args, **options: None)
    *back, _ = generate(Options(**options, genre="jazz", interpolate=songs[::-1], steps=4))
    np.testing.assert_array_equal(read_roll(back[0], 32), rolls[3])
    np.testing.assert_array_equal(read_roll(back[3], 32), rolls[0])


@pytest.mark.usefixtures("no_sheet")
def test_interpolation_by_default_is_played_by_the_generator_and_by_the_cvae(
    songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weights that come with the repository."""
    monkeypatch.chdir(tmp_path)
    options = Options(interpolate=songs, genre="1")
    *files, _ = generate(options)
    rolls = [read_roll(path, 128) for path in files]
    assert [path.name for path in files] == [f"a_to_b_T128_{by}_00{n}.mid" for by in ("G", "cvae") for n in range(8)]
    assert not any((by_g == by_cvae).all() for by_g, by_cvae in zip(rolls[:8], rolls[8:], strict=True))
    ends = []
    for song in songs:
        batch, _ = read_song_windows(song, 128, 1, frames_per_second=16)
        with torch.no_grad():
            ends.append(load_encoder(options, 128).model.encode(*batch).mean[0])
    generator = load_player(options, "generator", SOURCES).model
    expected = play_latents(generator, interpolate(*ends, 8), [1] * 8, 128)
    np.testing.assert_array_equal(rolls[:8], expected)


def test_errors_are_one_line(
    options: dict, checkpoints: Path, songs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(*arguments: object) -> str:
        return error_line(capsys, *arguments)

    assert f"{tmp_path}/hybrid_cvae_best_T64.pth: no such checkpoint; run train_hybrid.py first" in error(
        "--checkpoints", tmp_path, "--seq-len", 64
    )
    nowhere = ("--checkpoints", tmp_path, "--seq-len", 64, "--source", "generator")
    assert "hybrid_G_best_T64.pth: no such" in error(*nowhere)
    known = ("--checkpoints", checkpoints, "--seq-len", 32, "--output", options["output"], "--source", "generator")
    assert "critic.pth: holds critic, but generator or cvae is" in error("--checkpoint", checkpoints / "critic.pth")
    assert "no_genres.pth: damaged or of another" in error("--checkpoint", checkpoints / "no_genres.pth")
    assert "nan.pth: its weights are not finite (roll.bias)" in error("--checkpoint", checkpoints / "nan.pth")
    assert "a.mid: not a readable checkpoint" in error("--checkpoint", songs[0])
    assert "music of one genre: choose one of Classical, jazz, R&B / soul" in error(*known, "--reconstruct", songs[0])
    assert "one genre" in error(*known, "--interpolate", *songs, "--genre", "jazz,0")
    assert "give only one of" in error(*known, "--interpolate", *songs, "--reconstruct", songs[0])
    assert "none.mid: cannot be read" in error(*known, "--genre", 1, "--reconstruct", tmp_path / "none.mid")
    small = ("--cvae", checkpoints / "small_cvae.pth")
    assert "differ in genres or latents" in error(*known, *small, "--genre", 1, "--interpolate", *songs)
    assert "--correlation must be at most 1, but is 1.5" in error(*known, "--correlation", 1.5)
    assert f"{songs[0]}: File exists" in error(*known, "--output", songs[0])
    assert "none.sf2: cannot be read" in error(*known, "--wav", "--soundfont", tmp_path / "none.sf2")
    assert "invalid choice: 'organ'" in error(*known, "--synth", "organ")
    assert not options["output"].exists()


@pytest.mark.parametrize("name", [b"caf\xe9.mid", b"n" * 251 + b".mid"], ids=["not UTF-8", "long"])
def test_odd_names_of_files(name: bytes, options: dict, songs: tuple[Path, Path]) -> None:
    odd = songs[0].rename(Path(os.fsdecode(os.fsencode(songs[0].parent) + b"/" + name)))
    original, reconstructed, sheet = generate(Options(**options, genre="jazz", reconstruct=odd))
    start = {b"caf\xe9.mid": "caf_udce9", b"n" * 251 + b".mid": "n" * 60}[name]
    assert (original.name, reconstructed.name) == (f"{start}_original.mid", f"{start}_reconstructed.mid")
    assert reconstructed.is_file() and sheet.name == f"{start}_T32_sheet.png" and sheet.stat().st_size > 1000
