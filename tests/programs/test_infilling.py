"""Infills and variations of files by preset large."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from midi_files import example_song, write
from weights import save_rolls

from common.errors import UserError
from data.song_windows import read_song_roll
from evaluation.samples.sampling import Performance, sample_noise
from generate import generate
from generation.changes import changed_onsets
from generation.infilling import Redrawing, frames, runs, vary
from generation.options import Options
from models import LARGE
from models.notes.notes import roll_to_notes
from models.trained import load


@pytest.fixture(autouse=True)
def no_sheet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("generation.files.save_roll_sheet", lambda *args, **options: None)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    save_rolls(folder, LARGE, seq_lens=(32,))
    return folder


@pytest.fixture
def options(checkpoints: Path, tmp_path: Path) -> dict[str, object]:
    return {"checkpoints": checkpoints, "seq_len": 32, "count": 2, "output": tmp_path / "samples", "genre": "melody"}


@pytest.fixture
def song(tmp_path: Path) -> Path:
    return write(tmp_path / "song.mid", example_song(1, 0, 12))


@pytest.fixture
def redrawing(checkpoints: Path) -> Redrawing:
    model = load(checkpoints / "hybrid_cvae_best_T32.pth", "cvae", "").model.double()
    return Redrawing(model, 1, 4, Performance(), seed=3)


def rolls_of(files: list[Path], n_frames: int) -> list[np.ndarray]:
    rolls = [read_song_roll(path) for path in files if path.suffix == ".mid"]
    return [np.pad(roll, ((0, 0), (0, max(0, n_frames - roll.shape[1]))))[:, :n_frames] for roll in rolls]


def some_roll(n: int, n_seconds: int, seed: int = 0) -> torch.Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (torch.rand(n, 128, 4 * n_seconds, generator=rng) < 0.02).repeat_interleave(4, dim=2)


@pytest.mark.parametrize("span", [(0, 3), (5, 7), (9, 12)])
def test_an_infill_leaves_the_rest_of_the_file(span: tuple[int, int], options: dict, song: Path) -> None:
    original = read_song_roll(song)
    n_frames = original.shape[1]
    assert n_frames == 192
    infills = rolls_of(generate(Options(**options, infill=song, span=span, draws=2)), n_frames)
    inside = np.zeros(n_frames, bool)
    inside[16 * span[0] : 16 * span[1]] = True
    for roll in infills:
        np.testing.assert_array_equal(roll[:, ~inside], original[:, ~inside])
        assert roll[:, inside].any() and (roll[:, inside] != original[:, inside]).any()
    assert len(infills) == 2 and (infills[0] != infills[1]).any()
    (one,) = rolls_of(
        generate(Options(**{**options, "count": 1}, infill=song, span=span, draws=2, batch_size=1)), n_frames
    )
    np.testing.assert_array_equal(one, infills[0], "a version does not depend on the count")


def test_a_span_beyond_the_file_is_refused(options: dict, song: Path) -> None:
    with pytest.raises(UserError, match=r"song.mid: has 12 seconds; the span must end at 12 or before"):
        generate(Options(**options, infill=song, span=(8, 16)))


def test_short_notes_of_the_infill_alone_are_dropped(
    options: dict, song: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = generate(Options(**options, infill=song, span=(4, 6), min_note_frames=1000))
    original = read_song_roll(song)
    for roll in rolls_of(files, original.shape[1]):
        assert not roll[:, 64:96].any()
        np.testing.assert_array_equal(roll[:, 96:], original[:, 96:])
    assert "2 of the 2 infills have no note" in capsys.readouterr().out


def test_the_likelihood_of_what_follows(redrawing: Redrawing) -> None:
    """The whole has the likelihood of its beginning times that of the rest; `first` leaves out what is before it."""
    model, genre, roll = redrawing.model, torch.ones(3, dtype=torch.int64), some_roll(3, 6).double()
    z = torch.randn(3, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        condition, beginning = model.plan(z, model.genre(genre)), roll[:, :, :64]
        of_beginning = -model.decoder.log_likelihood(condition, roll_to_notes(beginning), beginning)
        following = model.continuation_nll(z, genre, roll, 0, 4)
        torch.testing.assert_close(of_beginning + following, model.nll(z, genre, roll))
        late = model.continuation_nll(z, genre, roll, 2, 4)
        earlier = roll.clone()
        earlier[:, :, :31] = 0
        assert not torch.equal(following, model.continuation_nll(z, genre, earlier, 0, 4))
        torch.testing.assert_close(late, model.continuation_nll(z, genre, earlier, 2, 4))
        heard = roll[:, :, 32:]
        part = condition[:, 2:]
        expected = [model.decoder.log_likelihood(part, roll_to_notes(r), r) for r in (heard[:, :, :32], heard)]
        torch.testing.assert_close(late, expected[0] - expected[1])


def test_a_candidate_is_chosen_in_proportion_to_its_weight(redrawing: Redrawing) -> None:
    share = torch.tensor([0.5, 0.2, 0.3])
    chosen = redrawing._choose((share.log() + 100).expand(4000, -1).double(), "a")
    found = chosen.bincount() / 4000
    assert (found - share).abs().max() < 3 * math.sqrt(0.25 / 4000)


def test_more_candidates_fit_better(redrawing: Redrawing) -> None:
    """What follows is likelier after the best of many candidates, and latents lead to those that follow."""
    pieces, means = some_roll(8, 8), []
    for draws in (1, 12):
        many = Redrawing(redrawing.model, 1, draws, Performance(), 0)
        z = many.latents_between(pieces, (3, 5))
        assert z.shape == (8, draws, 16)
        after = many.encode(frames(pieces, 5, 8))
        torch.testing.assert_close(z[:, 0, -6:], after)
        redrawn = many.redraw(pieces, (3, 5), z)
        outside = [*range(48), *range(80, 128)]
        assert torch.equal(redrawn[:, :, outside], pieces[:, :, outside])
        own = many.encode(redrawn)
        with torch.no_grad():
            nats = many.model.continuation_nll(own, torch.ones(8, dtype=torch.int64), redrawn.double(), 1, 5)
        means.append(float(nats.mean()))
    assert means[1] < means[0]


def test_runs_of_numbers() -> None:
    assert list(runs([0, 1, 2, 5, 7, 8])) == [(0, 3), (5, 6), (7, 9)] and list(runs([])) == []


def test_a_variation_redraws_a_share_of_the_seconds(redrawing: Redrawing, monkeypatch: pytest.MonkeyPatch) -> None:
    """Latents of the other seconds are the song's own; those of the redrawn ones are turned towards fresh noise."""
    song, given = some_roll(1, 8)[0], []
    assert torch.equal(vary(redrawing, song, 0.0, 2), song.expand(2, -1, -1))

    def redraw(
        self: Redrawing, pieces: torch.Tensor, span: tuple[int, int], z: torch.Tensor, part: int
    ) -> torch.Tensor:
        given.append((span, z))
        return pieces

    seconds = {}
    monkeypatch.setattr(Redrawing, "redraw", redraw)
    for amount in (0.25, 0.5, 1.0):
        given.clear()
        vary(redrawing, song, amount, 2)
        seconds[amount] = {second for (first, end), _ in given for second in range(first, end)}
        assert len(seconds[amount]) == round(8 * amount)
        z, own = given[0][1][:, 0].unflatten(1, (8, 2)), redrawing.encode(song[None]).view(8, 2)
        prior, genre = redrawing.model.prior, torch.ones(2, dtype=torch.int64)
        with torch.no_grad():
            mean, log_variance = prior.moments_given(own.view(1, -1), genre[:1])
            noise = (own.view(1, -1) - mean) / (0.5 * log_variance).exp()
            fresh = sample_noise(0, 2, 16, 3)
            turned = math.cos(amount * math.pi / 2) * noise + math.sin(amount * math.pi / 2) * fresh
            new = prior.sample(turned, genre).unflatten(1, (8, 2))
        for second in range(8):
            expected = new[:, second] if second in seconds[amount] else own[second].expand(2, -1)
            torch.testing.assert_close(z[:, second], expected)
    assert seconds[0.25] < seconds[0.5] < seconds[1.0] == set(range(8))


def test_a_file_changes_gradually(options: dict, song: Path, capsys: pytest.CaptureFixture[str]) -> None:
    original, changes = read_song_roll(song), []
    for amount in (0.0, 0.3, 1.0):
        pieces = rolls_of(generate(Options(**options, vary=song, amount=amount, draws=2)), original.shape[1])
        true = torch.from_numpy(original)[None].expand(2, -1, -1)
        changes.append(changed_onsets(torch.from_numpy(np.stack(pieces)), true))
        assert f"{changes[-1]:.1%} of the onsets changed" in capsys.readouterr().out
    assert changes[0] == 0 < changes[1] < changes[2]
