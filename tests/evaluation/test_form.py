"""Form of pieces: minutes and windows with known answers, songs that are long enough, and the table."""

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from fake_embedders import embedder_of
from frames import records
from midi_files import roll_with
from weights import save_hybrids

from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics import form
from evaluation.options import FormOptions
from evaluation.samples.clips import ClipSource, open_clip_sources, sources_of_pieces
from evaluation.samples.songs import RealSongs
from evaluation.statistics.distances import frechet_distance
from evaluation.statistics.form import minute_features, minute_windows, self_similarity, window_profiles
from programs.form import eval_form


def piece(*notes: tuple[int, int, int], frames: int) -> torch.Tensor:
    return torch.from_numpy(roll_with(*notes, frames=frames))[None]


def test_two_minutes_with_known_answers() -> None:
    """Minutes of ten frames at two a second, windows of four; two frames of a minute are in no window."""
    notes = (60, 0, 4), (72, 2, 6), (61, 4, 12), (62, 9, 10), (66, 16, 18), (67, 20, 23)
    found = minute_features(piece(*notes, frames=23), minute=10, window=4, frames_per_second=2)
    assert {name: values.tolist() for name, values in found.items()} == {
        "note_density": [[pytest.approx(4 / 5), pytest.approx(1 / 5)]],
        "silent_frames": [[0, pytest.approx(6 / 10)]],
        "sounding_keys": [[pytest.approx((4 + 4 + 6 + 1) / 10), pytest.approx((2 + 2) / 10)]],
        "pitch_classes": [[(1 + 2) / 2, (1 + 1) / 2]],
    }
    windows = minute_windows(piece(*notes, frames=23), 10, 4)
    assert windows.shape == (1, 2, 2, 128, 4)
    assert windows.nonzero().tolist()[:2] == [[0, 0, 0, 60, 0], [0, 0, 0, 60, 1]]
    assert windows[0, 1, 1].nonzero().tolist() == [[66, 2], [66, 3]], "frames 14 to 18"


def test_profiles_of_windows() -> None:
    """Octaves are one pitch class; a step has the number of cells."""
    (profiles,) = window_profiles(piece((60, 0, 3), (72, 0, 2), (61, 6, 7), frames=12), window=4, step=2)
    raw = torch.zeros(3, 12, 2, dtype=torch.float64)
    raw[0, 0], raw[1, 1, 1] = torch.tensor([4.0, 1.0]), 1
    assert torch.equal(profiles[2], torch.zeros(24, dtype=torch.float64)), "silence"
    assert torch.allclose(profiles[:2], raw[:2].flatten(1) / raw[:2].flatten(1).norm(dim=1, keepdim=True))


def test_similarity_is_the_mean_over_pairs_of_windows() -> None:
    rng = torch.Generator().manual_seed(0)
    profiles = torch.nn.functional.normalize(torch.rand(3, 4, 6, generator=rng, dtype=torch.float64), dim=2)
    profiles[1, 2] = 0
    cosine = torch.einsum("awd,bvd->awbv", profiles, profiles)
    numbers = [*product(range(3), range(4))]
    same = [cosine[*one, *two] for one in numbers for two in numbers if one[0] == two[0] and one < two]
    other = [cosine[*one, *two] for one in numbers for two in numbers if one[0] != two[0]]
    assert self_similarity(profiles) == pytest.approx((float(np.mean(same)), float(np.mean(other))))
    own_key = torch.eye(2, dtype=torch.float64)[:, None].expand(2, 5, 2)
    assert self_similarity(own_key) == pytest.approx((1, 0)), "each piece repeats a window of its own"
    assert np.isnan(self_similarity(own_key[:1])[1]), "no other piece"


def test_songs_are_those_that_are_long_enough_from_their_beginning(tiny_store: Path) -> None:
    store = RollStore.open(tiny_store)
    train = [row for row, song in enumerate(store.songs) if (song.split, song.genre_id) == ("train", 1)]
    songs = RealSongs(store, "train", 0, 1, 64)
    order = songs.order(1)
    assert sorted(order) == train and order != RealSongs(store, "train", 3, 1, 64).order(1)
    windows = WindowSource(store, "train", 64)
    first = [int((windows.song == row).nonzero()[0, 0]) for row in order[:3]]
    assert np.array_equal(songs.rolls(1, 3), windows.rolls(torch.tensor(first)).numpy() > 0)
    assert RealSongs(store, "train", 0, 64, 64).rolls(1, 9).sum() < songs.rolls(1, 9).sum(), "short notes"
    longest_song = max(store.songs[row].n_frames for row in train)
    assert [len(RealSongs(store, "train", 0, 1, n).order(1)) for n in (longest_song + 1, 64)] == [0, 4]
    assert RealSongs(store, "train", 0, 1, longest_song + 1).rolls(1, 9).shape == (0, 128, longest_song + 1)


