"""Plots of latents and of the windows themselves, coloured by genre, and the separation of genres in them."""

import numpy as np
import pandas as pd
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, Isomap
from threadpoolctl import threadpool_limits

from common.device import select_device
from common.errors import UserError
from common.files import check_outputs
from data.store import RollStore
from data.windows import WindowSource
from evaluation.metrics.separation import LATENT_TABLE, WITHHELD, WindowSample, draw_windows, latent_views
from evaluation.options import LatentPlotOptions
from evaluation.tables import format_table, of_all
from figures.scatter_sheet import Scatter, save_scatter_sheet
from models import CVAE
from models.errors import CheckpointError
from models.trained import Trained, load
from models.weight_files import hybrid_path, pretrained_file

PICTURES = LATENT_TSNE, ROLLS_EMBEDDING = "latent_tsne", "rolls_embedding"
# t-SNE and Isomap of a space with more dimensions use its first principal components, as is customary.
MAX_DIMENSIONS = 50
# With 5 neighbours the graph of 10,000 windows is not connected.
ISOMAP_NEIGHBORS = 10


def draw_latents(options: LatentPlotOptions) -> pd.DataFrame:
    """Draw both figures, measure, print and write the table; returns it.

    Raises `UserError` for too few windows, `CheckpointError` without a CVAE or if one cannot be used.
    """
    check_outputs([LATENT_TABLE.path(options.metrics, options.seq_len), *map(options.picture, PICTURES)])
    store = RollStore.open(options.store)
    cvaes = load_cvaes(options, store)
    windows = WindowSource(store, options.split, options.seq_len, select_device(options.device))
    sample = draw_windows(windows, options.windows, options.seed, balanced=options.balanced)
    shown = len(sample.index)
    if shown <= max(options.perplexity, 2):
        raise UserError(
            f"{options.store}: {shown} windows chosen of {len(windows)} in the {options.split} split, but --perplexity "
            f"{options.perplexity:g} needs more than that; raise --windows or lower it"
        )
    frame = pd.concat([plot_z(options, sample, cvaes), plot_rolls(options, sample)], ignore_index=True)
    frame["perplexity"] = options.perplexity
    print(format_table(of_all(frame), LATENT_TABLE.columns))
    print(
        f"k-NN: balanced accuracy if the {options.neighbors} nearest windows vote for a window's {store.condition}; "
        "shuffled: with labels shuffled among the songs.\nThe label is an input of the encoder, which alone separates "
        "labels in z; genre withheld: with the same label for all windows."
    )
    print(*LATENT_TABLE.write(frame, options.metrics))
    return frame


def load_cvaes(options: LatentPlotOptions, store: RollStore) -> dict[str, Trained]:
    """The CVAEs of the folders, by name; prints which are missing. Raises `CheckpointError` if there is none."""
    cvaes = {}
    for folder in options.checkpoints:
        hybrid = hybrid_path(folder, CVAE.kind, options.seq_len)
        for stage, path, remedy in (
            ("stage 1", folder / pretrained_file(CVAE.kind), "run train_cvae.py"),
            ("hybrid", hybrid, "run train_hybrid.py, or take another --seq-len"),
        ):
            name = f"{stage} {folder}" if len(options.checkpoints) > 1 else stage
            if path.exists():
                checked = {"store": store, "allow_other_songs": options.allow_other_songs}
                cvaes[name] = load(path, CVAE.kind, remedy, **checked)
            else:
                print(f"{path}: no such checkpoint, so the {name} CVAE is left out; {remedy}")
    if not cvaes:
        raise CheckpointError(f"no CVAE in {', '.join(map(str, options.checkpoints))}; run train_cvae.py first")
    return cvaes


