"""Figures 2 and 3: known neighbours and silhouettes, floors, chosen windows, pictures, files and refusals."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from frames import records
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from sklearn.manifold import Isomap
from sklearn.metrics import silhouette_samples
from weights import save_weights

from common.errors import UserError
from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.latent_plots import project
from evaluation.metrics.separation import (
    WITHHELD,
    draw_windows,
    find_neighbourhoods,
    latent_views,
    measure_separation,
    vote,
)
from evaluation.options import MEAN, SAMPLE, LatentPlotOptions
from figures.scatter_sheet import Scatter, save_scatter_sheet
from figures.style import GENRE_COLORS
from models import CVAE
from models.checkpoint import CheckpointError
from programs import latent_plots

NAMES = ["a", "b", "c"]


@pytest.fixture
def options(tiny_store: Path, tmp_path: Path) -> dict[str, object]:
    """Options of the program, with weights of two random CVAEs."""
    for number, name in enumerate(("cvae_pretrained_best.pth", "hybrid_cvae_best_T32.pth")):
        torch.manual_seed(number)
        save_weights(CVAE(3), tmp_path / "checkpoints" / name)
    folder = tmp_path / "checkpoints"
    return {"store": tiny_store, "checkpoints": (folder,), "metrics": tmp_path / "metrics", "device": "cpu"}


def on_a_line(*places: float) -> torch.Tensor:
    return torch.tensor(places, dtype=torch.float64)[:, None]


def test_neighbours_of_the_same_song_do_not_count() -> None:
    # Two songs of each genre; the nearest window is always of the same song, the next song is of the other genre.
    points = on_a_line(0, 1, 10, 11, 30, 31, 40, 41)
    song = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    genre = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    any_song, other_songs, _ = find_neighbourhoods(points, genre, song, 2)
    assert any_song[:, 0].tolist() == [1, 0, 3, 2, 5, 4, 7, 6]
    assert other_songs.tolist() == [[2, 3], [2, 3], [1, 0], [1, 0], [6, 7], [6, 7], [5, 4], [5, 4]]
    rows = records(measure_separation(points, genre, song, NAMES, neighbors=1, seed=0))
    assert [row["genre_name"] for row in rows] == ["a", "b", "all"]
    assert [row["kNN_any_song"] for row in rows] == [1, 1, 1]
    assert [row["kNN_other_songs"] for row in rows] == [0, 0, 0]
    assert [(row["n"], row["n_songs"]) for row in rows] == [(4, 2), (4, 2), (8, 4)]


def test_the_floor_is_the_effect_of_songs() -> None:
    torch.manual_seed(0)
    song = torch.arange(60).repeat_interleave(5)
    genre = song % 3
    points = torch.randn(60, 8, dtype=torch.float64)[song] + 0.01 * torch.randn(300, 8, dtype=torch.float64)
    every = records(measure_separation(points, genre, song, NAMES, neighbors=3, seed=0))[-1]
    assert every["kNN_any_song"] == every["kNN_any_song_floor"] == 1, "the own song finds any genre"
    assert every["kNN_other_songs_floor"] == pytest.approx(1 / 3, abs=0.05)
    assert every["kNN_other_songs"] == pytest.approx(1 / 3, abs=0.12), "the genres are dealt at random here"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_silhouette_is_that_of_scikit_learn(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    points = (torch.rand(700, 40, generator=generator) < 0.2).to(dtype)  # more windows than a block
    genre, song = torch.arange(700) % 3, torch.arange(700) // 7
    genre[0] = 3  # the only one of its genre
    *_, found = find_neighbourhoods(points, genre, song, 1)
    assert found[0] == 0
    assert found.numpy() == pytest.approx(silhouette_samples(points.numpy(), genre.numpy()), abs=1e-5)
    *_, alike = find_neighbourhoods(on_a_line(3, 3, 3, 3), torch.tensor([0, 0, 1, 1]), torch.arange(4), 1)
    assert alike.tolist() == [0, 0, 0, 0]


def test_equal_votes_go_to_the_nearer() -> None:
    genre = torch.tensor([0, 1, 1, 0, 2])
    neighbours = torch.tensor([[1, 3, 2, 3, 4], [3, 1, 2, 0, 4], [4, 1, 2, 3, 0], [4, 1, 2, 3, 1], [4, 4, 0, 0, 0]])
    assert vote(genre, neighbours).tolist() == [1, 0, 1, 1, 0]


def test_a_genre_of_one_song_has_no_number_among_other_songs() -> None:
    genre, song = torch.tensor([0, 0, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 2, 2])
    frame = measure_separation(on_a_line(0, 1, 2, 3, 9, 10), genre, song, NAMES, neighbors=1, seed=0)
    assert [row["kNN_other_songs"] for row in records(frame)] == [1, None, None]
    assert frame["kNN_any_song"].tolist() == [1, 1, 1]


def test_windows_are_drawn_alike_from_all_genres(tiny_store: Path) -> None:
    windows = WindowSource(RollStore.open(tiny_store), "train", 32)
    sample = draw_windows(windows, 60, 0, balanced=True)
    assert sample.genre.bincount().tolist() == [20, 20, 20]
    assert len(sample.index.unique()) == 60
    assert torch.equal(sample.genre, windows.genre[sample.index])
    assert torch.equal(sample.song, windows.song[sample.index])
    assert len(sample.genre[:12].unique()) == 3, "genres are mixed, or the last drawn would hide the others"
    assert len(draw_windows(windows, 61, 0, balanced=False).index) == 61
    windows.genre = (torch.arange(len(windows)) >= 30).long()
    sample = draw_windows(windows, 200, 0, balanced=True)
    assert sample.genre.bincount().tolist() == [30, 100], "a genre with too few windows is not topped up"
    assert sample.facts["chance"] == 0.5 and sample.facts["majority"] == pytest.approx(100 / 130)


def test_withholding_the_genre_removes_its_vector_from_the_mean(tiny_store: Path) -> None:
    store = RollStore.open(tiny_store)
    torch.manual_seed(0)
    cvae = CVAE(3).eval()
    sample = draw_windows(WindowSource(store, "train", 32), 60, 0, balanced=True)
    views = latent_views(cvae, sample, batch_size=7)
    moved = views[MEAN] - views[WITHHELD]
    by_genre = torch.stack([moved[sample.genre == genre_id].mean(0) for genre_id in range(3)])
    assert by_genre[0].abs().max() < 1e-6, "genre 0 is the one that all windows get"
    assert by_genre[1:].abs().max() > 1e-2
    assert torch.allclose(moved, by_genre[sample.genre], atol=1e-5)
    again = latent_views(cvae, sample, batch_size=512)
    assert all(torch.allclose(views[name], again[name], atol=1e-5) for name in (MEAN, WITHHELD, SAMPLE))
    assert not torch.allclose(views[SAMPLE], views[MEAN], atol=1e-2)


def test_a_projection_is_repeatable_and_the_caller_chooses_its_seed() -> None:
    """250 points are enough for the iterative eigensolver of Isomap."""
    many = torch.randn(250, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    first, again = (project(Isomap(n_neighbors=10), many, seed=0) for _ in range(2))
    assert torch.equal(first, again) and first.shape == (250, 2) and first.dtype == torch.float64


def test_genre_colours_are_all_in_the_picture(tmp_path: Path) -> None:
    points, genre = np.random.default_rng(0).normal(size=(300, 2)), np.arange(300) % 3
    points[0] = 1000
    save_scatter_sheet(tmp_path / "a.png", [Scatter("one", points)] * 2, genre, NAMES, title="a title")
    picture = imread(tmp_path / "a.png")[..., :3]
    near = [(np.abs(picture - np.array(to_rgb(color))).max(axis=2) < 0.08).sum() for color in GENRE_COLORS[:4]]
    assert min(near[:3]) > 100 and near[3] == 0, "three genres are shown"
    colored = np.argwhere(picture[150:850, 20:730].std(axis=2) > 0.1)
    assert (np.ptp(colored, axis=0) > 400).all(), "the panel is not squeezed by the point that is far away"


def test_the_program_draws_both_figures_and_writes_the_table(options: dict[str, object]) -> None:
    chosen = LatentPlotOptions(**options, windows=60)
    rows = records(latent_plots.plot_latents(chosen))
    assert {path.name for path in chosen.metrics.glob("[!.]*")} == {
        "latent_tsne-T32.png", "rolls_embedding-T32.png", "latent-T32.csv"
    }  # fmt: skip
    views = {(row["space"], row["view"], row["dimensions"]) for row in rows}
    ways = [(MEAN, 32), (WITHHELD, 32), (SAMPLE, 32), ("t-SNE of mean", 2)]
    pictures = [("all cells", 4096), ("principal components", 50), ("PCA", 2), ("t-SNE", 2), ("Isomap", 2)]
    latents = {(f"z {name}", *way) for name in ("stage 1", "hybrid") for way in ways}
    assert views == latents | {("rolls", *picture) for picture in pictures}
    assert len(rows) == len(views) * 4
    written = pd.read_csv(chosen.metrics / "latent-T32.csv")
    assert written.loc[written["space"] != "rolls", "checkpoint_sha256"].nunique() == 2
    assert written["kNN_other_songs"][3] == pytest.approx(rows[3]["kNN_other_songs"], rel=1e-4)


def test_one_cvae_is_enough_and_the_missing_one_is_named(options: dict[str, object], capsys) -> None:
    chosen = LatentPlotOptions(**options, windows=30, latent=SAMPLE)
    (chosen.checkpoints[0] / "hybrid_cvae_best_T32.pth").unlink()
    rows = records(latent_plots.plot_latents(chosen))
    assert {row["space"] for row in rows} == {"z stage 1", "rolls"}
    assert "t-SNE of sample" in {row["view"] for row in rows}
    printed = capsys.readouterr().out
    assert "hybrid_cvae_best_T32.pth: no such checkpoint, so the hybrid CVAE is left out; run train_hyb" in printed


def test_refusals_name_file_or_option_and_remedy(options: dict[str, object], tmp_path: Path) -> None:
    def run(**changed: object):
        latent_plots.plot_latents(LatentPlotOptions(**{**options, **changed}))

    with pytest.raises(CheckpointError, match=r"no CVAE in \S+nowhere; run"):
        run(checkpoints=(tmp_path / "nowhere",))
    with pytest.raises(UserError, match=r"6 windows chosen of .* train split, but --perplexity 6 needs more"):
        run(windows=6, perplexity=6.0)
    with pytest.raises(UserError, match=r"50 neighbours: a window has only .* of other songs; show more windows"):
        run(windows=30, neighbors=50)
    with pytest.raises(UserError, match="all windows are of one genre"):
        find_neighbourhoods(on_a_line(0, 1, 2), torch.zeros(3, dtype=torch.int64), torch.arange(3), 1)
