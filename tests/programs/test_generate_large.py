"""Generation by preset large: pieces of any length without seams, continued files, temperature."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from midi_files import TICKS_PER_FRAME, TICKS_PER_SECOND, example_song, midi, off, on, pedal, write
from weights import save_weights

from data.song_windows import read_song_roll
from generate import generate
from generation.music import continue_file
from generation.options import Options
from models import LARGE, adopt, build
from models.names import STANDARD_NORMAL

GENRES = ["classical", "jazz"]


@pytest.fixture(autouse=True)
def no_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.files.save_roll_sheet", lambda *args, **options: None)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights that play between C4 and C5, most notes a few frames long."""
    folder = tmp_path_factory.mktemp("large")
    torch.manual_seed(0)
    facts = {"genres": GENRES, "frames_per_second": 16, "seq_len": 32}
    cvae = build("cvae", LARGE, n_genres=2, hidden=16, depth=1, latent=2)
    heads = cvae.decoder.wait_head.choices, cvae.decoder.pitch_head.choices, cvae.decoder.duration_head.choices
    with torch.no_grad():
        for parameter in cvae.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for head in heads:
            head.bias.fill_(-8)
        heads[0].bias[:6], heads[1].bias[60:73], heads[2].bias[:10] = 0, 0, 0
    save_weights(cvae, folder / "hybrid_cvae_best_T32.pth", **facts)
    save_weights(adopt(cvae, range(2), STANDARD_NORMAL)[0], folder / "standard_normal.pth", **facts)
    generator = build("generator", LARGE, n_genres=2, seq_len=32, latent=2, hidden=16)
    with torch.no_grad():
        generator.roll.weight.mul_(20)
        generator.roll.bias.fill_(-2)
    save_weights(generator, folder / "hybrid_G_best_T32.pth", **facts)
    return folder


@pytest.fixture
def options(checkpoints: Path, tmp_path: Path) -> dict[str, object]:
    return {"checkpoints": checkpoints, "seq_len": 32, "count": 3, "output": tmp_path / "samples", "genre": "jazz"}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write(tmp_path / "song.mid", example_song(1, 0, 5))


def rolls_of(files: list[Path], n_frames: int) -> list[np.ndarray]:
    rolls = [read_song_roll(path) for path in files if path.suffix == ".mid"]
    return [np.pad(roll, ((0, 0), (0, max(0, n_frames - roll.shape[1]))))[:, :n_frames] for roll in rolls]


@pytest.mark.parametrize("source", ["cvae", "generator"])
def test_pieces_of_several_windows(source: str, options: dict) -> None:
    pieces = rolls_of(generate(Options(**options, source=source, windows=5)), 160)
    assert len(pieces) == 3 and all(piece[:, 128:].any() for piece in pieces)
    assert (pieces[0] != pieces[1]).any()
    again = rolls_of(generate(Options(**options, source=source, windows=5, batch_size=1)), 160)
    np.testing.assert_array_equal(pieces, again)


def test_a_longer_piece_begins_like_the_shorter_one(options: dict) -> None:
    short, long = (rolls_of(generate(Options(**options, windows=n)), 192) for n in (4, 6))
    assert any((one[:, :32] == other[:, :32]).all() for one, other in zip(short, long, strict=True))


def test_no_note_is_cut_or_begun_by_a_seam(options: dict) -> None:
    """The decoder plays 128 frames at a time: as many notes begin or end at their ends as elsewhere."""
    pieces = np.stack(rolls_of(generate(Options(**{**options, "count": 60}, windows=8)), 256))
    starts = (pieces[:, :, 1:] & ~pieces[:, :, :-1]).sum((0, 1))
    held = (pieces[:, :, 1:] & pieces[:, :, :-1]).sum((0, 1))
    for counts in (starts, held):
        inner = counts[16:-16]
        assert abs(counts[127] - inner.mean()) < 5 * inner.std()
    assert held[127] > 0


@pytest.mark.parametrize("file", ["hybrid_cvae_best_T32.pth", "standard_normal.pth"])
def test_a_file_is_continued(file: str, options: dict, song: Path, checkpoints: Path) -> None:
    original = read_song_roll(song)
    n = original.shape[1]
    given = Options(**options, continue_file=song, windows=2, cvae=checkpoints / file)
    continued = rolls_of(generate(given), n + 64)
    assert len(continued) == 3
    for roll in continued:
        # A note that sounds at the end of the file may go on.
        np.testing.assert_array_equal(roll[:, : n - 1], original[:, : n - 1])
        assert roll[:, n:].any()
    assert (continued[0] != continued[1]).any()


def test_a_held_or_silent_end_is_no_reason_for_silence(options: dict, tmp_path: Path) -> None:
    """The context ends a second after the last onset."""
    held = midi([on(0, 62), off(20 * TICKS_PER_SECOND, 62)])
    brief = midi([on(0, 62), off(TICKS_PER_FRAME, 62), pedal(10 * TICKS_PER_SECOND, 0)])
    for content, sounding in ((held, slice(48, 64)), (brief, slice(48, 49))):
        given = Options(**options, continue_file=write(tmp_path / "end.mid", content), windows=5)
        music = continue_file(given)
        context = music.rows[0][0].roll[:, :64]
        assert context[62, sounding].all() and context.sum() == sounding.stop - sounding.start
        n = read_song_roll(given.continue_file).shape[1]
        assert all(roll[:, n:].any() for roll in music.rolls.values()) and not music.remarks
    silent = continue_file(replace(given, min_note_frames=1000))
    assert silent.remarks == ("3 of the 3 continuations add no note",)


def test_a_reconstruction_is_one_piece(options: dict, song: Path) -> None:
    original, reconstructed = rolls_of(generate(Options(**options, reconstruct=song)), read_song_roll(song).shape[1])
    assert original.shape == reconstructed.shape and reconstructed.any()