def plot_z(options: LatentPlotOptions, sample: WindowSample, cvaes: dict[str, Trained]) -> pd.DataFrame:
    """Figure 2: t-SNE of z, a panel for each CVAE; returns the rows of z and of the pictures."""
    frames, panels = [], []
    for name, trained in cvaes.items():
        print(f"z {name} ...", flush=True)
        views = latent_views(trained.model.to(sample.windows.device), sample, options.batch_size)
        picture = f"t-SNE of {options.latent}"
        views[picture] = project(TSNE(**options.tsne), views[options.latent], options.seed)
        measured = {view: sample.measure(f"z {name}", view, z, options.neighbors, trained) for view, z in views.items()}
        lines = [
            f"{name}: {trained.path.name}",
            f"z ({options.latent}): {numbers(measured[options.latent])}",
            f"z ({WITHHELD}): {numbers(measured[WITHHELD])}",
            f"this picture: {numbers(measured[picture])}",
        ]
        panels.append(Scatter("\n".join(lines), views[picture].numpy()))
        frames += measured.values()
    draw(options, sample, LATENT_TSNE, panels, f"t-SNE (perplexity {options.perplexity:g}) of z")
    return pd.concat(frames)


def plot_rolls(options: LatentPlotOptions, sample: WindowSample) -> pd.DataFrame:
    """Figure 3: PCA, t-SNE and Isomap of the rolls; returns the rows of the rolls and of the pictures."""
    print("rolls ...", flush=True)
    cells = sample.windows.rolls(sample.index).cpu().flatten(1)  # (n, 128 T)
    pca = PCA(min(MAX_DIMENSIONS, *cells.shape), svd_solver="randomized", random_state=options.seed)
    components = project(pca, cells, options.seed)
    nearest = Isomap(n_neighbors=min(ISOMAP_NEIGHBORS, len(cells) - 1))
    shares = pca.explained_variance_ratio_.astype(np.float64)
    views = {
        "all cells": cells,
        "principal components": components,
        "PCA": components[:, :2],
        "t-SNE": project(TSNE(**options.tsne), components, options.seed),
        "Isomap": project(nearest, components, options.seed),
    }
    measured = {view: sample.measure("rolls", view, points, options.neighbors) for view, points in views.items()}
    titles = {
        "PCA": f"PCA: {shares[:2].sum():.0%} of the variance",
        "t-SNE": f"t-SNE (perplexity {options.perplexity:g}) of the components",
        "Isomap": f"Isomap ({ISOMAP_NEIGHBORS} neighbours) of the components",
    }
    panels = [
        Scatter(f"{title}\nthis picture: {numbers(measured[view])}", views[view].numpy())
        for view, title in titles.items()
    ]
    about = (
        f"piano rolls: {numbers(measured['all cells'])}\ntheir first {len(shares)} principal components, "
        f"{shares.sum():.0%} of the variance: {numbers(measured['principal components'])}"
    )
    draw(options, sample, ROLLS_EMBEDDING, panels, about)
    return pd.concat(measured.values())


@threadpool_limits.wrap(limits=1)
def project(method: PCA | TSNE | Isomap, points: torch.Tensor, seed: int) -> torch.Tensor:
    """Fit a projection to points (n, D); returns the projected points, float64 (n, dimensions).

    On one thread: the order in which threads add changes the last bits of a sum, and with them the result of t-SNE.
    """
    np.random.seed(seed)  # the only way to seed the eigensolver of Isomap
    return torch.from_numpy(method.fit_transform(points.numpy()).astype(np.float64))


def numbers(frame: pd.DataFrame) -> str:
    """The values over all genres of a view, for a title."""
    every = of_all(frame).iloc[0]
    silhouette = f"silhouette {every['silhouette']:.2f}"
    if pd.isna(every["kNN_other_songs"]):
        return silhouette
    found, floor = every["kNN_other_songs"], every["kNN_other_songs_floor"]
    return f"{every['neighbors']}-NN {found:.2f} (floor {floor:.2f}), {silhouette}"


def draw(options: LatentPlotOptions, sample: WindowSample, name: str, panels: list[Scatter], title: str) -> None:
    path = options.picture(name)
    shown = f"{len(sample.index):,} {options.split} windows of {options.seq_len} frames"
    key = f"{options.neighbors}-NN: balanced accuracy by neighbours of other songs; floor: genres shuffled among songs"
    names = sample.windows.store.genres
    save_scatter_sheet(path, panels, sample.genre.numpy(), names, title=f"{shown}, {title}\n{key}")
    print(path)
