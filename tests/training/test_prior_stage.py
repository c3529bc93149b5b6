"""Training of a prior on whole songs: latents of pieces, objective, what changes, resuming, refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from stages import Stopping, arguments, assert_same_result, opened, terminate
from tiny_stores import make_store
from weights import save_rolls, save_weights

import training.loop
from common.errors import UserError
from common.options import parse_options
from data.store import RollStore
from models import NoteCVAE
from models.checkpoint import read_checkpoint
from models.names import PAPER, STANDARD_NORMAL
from models.prior import Posterior, standard_normal_kl
from models.weight_files import LAST, hybrid_file
from programs import train_prior
from training.prior_stage import PriorStage
from training.stage import Position

FILE = hybrid_file("cvae", 32)


def save_cvae(folder: Path, store: Path, **sizes: str) -> Path:
    torch.manual_seed(0)
    cvae = NoteCVAE(3, latent=2, hidden=16, depth=1, genre_size=4, **sizes)
    save_weights(cvae, folder / FILE, genres=RollStore.open(store).genres, seq_len=32)
    return folder


@pytest.fixture(scope="module")
def initial(tiny_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_cvae(tmp_path_factory.mktemp("initial"), tiny_store)


def options(store: Path, initial: Path, folder: Path, *more: str) -> train_prior.Options:
    short = ["--init-from", str(initial), "--seq-len", "32", "--piece-seconds", "2,5", "--epochs", "2"]
    words = [*arguments(store, folder), *short, "--epoch-windows", "160", *more]
    return parse_options(train_prior.Options, "", words)


def stage_of(*given: str | Path) -> PriorStage:
    return opened(train_prior.make_stage(options(*given)))


@pytest.fixture(scope="module")
def whole(tiny_store: Path, initial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior")
    training.loop.train(train_prior.make_stage(options(tiny_store, initial, folder)))
    return folder


def test_the_prior_learns_and_nothing_else_changes(whole: Path, initial: Path) -> None:
    before, after = read_checkpoint(initial / FILE), read_checkpoint(whole / "checkpoints" / FILE)
    changed = {name for name, tensor in before["weights"].items() if not torch.equal(tensor, after["weights"][name])}
    assert changed == {name for name in before["weights"] if name.startswith("prior.")}
    epochs = [line for line in (whole / "runs/prior/log.txt").read_text().splitlines() if " epoch " in line]
    assert len(epochs) == 2 and after["facts"]["chosen_by"] == "kl"
    assert set(after["facts"]["metrics"]) >= {"kl", "kl_2s", "kl_5s"}


def test_the_weights_are_a_mean_of_the_first_and_the_trained_prior(
    tiny_store: Path, initial: Path, tmp_path: Path
) -> None:
    saved = {}
    for share in ("0", "0.25", "1"):
        folder = tmp_path / share
        training.loop.train(train_prior.make_stage(options(tiny_store, initial, folder, "--share", share)))
        saved[share] = read_checkpoint(folder / "checkpoints" / hybrid_file("cvae", 32, LAST))["weights"]
    for name, first in read_checkpoint(initial / FILE)["weights"].items():
        assert torch.equal(saved["0"][name], first)
        torch.testing.assert_close(saved["0.25"][name], 0.75 * first + 0.25 * saved["1"][name])
    assert not torch.equal(saved["1"]["prior.moments.bias"], saved["0"]["prior.moments.bias"])


def test_a_stopped_run_resumes_exactly(whole: Path, tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    stopped = Stopping(train_prior.make_stage, 4, 15, by=terminate)
    for _ in range(2):
        with pytest.raises(SystemExit):
            training.loop.train(stopped(options(tiny_store, initial, tmp_path)))
    training.loop.train(stopped(options(tiny_store, initial, tmp_path)))
    assert_same_result(tmp_path, whole, "prior")


def test_a_piece_has_the_posterior_of_its_seconds(tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    stage = stage_of(tiny_store, initial, tmp_path)
    song = next(song for song in stage.store.songs if song.split == "val")
    frames = stage.store.frames[song.frame_offset :][: song.n_frames // 16 * 16]
    roll = torch.from_numpy(np.unpackbits(frames, axis=1)).float().T[None]
    genre = torch.tensor([song.genre_id])
    mean, log_variance = stage.cvae.encode(roll, roll, roll, genre)
    pieces = stage.val_songs.pieces(torch.tensor([0]), torch.tensor([3]), 5, torch.zeros(1, 10), stage.device)
    assert torch.equal(pieces.genre, genre) and pieces.seconds == 5
    torch.testing.assert_close(pieces.posterior.mean, mean[:, 6:16], rtol=0, atol=1e-5)
    torch.testing.assert_close(pieces.posterior.log_variance, log_variance[:, 6:16], rtol=0, atol=1e-5)


def test_validation_is_the_mean_kl_of_genres_and_lengths(tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    """A new prior is N(0, I), whose divergence has a closed form."""
    stage = stage_of(tiny_store, initial, tmp_path)
    torch.nn.init.zeros_(stage.cvae.prior.moments.weight)
    torch.nn.init.zeros_(stage.cvae.prior.moments.bias)
    found, songs = stage.validate(stage.models), stage.val_songs
    wanted = []
    for seconds in (2, 5):
        of_genre = []
        for k in songs.genre.argsort():  # one validation song a genre
            first, n = int(songs.first[k]), int(songs.seconds[k]) // seconds * seconds
            moments = (of_all[first : first + n] for of_all in (songs.mean, songs.log_variance))
            of_genre.append(standard_normal_kl(Posterior(*moments)).sum(1).mean())
        wanted.append(float(torch.stack(of_genre).mean()))
    assert [found["kl_2s"], found["kl_5s"]] == pytest.approx(wanted, rel=1e-4)
    assert found["kl"] == pytest.approx(sum(wanted) / 2, rel=1e-4)


def test_songs_are_moved_and_transposed_in_each_epoch(tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    stage = stage_of(tiny_store, initial, tmp_path)
    first, again, second = (stage._encoded("train", epoch) for epoch in (0, 0, 1))
    assert torch.equal(first.mean, again.mean) and not torch.equal(first.mean[:9], second.mean[:9])
    plain = stage_of(tiny_store, initial, tmp_path / "plain", "--no-transpose", "--no-move-windows")
    assert torch.equal(plain._encoded("train", 0).mean, plain._encoded("train", 1).mean)


def test_steps_have_pieces_of_one_length_within_songs(tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    stage, seen = stage_of(tiny_store, initial, tmp_path), []
    stage.iterate = seen.append
    for example in range(0, 160, 16):
        stage.train_step(Position(stage.phases[0], 0, example))
    assert {pieces.seconds for pieces in seen} == {2, 5}
    assert all(pieces.posterior.mean.shape == pieces.noise.shape == (16, 2 * pieces.seconds) for pieces in seen)
    genre = torch.cat([pieces.genre for pieces in seen])
    assert (torch.bincount(genre, minlength=3) > 30).all(), "genres are drawn equally often"


def test_what_cannot_be_trained_is_refused(tiny_store: Path, initial: Path, tmp_path: Path) -> None:
    normal = save_cvae(tmp_path / "normal", tiny_store, prior=STANDARD_NORMAL)
    with pytest.raises(UserError, match=rf"{FILE}.*its prior is N\(0, I\)"):
        stage_of(tiny_store, normal, tmp_path)
    with pytest.raises(UserError, match=r"too few for 60 s; give shorter --piece-seconds"):
        stage_of(tiny_store, initial, tmp_path, "--piece-seconds", "60")
    assert stage_of(tiny_store, initial, tmp_path, "--piece-seconds", "60,4").lengths == [4]
    unsplit = make_store(tmp_path / "store", splits=[("train", "test")] * 3)
    with pytest.raises(UserError, match=r"the train and val splits have \d+ and 0 frames, too few for 2 s"):
        stage_of(unsplit, initial, tmp_path)
    save_rolls(tmp_path / "paper", PAPER, seq_lens=(32,))
    with pytest.raises(UserError, match=rf"{FILE}: of another architecture than large; name other weights"):
        stage_of(tiny_store, tmp_path / "paper", tmp_path)


def test_initial_weights_are_not_overwritten(initial: Path, tiny_store: Path) -> None:
    before = (initial / FILE).read_bytes()
    given = options(tiny_store, initial, initial.parent / "run", "--checkpoints", str(initial), "--restart")
    with pytest.raises(UserError, match=rf"{FILE}: this training would overwrite it; name another folder"):
        training.loop.train(train_prior.make_stage(given))
    assert (initial / FILE).read_bytes() == before
