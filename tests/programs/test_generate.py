"""generate.py on random weights: names and content of files, and error messages."""

import os
import shutil
import wave
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch
from midi_files import example_song, roll_of, write
from weights import save_weights

from audio.synthesis import open_renderer
from common.errors import run_command
from common.genres import genre_file_names
from common.midi_library import pretty_midi
from common.options import parse_options
from common.text import short_name
from data.song import read_song
from data.song_windows import read_song_windows
from evaluation.options import SOURCES
from evaluation.samples.sampling import interpolate, play_latents, sample_noise
from generate import generate
from generation.music import load_encoder, load_player
from generation.options import Options
from models import CVAE, Critic, Generator
from models.checkpoint import CheckpointError

GENRES = ["Classical", "jazz", "R&B / soul"]
BIAS = torch.full((128,), -100.0)
BIAS[65:81] = -1.5
FIRST_COLOR = (0x1F, 0x5F, 0x99)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random hybrid weights for T = 32 and a generator for T = 128, which play in one octave and a third."""
    folder = tmp_path_factory.mktemp("weights") / "own"
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
    return folder


@pytest.fixture
def options(checkpoints: Path, tmp_path: Path) -> dict[str, object]:
    how = {"source": "generator", "seq_len": 32, "count": 3}
    return {"checkpoints": checkpoints, "output": tmp_path / "samples", **how}


@pytest.fixture
def no_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the picture, to save time."""
    monkeypatch.setattr("generation.files.save_roll_sheet", lambda *args, **options: None)


@pytest.fixture
def songs(tmp_path: Path) -> tuple[Path, Path]:
    """Chords below that octave, and a melody in it."""
    return tuple(write(tmp_path / f"{name}.mid", example_song(style, 0, 5)) for style, name in enumerate("ab"))


def read_roll(path: Path, n_frames: int) -> np.ndarray:
    return roll_of(pretty_midi.PrettyMIDI(str(path)), n_frames)


def has_color(path: Path, color: tuple[int, int, int]) -> bool:
    image = (matplotlib.image.imread(path)[:, :, :3] * 255).round().astype(int)
    return bool((image == color).all(axis=2).any())


def test_every_genre_by_default(options: dict, capsys: pytest.CaptureFixture[str]) -> None:
    *files, sheet = generate(Options(**options))
    genres = "classical", "jazz", "r_b_soul"
    names = [f"{genre}_own_generator_T32_seed0_00{number}.mid" for genre in genres for number in range(3)]
    assert [path.name for path in files] == names
    assert sheet.name == "sheet_own_generator_T32_seed0.png"
    assert has_color(sheet, FIRST_COLOR)
    model = load_player(Options(**options), "generator", SOURCES).model
    for genre_id in range(3):
        expected = play_latents(model, sample_noise(0, 3, model.latent, 0), [genre_id] * 3, 32).numpy()
        assert 0.01 < expected.mean() < 0.05
        for number, roll in enumerate(expected):
            np.testing.assert_array_equal(read_roll(files[3 * genre_id + number], 32), roll)
    *name, n_clips, n_empty, notes, polyphony = capsys.readouterr().out.splitlines()[3].split()
    assert (" ".join(name), n_clips, n_empty) == ("R&B / soul", "3", "0")
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
    fewer = contents(windows=2, count=1, genre="jazz", seed=0)
    (name,) = fewer
    assert name == "jazz_own_generator_T32x2_seed0_000.mid" and fewer[name] == clips[name]


