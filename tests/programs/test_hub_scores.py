"""The hub's entries that measure rolls: scores and embeddings."""

import math
from pathlib import Path

import pytest
import torch
from weights import save_rolls

import hubconf
from export import Options, export
from models import LARGE, PAPER
from models.likelihoods import genre_log_likelihoods
from models.notes.note_decoder import Past
from models.notes.notes import count_notes, roll_to_notes
from models.trained import load as load_weights

REPOSITORY = Path(hubconf.__file__).parent


def load(entry: str, **arguments: object) -> torch.nn.Module:
    return torch.hub.load(str(REPOSITORY), entry, source="local", **arguments)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("large")
    save_rolls(folder, LARGE, seq_lens=(128,))
    return folder


def rolls_of(n: int, n_frames: int) -> torch.Tensor:
    """Notes of four frames, bool (n, 128, n_frames)."""
    cells = torch.rand(n, 128, -(-n_frames // 4), generator=torch.Generator().manual_seed(0)) < 0.02
    return cells.repeat_interleave(4, dim=2)[:, :, :n_frames]


@pytest.mark.parametrize("n_frames", [9, 128, 300])
def test_scores_are_the_likelihoods_of_the_windows(n_frames: int, checkpoints: Path) -> None:
    scorer, rolls = load("score", checkpoint_dir=checkpoints, samples=3), rolls_of(2, n_frames)
    cvae = load_weights(checkpoints / "hybrid_cvae_best_T128.pth", "cvae", "").model
    padded = torch.nn.functional.pad(rolls.float(), (0, -n_frames % 16))
    rng, found = torch.Generator().manual_seed(4), []
    for window in padded.split(128, dim=2):
        shape = 3, 1, cvae.noise_size(window.shape[2])
        noise = torch.randn(shape, generator=rng, dtype=torch.float64).expand(-1, 2, -1)
        found.append(genre_log_likelihoods(cvae, noise, window, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64)))
    nats = torch.stack(found)
    bits, scores = -nats.sum(0) / math.log(2), scorer(rolls, seed=4)
    torch.testing.assert_close(scores.bits_per_second, bits / (n_frames / 16), rtol=1e-5, atol=0)
    torch.testing.assert_close(scores.bits_per_note, bits / count_notes(rolls)[:, None], rtol=1e-5, atol=0)
    torch.testing.assert_close(scores.second_bits.sum(1), bits, rtol=1e-5, atol=0)
    assert scores.second_bits.shape == (2, -(-n_frames // 16), 3)
    evidence = nats.sum(0) / len(nats) ** 0.825
    torch.testing.assert_close(scores.probability, (evidence / 6.03).softmax(1), rtol=1e-3, atol=0)
    assert not torch.equal(scores.bits_per_second, scorer(rolls).bits_per_second)
    alone = scorer(rolls[1:] * 90.0, seed=4)  # velocities, and another batch
    torch.testing.assert_close(alone.bits_per_second, scores.bits_per_second[1:], rtol=1e-5, atol=0)
    assert scorer.genres == ["chords", "melody", "bass"] and scorer.condition == "genre" and not scorer.training


def test_a_roll_without_notes_has_no_bits_per_note(checkpoints: Path) -> None:
    scores = load("score", checkpoint_dir=checkpoints)(torch.zeros(1, 128, 32))
    assert scores.bits_per_second.isfinite().all() and scores.bits_per_note.isinf().all()


ENTRIES = ("embedding", "score")


@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("shape", [(128, 32), (1, 88, 32), (1, 128, 0), (0, 128, 32)])
def test_other_shapes_are_refused(entry: str, shape: tuple[int, ...], checkpoints: Path) -> None:
    with pytest.raises(ValueError, match=r"a roll must be \(batch, 128, frames\), but is \("):
        load(entry, checkpoint_dir=checkpoints)(torch.zeros(shape))


@pytest.mark.parametrize("entry", ENTRIES)
def test_weights_without_notes_are_refused(entry: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"hybrid_cvae_best_T128.pth: no such weights"):
        load(entry, checkpoint_dir=tmp_path)
    save_rolls(tmp_path, PAPER, seq_lens=(128,))
    with pytest.raises(ValueError, match="a cvae of network frame-gru, but a CVAE of preset large is needed"):
        load(entry, checkpoint_dir=tmp_path)


def test_vectors_are_hidden_states_at_the_mean_genre(checkpoints: Path) -> None:
    """The encoder's layer maps to the posterior mean; the states after the notes of a second come before the heads."""
    embedder, rolls = load("embedding", checkpoint_dir=checkpoints), rolls_of(2, 300)
    rolls[1, :, 16:32] = False
    cvae = load_weights(checkpoints / "hybrid_cvae_best_T128.pth", "cvae", "").model
    with torch.no_grad():
        vectors, n = embedder(rolls), embedder.encoder_size
        assert vectors.shape == (2, 19, embedder.size) and vectors.dtype == torch.float32
        cvae.genre.weight.copy_(cvae.genre.weight.mean(0).expand(3, -1))
        padded, genre = torch.nn.functional.pad(rolls.float(), (0, 4)), torch.tensor([0, 2])
        for first, last in ((0, 8), (8, 16), (16, 19)):
            window, found = padded[:, :, 16 * first : 16 * last], vectors[:, first:last]
            z = cvae.encode(window, torch.zeros(0, 3), torch.zeros(0, dtype=torch.int64), genre).mean
            mean = cvae.encoder.moments(found[..., :n]).chunk(2, dim=2)[0]
            torch.testing.assert_close(mean.flatten(1), z, rtol=1e-4, atol=1e-5)
            for row, roll in enumerate(window):
                notes, condition = roll_to_notes(roll[None]), cvae.plan(z[row, None], cvae.genre(genre[row, None]))
                states = cvae.decoder.states(Past.of(notes), condition)[0, 1:]
                for second in range(last - first):
                    own = states[notes.onset[0] // 16 == second]
                    expected = own.mean(0) if len(own) else torch.zeros(embedder.size - n)
                    torch.testing.assert_close(found[row, second, n:], expected, rtol=1e-4, atol=1e-5)
        assert not vectors[1, 1, n:].any() and vectors[1, 1, :n].any()
        assert torch.isfinite(embedder(torch.zeros(1, 128, 16))).all()
    assert not embedder.training


def test_exported_weights_are_taken(checkpoints: Path, tmp_path: Path) -> None:
    (folder,) = export(Options(checkpoint=checkpoints / "hybrid_cvae_best_T128.pth", output=tmp_path))
    rolls = rolls_of(1, 64)
    for entry, of in (("embedding", lambda vectors: vectors), ("score", lambda scores: scores.bits_per_second)):
        found, expected = (load(entry, checkpoint_dir=place)(rolls) for place in (folder, checkpoints))
        torch.testing.assert_close(of(found), of(expected))


def test_new_models_and_impossible_sizes(checkpoints: Path) -> None:
    assert load("embedding", pretrained=False).size == 192 + 256
    assert load("score", pretrained=False, n_genres=2).genres == ["genre 0", "genre 1"]
    with pytest.raises(ValueError, match="samples must be a whole number above 0, but is 0"):
        load("score", checkpoint_dir=checkpoints, samples=0)