@pytest.fixture
def options(tiny_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FormOptions:
    """Three minutes of 8 s, in windows of 2 s, on songs of 26 s."""
    monkeypatch.setattr(form, "MINUTE_SECONDS", 8)
    monkeypatch.setattr(form, "WINDOW_SECONDS", 2)
    embedder = embedder_of(tmp_path / "cache")
    monkeypatch.setattr("evaluation.samples.clip_embeddings.open_clip_embedder", lambda *_: embedder)
    folder = save_hybrids(tiny_store, tmp_path / "checkpoints", seq_lens=(32, 64))
    places = {"store": tiny_store, "checkpoints": (folder,), "metrics": tmp_path / "metrics", "device": "cpu"}
    return FormOptions(**places, split="train", minutes=3, pieces=2)


def test_songs_in_place_of_pieces_have_no_distance(options: FormOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four songs a genre: the first two are the reference, and played by the source; the others give the floor."""
    store = RollStore.open(options.store)
    songs = form.long_songs(store, options)
    asked = []

    def play(source: ClipSource, genre_id: int, count: int, windows: int) -> np.ndarray:
        asked.append((source.seq_len, count, windows))
        return np.pad(songs.rolls(genre_id, count), ((0, 0), (0, 0), (0, 5)))

    monkeypatch.setattr(ClipSource, "pieces", play)
    frame = eval_form(options)
    assert asked == [(64, 2, 6)] * 3, "the longest T, 24 s of 4 s each"
    assert (options.metrics / "form.csv").exists()
    rows = {(row["genre_id"], row["minute"]): row for row in records(frame)}
    assert list(rows) == [(genre_id, minute) for genre_id in (0, 1, 2, -1) for minute in ("1", "2", "3", "whole")]
    embedder = embedder_of(options.cache)
    for (genre_id, minute), row in rows.items():
        n, windows = (3 if genre_id < 0 else 1), (12 if minute == "whole" else 4)
        assert row["FAD"] == pytest.approx(0, abs=1e-9)
        assert (row["n_pieces"], row["n_songs"]) == (2 * n, 4 * n)
        assert row["n_windows"] == row["n_floor"] == 2 * windows * n
        assert (row["similarity"] is None) == (minute != "whole")
    rolls = torch.from_numpy(songs.rolls(1, 9))
    second = minute_windows(rolls, 128, 32)[:, 1]  # (4, 4, 128, 32)
    first, other = (embedder.embed(part.flatten(0, 1).numpy())["fake"] for part in second.split(2))
    assert rows[1, "2"]["FAD_floor"] == pytest.approx(frechet_distance(first, other))
    features = minute_features(rolls, 128, 32, 16)
    for name in ("note_density", "pitch_classes"):
        assert rows[1, "2"][name] == pytest.approx(float(features[name][:2, 1].mean()))
        assert rows[1, "2"][f"{name}_real"] == pytest.approx(float(features[name][:, 1].mean()))
        assert rows[1, "whole"][f"{name}_real"] == pytest.approx(float(features[name].mean()))
    similarity = self_similarity(window_profiles(rolls, 32, 4))
    assert (rows[1, "whole"]["similarity_real"], rows[1, "whole"]["shuffled_real"]) == pytest.approx(similarity)
    for name in ("note_density", "silent_frames_real", "similarity", "shuffled_real"):
        assert rows[-1, "whole"][name] == pytest.approx(np.mean([rows[k, "whole"][name] for k in range(3)])), "equally"


def test_without_a_long_song_one_line_says_so(options: FormOptions, capsys: pytest.CaptureFixture[str]) -> None:
    assert not len(eval_form(FormOptions(**{**vars(options), "minutes": 4})))
    assert capsys.readouterr().out == f"{options.store}: no train song of 4 minutes: chords, melody, bass\n"
    assert not options.metrics.exists()


def test_of_each_maker_the_longest_t_plays(options: FormOptions, capsys: pytest.CaptureFixture[str]) -> None:
    both = {"sources": ("generator", "cvae"), "latents": ("normal", "posterior")}
    sources = open_clip_sources(FormOptions(**{**vars(options), **both}))
    found = [(source.seq_len, source.trained.model.kind, source.latents) for source in sources_of_pieces(sources)]
    assert len(sources) == 8 and found == [(64, "generator", "normal"), (64, "cvae", "normal")]
    assert not len(eval_form(FormOptions(**{**vars(options), "latents": ("posterior",)})))
    assert "play no pieces" in capsys.readouterr().out