@pytest.mark.usefixtures("no_sheet")
def test_other_results_have_other_names(
    options: dict, songs: tuple[Path, Path], checkpoints: Path, tmp_path: Path
) -> None:
    one = {"genre": "jazz", "count": 1}
    long = checkpoints / "hybrid_G_best_T128.pth"
    runs = [one, one | {"genre": "Classical"}, one | {"source": "cvae"}, one | {"seed": 1}, one | {"windows": 2},
            one | {"checkpoint": long}, one | {"checkpoint": checkpoints / "silent.pth"}]  # fmt: skip
    of_file = {"reconstruct": songs[1], "genre": "jazz"}
    runs += [of_file, of_file | {"genre": "Classical"}, of_file | {"cvae": checkpoints / "small_cvae.pth"}]
    long_names = [tmp_path / f"{'a' * 80}{number}.mid" for number in range(2)]
    for path, song in zip(long_names, songs, strict=True):
        shutil.copy(song, path)
    runs += [of_file | {"reconstruct": path} for path in long_names]
    names = [path.name for run in runs for path in generate(Options(**{**options, **run}))]
    assert len(set(names)) == len(names)


def test_files_of_genres_have_names_of_their_own() -> None:
    assert genre_file_names(["R&B", "x"]) == ["r_b", "x"]
    odd = genre_file_names(["x!", "x?", "x__0", "\u97f3" * 99, "\u97f3" * 98])
    assert len(set(odd)) == 5 and max(len(name.encode()) for name in odd) < 80


@pytest.mark.usefixtures("no_sheet")
def test_windows_are_joined_to_a_longer_piece(options: dict) -> None:
    one, *_ = generate(Options(**options, genre="jazz"))
    three, *_ = generate(Options(**options, genre="jazz", windows=3))
    assert three.name == "jazz_own_generator_T32x3_seed0_000.mid"
    parts = np.split(read_roll(three, 96), 3, axis=1)
    np.testing.assert_array_equal(parts[0], read_roll(one, 32))
    assert all((part != parts[0]).any() for part in parts[1:])
    same, *_ = generate(Options(**options, genre="jazz", windows=3, correlation=1.0))
    np.testing.assert_array_equal(read_roll(same, 96), np.tile(parts[0], 3))


def test_empty_clips_are_counted(options: dict, checkpoints: Path, capsys: pytest.CaptureFixture[str]) -> None:
    *files, sheet = generate(Options(**options, genre="jazz", checkpoint=checkpoints / "silent.pth"))
    assert not read_roll(files[0], 128).any()
    out = capsys.readouterr().out
    assert ["jazz", "3", "3", "0", "0"] in [line.split() for line in out.splitlines()]
    assert "3 of the 3 MIDI files have no notes, because nothing sounds there" in out
    assert not has_color(sheet, FIRST_COLOR)


@pytest.mark.usefixtures("no_sheet")
def test_wav_files(options: dict) -> None:
    options |= {"wav": True, "synth": "tinysoundfont", "genre": "jazz"}
    *files, _ = generate(Options(**options))
    names = [f"jazz_own_generator_T32_seed0_00{number}" for number in range(3)]
    assert [path.name for path in files] == [f"{name}.mid" for name in names] + [f"{name}.wav" for name in names]
    for midi_path, wav_path in zip(files[:3], files[3:], strict=True):
        expected = open_renderer("tinysoundfont").render_roll(read_roll(midi_path, 32), 16)
        with wave.open(str(wav_path)) as file:
            sound = np.frombuffer(file.readframes(file.getnframes()), "<i2") / 32767
        np.testing.assert_allclose(sound, expected, atol=1 / 32767)


