"""Embedding clips, and the cache of embeddings."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_embedders import FakeEmbedder, FakeRenderer, clips, embedder_of

import evaluation.samples.clip_embeddings as clip_embeddings
from common.errors import UserError


def test_embeddings_come_from_the_cache_and_are_the_same(tmp_path: Path) -> None:
    rolls = clips(7)
    first, again = (embedder_of(tmp_path) for _ in range(2))
    made, cached = first.embed(rolls)["fake"], again.embed(rolls)["fake"]
    assert made.shape == (7, 4) and made.dtype == torch.float64
    assert torch.equal(made, cached)
    assert (first.renderer.rendered, again.renderer.rendered) == (7, 0)
    expected = FakeEmbedder().embed(list(FakeRenderer().render_rolls(rolls, 16, 0)))
    assert np.array_equal(made.numpy().astype(np.float32), expected)


def test_embeddings_are_shared_only_by_equal_clips_renderers_and_embedders(tmp_path: Path) -> None:
    rolls = clips(4)
    embedder_of(tmp_path).embed(rolls)
    changed = rolls.copy()
    changed[2, 60, 3] ^= True
    longer = np.pad(rolls, ((0, 0), (0, 0), (0, 8)))  # packs into other bytes, but silence is the same music
    for own, embedder, renderer, n_rendered in (
        (rolls, FakeEmbedder(), FakeRenderer("another SoundFont"), 4),
        (rolls, FakeEmbedder(identity="fake 2"), FakeRenderer(), 4),
        (changed, FakeEmbedder(), FakeRenderer(), 1),
        (longer, FakeEmbedder(), FakeRenderer(), 4),
    ):
        embedder_of(tmp_path, embedder, renderer=renderer).embed(own)
        assert renderer.rendered == n_rendered
    twice = embedder_of(tmp_path / "other")
    made = twice.embed(clips(3)[[0, 1, 0, 2, 0]])["fake"]
    assert twice.renderer.rendered == 3
    assert torch.equal(made[0], made[2]) and torch.equal(made[0], made[4]) and not torch.equal(made[0], made[1])


def test_a_second_embedder_embeds_only_what_it_lacks(tmp_path: Path) -> None:
    early, late = FakeEmbedder("early"), FakeEmbedder("late", "late 1")
    embedder_of(tmp_path, early).embed(clips(5))
    both = embedder_of(tmp_path, early, late).embed(clips(5))
    assert early.batches == [3, 2] and late.batches == [3, 2]
    assert torch.equal(both["early"], both["late"])


def test_an_interrupted_run_continues_after_its_last_batch(tmp_path: Path) -> None:
    interrupted = embedder_of(tmp_path)
    interrupted.renderer.stop_after = 5
    with pytest.raises(KeyboardInterrupt):
        interrupted.embed(clips(9))
    resumed = embedder_of(tmp_path)
    made = resumed.embed(clips(9))["fake"]
    assert resumed.renderer.rendered == 9 - 3, "the first batch of three was kept"
    assert torch.equal(made, embedder_of(tmp_path / "other").embed(clips(9))["fake"])


def test_a_cache_that_cannot_be_written_is_read_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = embedder_of(tmp_path).embed(clips(3))["fake"]

    def refuse(path: Path, content: bytes, *, replace: bool) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(clip_embeddings, "write_bytes", refuse)
    embedder = embedder_of(tmp_path)
    assert torch.equal(embedder.embed(clips(3))["fake"], made) and embedder.renderer.rendered == 0
    embedder.embed(clips(5, seed=1))
    embedder.embed(clips(5, seed=2))
    assert embedder.renderer.rendered == 10
    assert capsys.readouterr().out.count("cannot be written") == 1


def npy(array: np.ndarray) -> bytes:
    np.save(file := io.BytesIO(), array)
    return file.getvalue()


@pytest.mark.parametrize("content", [b"", b"\xff" * 200, npy(np.zeros(5, np.float32)), npy(np.zeros((4, 1)))])
def test_a_damaged_embedding_is_named(tmp_path: Path, content: bytes) -> None:
    embedder_of(tmp_path).embed(clips(1))
    (file,) = tmp_path.rglob("*.npy")
    file.write_bytes(content)
    with pytest.raises(UserError, match=rf"{file.name}: not an embedding .*; delete it"):
        embedder_of(tmp_path).embed(clips(1))


def test_clips_too_short_for_an_embedder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fake: needs 1.5 s of sound, but clips of 4 frames at 16 a second"):
        embedder_of(tmp_path).embed(clips(2, frames=4))
