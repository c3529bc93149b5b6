"""score.py on random weights: tables, pictures, bad files and error messages."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from midi_files import example_song, midi, on, write
from weights import save_rolls

from common.errors import UserError, run_command
from common.options import parse_options
from data.pianoroll import roll_notes
from data.song_windows import read_song_roll
from evaluation.metrics import song_scores
from evaluation.metrics.song_scores import _Windows
from models import LARGE, PAPER
from models.checkpoint import CheckpointError
from score import Options, score


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_rolls(folder / "large", LARGE, seq_lens=(32,))
    save_rolls(folder / "paper", PAPER, seq_lens=(32,))
    return folder


@pytest.fixture
def options(checkpoints: Path, tmp_path: Path) -> dict[str, object]:
    return {"checkpoints": checkpoints / "large", "seq_len": 32, "output": tmp_path / "scores", "device": "cpu"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two songs of one name, and a file that is no MIDI file."""
    for style, name in enumerate(("a/song.mid", "b/song.MIDI")):
        write(tmp_path / "music" / name, example_song(style, 0, 5))
    write(tmp_path / "music/bad.mid", b"not a MIDI file")
    return tmp_path / "music"


def test_files_of_a_folder(options: dict, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = score(Options(files=(folder, folder / "none.mid"), **options))
    out, err = capsys.readouterr()
    left_out = [line for line in err.splitlines() if line.startswith("left out")]
    assert len(left_out) == 2 and "bad.mid: not a MIDI file" in left_out[0] and "none.mid: cannot be" in left_out[1]
    songs = [str(folder / name) for name in ("a/song.mid", "b/song.MIDI")]
    for name, frame in zip(("scores", "curves", "notes"), found, strict=True):
        assert frame["file"].unique().tolist() == songs
        written = pd.read_csv(options["output"] / f"{name}.csv")
        assert written.columns[0] == "file" and len(written) == len(frame)
        numbers = frame.select_dtypes("number").columns
        np.testing.assert_allclose(written[numbers], frame[numbers], rtol=1e-5)
    pictures = sorted(path.name for path in options["output"].glob("*.png"))
    assert pictures == ["song.png", "song_2.png"]
    assert all((options["output"] / name).read_bytes().startswith(b"\x89PNG") for name in pictures)
    assert found.genres.groupby("file")["genre_id"].apply(list).tolist() == [[0, 1, 2, -1]] * 2
    for song, notes in found.notes.groupby("file"):
        expected = roll_notes(read_song_roll(Path(song)))
        in_order = notes.sort_values(["time", "pitch"])
        np.testing.assert_array_equal(in_order["time"] * 16, expected.start)
        np.testing.assert_array_equal((in_order["time"] + in_order["seconds"]) * 16, expected.end)
        np.testing.assert_array_equal(in_order["pitch"], expected.pitch)
        best = notes.iloc[0]
        assert f"{best['time']:.4g}  {best['name']:>4}".split() == next(
            line.split()[:2] for line in out.split(f"{song}\n")[1].splitlines() if best["name"] in line.split()
        )


def test_a_score_depends_on_its_file_alone_but_for_the_other_song(options: dict, folder: Path, tmp_path: Path) -> None:
    first, second = folder / "a/song.mid", folder / "b/song.MIDI"
    both = score(Options(files=(first, second), **options)).genres
    alone = score(Options(files=(second,), **options | {"output": tmp_path / "alone"})).genres
    given = score(Options(files=(second,), other=first, **options | {"output": tmp_path / "given"})).genres
    of_second = both[both["file"] == str(second)].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_second, given)
    other = "other_latents_per_second"
    pd.testing.assert_frame_equal(of_second.drop(columns=other), alone.drop(columns=other))
    assert alone[other].isna().all() and of_second[other][:3].notna().all()


def test_errors_are_one_line(
    options: dict, folder: Path, checkpoints: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    song = folder / "a/song.mid"
    held = write(tmp_path / "held.mid", midi([on(0, 60)]))
    known = ("--checkpoints", options["checkpoints"], "--seq-len", 32, "--output", options["output"])
    for message, arguments in {
        "no MIDI file to score; name files or folders of them": known,
        "no MIDI file to score;": (*known, held),
        "hybrid_cvae_best_T64.pth: no such checkpoint; run train_hybrid.py": (*known[:2], "--seq-len", 64, song),
        "has no bits of notes; score.py needs weights of": ("--checkpoints", checkpoints / "paper", *known[2:], song),
        "none.mid: cannot be read": (*known, song, "--other", tmp_path / "none.mid"),
        "hybrid_G_best_T32.pth: holds generator": (
            "--checkpoint",
            options["checkpoints"] / "hybrid_G_best_T32.pth",
            song,
        ),
        "--growth must be at most 1": (song, "--growth", 2),
    }.items():
        with pytest.raises(SystemExit) as stopped:
            words = [str(word) for word in arguments]
            run_command(lambda words=words: score(parse_options(Options, "", words)), CheckpointError)
        *_, line = capsys.readouterr().err.splitlines()
        assert stopped.value.code == 2 and message in line


@pytest.mark.parametrize("name", ["scores.csv", "curves.csv", "notes.csv", "song.png"])
def test_a_foreign_file_is_refused_before_the_work(
    name: str, options: dict, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evaluation.metrics.song_scores.score_song", lambda *_: pytest.fail("computes"))
    place = write(options["output"] / name, b"by hand")
    with pytest.raises(UserError, match=f"{name}: exists, and no program of ours wrote it"):
        score(Options(files=(folder / "a/song.mid",), **options))
    assert place.read_bytes() == b"by hand"


def test_files_stand_anywhere_among_the_options(folder: Path) -> None:
    given = parse_options(Options, "", ["a.mid", "--seed", "1", "b.mid", "c.mid"])
    assert given == Options(files=(Path("a.mid"), Path("b.mid"), Path("c.mid")), seed=1)
    assert parse_options(Options, "", ["--seed", "2", "a.mid"]) == Options(files=(Path("a.mid"),), seed=2)
    assert parse_options(Options, "", []) == Options()


def test_a_second_is_scored_with_context() -> None:
    for seconds, least in ((2, 1), (4, 1), (8, 2)):
        windows = _Windows.of(21, seconds)
        start = np.array([start for start, _ in windows.spans])[windows.of_second]
        before = np.arange(21) - start
        assert (before[least:] >= least).all() and before[0] == 0 and (before < seconds).all()


def test_files_before_a_signal_are_in_the_tables(options: dict, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = song_scores.score_song, []

    def interrupted(*arguments: object) -> song_scores.SongScore:
        calls.append(arguments)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(song_scores, "score_song", interrupted)
    with pytest.raises(KeyboardInterrupt):
        score(Options(files=(folder,), **options))
    assert pd.read_csv(options["output"] / "scores.csv")["file"].unique().tolist() == [str(folder / "a/song.mid")]


def test_names_of_files_that_are_no_text_and_alike(options: dict, tmp_path: Path) -> None:
    names = [b"\xff.mid", b"song.mid", b"song_2.mid", b"a/song.mid"]
    for name in names:
        write(tmp_path / "odd" / os.fsdecode(name), example_song(1, 0, 3))
    score(Options(files=(tmp_path / "odd",), **options))
    assert len(list(options["output"].glob("*.png"))) == len(names)