def test_reconstruction(options: dict, songs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    original, reconstructed, sheet = generate(Options(**options, genre="jazz", reconstruct=songs[1]))
    stem = "b_jazz_own_cvae_T32_seed0"
    assert [path.name for path in (original, reconstructed)] == [f"{stem}_original.mid", f"{stem}_reconstructed.mid"]
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


@pytest.mark.usefixtures("no_sheet")
def test_interpolation_is_played_by_the_generator_and_by_the_cvae(
    songs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weights that come with the repository."""
    monkeypatch.chdir(tmp_path)
    options = Options(interpolate=songs, genre="1")
    *files, _ = generate(options)
    rolls = [read_roll(path, 128) for path in files]
    networks = [f"a_to_b_jazz_large_{kind}_T128_seed0" for kind in ("generator", "cvae")]
    assert [path.name for path in files] == [f"{network}_00{n}.mid" for network in networks for n in range(8)]
    ends = []
    for song in songs:
        batch, _ = read_song_windows(song, 128, 1, frames_per_second=16)
        with torch.no_grad():
            ends.append(load_encoder(options, 128).model.encode(*batch).mean[0])
    generator = load_player(options, "generator", SOURCES).model
    chances = [("feedback", 0, 0)] * 8  # the same at every step: z alone changes
    expected = play_latents(generator, interpolate(*ends, 8), [1] * 8, 128, chances=chances)
    np.testing.assert_array_equal(rolls[:8], expected)


def test_errors_are_one_line(
    options: dict, checkpoints: Path, songs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song, output = songs[0], ("--output", options["output"])
    nowhere = ("--checkpoints", tmp_path, "--seq-len", 64)
    known = ("--checkpoints", checkpoints, "--seq-len", 32, *output, "--source", "generator")
    small = ("--cvae", checkpoints / "small_cvae.pth")
    first = write(tmp_path / "first" / "cvae_pretrained_best.pth", b"")
    for message, arguments in {
        f"{tmp_path}/hybrid_cvae_best_T64.pth: no such checkpoint; run train_hybrid.py first": nowhere,
        f"another --seq-len, or name --checkpoint {first}": ("--checkpoints", first.parent),
        "hybrid_G_best_T64.pth: no such": (*nowhere, "--source", "generator"),
        "critic.pth: holds critic, but generator or cvae is": ("--checkpoint", checkpoints / "critic.pth"),
        "music of one genre: choose one of Classical, jazz, R&B / soul": (*known, "--reconstruct", song),
        "one genre": (*known, "--interpolate", *songs, "--genre", "jazz,0"),
        "known are 0 Classical, 1 jazz, 2 R&B / soul": (*known, "--genre", "blues"),
        "--span names the seconds that --infill redraws": (*known, "--span", 0, 1),
        "--infill and --vary take no --windows, --source or --latents": (*known, "--vary", song),
        "give only one of": (*known, "--interpolate", *songs, "--reconstruct", song),
        "none.mid: cannot be read": (*known, "--genre", 1, "--reconstruct", tmp_path / "none.mid"),
        "differ in genres or latents": (*known, *small, "--genre", 1, "--interpolate", *songs),
        f"{song}: File exists": (*known, "--output", song),
        "decodes single windows; --continue needs weights of": (*known, "--genre", 1, "--continue", song),
        "--infill needs weights of": (*known, "--source", "cvae", "--genre", 1, "--infill", song, "--span", 1, 2),
        "--vary needs weights of": (*known, "--source", "cvae", "--genre", 1, "--vary", song),
        "--infill needs --span FIRST END": (*known, "--source", "cvae", "--infill", song),
        "--infill needs --span FIRST END,": (*known, "--source", "cvae", "--infill", song, "--span", 3, 3),
    }.items():
        with pytest.raises(SystemExit) as stopped:
            words = [str(word) for word in arguments]
            run_command(lambda words=words: generate(parse_options(Options, "", words)), CheckpointError)
        (line,) = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and message in line
    assert not options["output"].exists()


@pytest.mark.parametrize(
    ("name", "start"), [(b"caf\xe9.mid", "caf_udce9"), (b"n" * 251 + b".mid", short_name("n" * 251))]
)
def test_odd_names_of_files(name: bytes, start: str, options: dict, songs: tuple[Path, Path]) -> None:
    odd = songs[0].rename(Path(os.fsdecode(os.fsencode(songs[0].parent) + b"/" + name)))
    original, reconstructed, sheet = generate(Options(**options, genre="jazz", reconstruct=odd))
    names = [original.name, reconstructed.name, sheet.name]
    stem = f"{start}_jazz_own_cvae_T32_seed0"
    assert names == [f"{stem}_{end}" for end in ("original.mid", "reconstructed.mid", "sheet.png")]
