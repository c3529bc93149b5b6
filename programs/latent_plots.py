"""Plot latents of the stage-1 and the hybrid CVAE and the windows themselves, coloured by genre, and their separation.

    python -m programs.latent_plots --store store                             # 10,000 training windows of T = 32
    python -m programs.latent_plots --windows 2000 --seq-len 128 --latent sample

Writes metrics/latent_tsne-T{T}.png (report's figure 2: t-SNE of z), metrics/rolls_embedding-T{T}.png (figure 3: PCA,
t-SNE and Isomap of the rolls) and metrics/latent-T{T}.csv: the separation of genres in each space and each picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import pandas as pd
import torch

from common.device import select_device
from common.errors import UserError, run_command
from common.options import option, parse_options
from common.splits import SPLITS
from data.store import WINDOW_LENGTHS, RollStore
from data.windows import WindowSource
from evaluation.samples.evaluated import StoreOptions
from evaluation.samples.latent_views import (
    LATENT_TABLE,
    MEAN,
    SAMPLE,
    WITHHELD,
    WindowSample,
    draw_windows,
    latent_views,
    numbers,
)
from evaluation.statistics.projections import ISOMAP_NEIGHBORS, MAX_DIMENSIONS, isomap, principal_components, tsne
from evaluation.tables import format_table, of_all
from figures.scatter_sheet import Scatter, save_scatter_sheet
from models import CVAE
from models.checkpoint import CheckpointError
from models.trained import Trained, load
from models.weight_files import hybrid_path, pretrained_file


@dataclass(frozen=True)
class Options(StoreOptions):
    """Options of this command."""

    checkpoints: tuple[Path, ...] = option(
        (Path("checkpoints"),), "folders, with commas, of cvae_pretrained_best.pth and hybrid_cvae_best_T{T}.pth"
    )
    allow_other_songs: bool = option(False, "accept weights that were trained on other songs than the store's")
    seq_len: int = option(32, "frames in a window (T)", choices=WINDOW_LENGTHS)
    split: str = option("train", "split of the songs to show", choices=SPLITS)
    windows: int = option(10_000, "windows to show; memory grows with their square", minimum=2)
    balanced: bool = option(True, "the same number of windows of each genre; --no-balanced: at random")
    latent: str = option(MEAN, "z to plot: the posterior mean, or a sample, the input of G", choices=(MEAN, SAMPLE))
    perplexity: float = option(5.0, "perplexity of t-SNE", minimum=1)
    neighbors: int = option(5, "neighbours that vote for a window's genre", minimum=1)
    batch_size: int = option(512, "windows at a time; does not change the results", minimum=1)


def plot_latents(options: Options) -> pd.DataFrame:
    """Draw both figures, measure, print and write the table; returns it.

    Raises `UserError` for too few windows, `CheckpointError` without a CVAE or if one cannot be used.
    """
    store = RollStore.open(options.store)
    cvaes = load_cvaes(options, store)
    sample = choose_windows(options, store)
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


def load_cvaes(options: Options, store: RollStore) -> dict[str, Trained]:
    """The CVAEs of the folders, by name; prints which are missing. Raises `CheckpointError` if there is none."""
    wanted = {}
    for folder in options.checkpoints:
        beside = f" {folder}" if len(options.checkpoints) > 1 else ""
        wanted[f"stage 1{beside}"] = folder / pretrained_file("cvae"), "run train_cvae.py"
        hybrid = hybrid_path(folder, "cvae", options.seq_len)
        wanted[f"hybrid{beside}"] = hybrid, "run train_hybrid.py, or take another --seq-len"
    present = {name: place for name, place in wanted.items() if place[0].exists()}
    if not present:
        folders = ", ".join(map(str, options.checkpoints))
        files = " or ".join(dict.fromkeys(path.name for path, _ in wanted.values()))
        raise CheckpointError(f"{folders}: no {files} there; run train_cvae.py first")
    for name in wanted.keys() - present.keys():
        path, remedy = wanted[name]
        print(f"{path}: no such checkpoint, so the {name} CVAE is left out; {remedy}")
    allow = options.allow_other_songs
    return {
        name: load(path, CVAE.kind, remedy, store=store, allow_other_songs=allow)
        for name, (path, remedy) in present.items()
    }


def choose_windows(options: Options, store: RollStore) -> WindowSample:
    windows = WindowSource(store, options.split, options.seq_len, select_device(options.device))
    sample = draw_windows(windows, options.windows, options.seed, balanced=options.balanced)
    shown = len(sample.index)
    if shown <= max(options.perplexity, 2):
        raise UserError(
            f"{options.store}: {shown} windows chosen of {len(windows)} in the {options.split} split, but --perplexity "
            f"{options.perplexity:g} needs more than that; raise --windows or lower it"
        )
    return sample


def plot_z(options: Options, sample: WindowSample, cvaes: dict[str, Trained]) -> pd.DataFrame:
    """Figure 2: t-SNE of z, a panel for each CVAE; returns the rows of z and of the pictures."""
    frames, panels = [], []
    for name, trained in cvaes.items():
        space = f"z {name}"
        with timed(f"{space}: encode and measure"):
            views = latent_views(trained.model.to(sample.windows.device), sample, options.batch_size)
            measured = {view: sample.measure(space, view, z, options.neighbors, trained) for view, z in views.items()}
        with timed(f"{space}: t-SNE"):
            points = tsne(views[options.latent].numpy(), options.perplexity, options.seed)
            view = f"t-SNE of {options.latent}"
            picture = sample.measure(space, view, torch.from_numpy(points), options.neighbors, trained)
        lines = [
            f"{name}: {trained.path.name}",
            f"z ({options.latent}): {numbers(measured[options.latent])}",
            f"z ({WITHHELD}): {numbers(measured[WITHHELD])}",
            f"this picture: {numbers(picture)}",
        ]
        panels.append(Scatter("\n".join(lines), points))
        frames += [*measured.values(), picture]
    draw(options, sample, "latent_tsne", panels, f"t-SNE (perplexity {options.perplexity:g}) of z")
    return pd.concat(frames)


def plot_rolls(options: Options, sample: WindowSample) -> pd.DataFrame:
    """Figure 3: PCA, t-SNE and Isomap of the rolls; returns the rows of the rolls and of the pictures."""
    cells = sample.rolls()
    with timed("rolls: measure"):
        of_cells = sample.measure("rolls", "all cells", cells, options.neighbors)
    with timed("rolls: PCA"):
        components, shares = principal_components(cells.numpy(), MAX_DIMENSIONS, options.seed)
        view = "principal components"
        of_components = sample.measure("rolls", view, torch.from_numpy(components), options.neighbors)
    with timed("rolls: t-SNE"):
        by_tsne = tsne(components, options.perplexity, options.seed)
    with timed("rolls: Isomap"):
        by_isomap = isomap(components, options.seed)
    frames, panels = [of_cells, of_components], []
    for view, title, points in (
        ("PCA", f"PCA: {shares[:2].sum():.0%} of the variance", components[:, :2]),
        ("t-SNE", f"t-SNE (perplexity {options.perplexity:g}) of the components", by_tsne),
        ("Isomap", f"Isomap ({ISOMAP_NEIGHBORS} neighbours) of the components", by_isomap),
    ):
        picture = sample.measure("rolls", view, torch.from_numpy(points), options.neighbors)
        panels.append(Scatter(f"{title}\nthis picture: {numbers(picture)}", points))
        frames.append(picture)
    about = (
        f"piano rolls: {numbers(of_cells)}\n"
        f"their first {len(shares)} principal components, {shares.sum():.0%} of the variance: {numbers(of_components)}"
    )
    draw(options, sample, "rolls_embedding", panels, about)
    return pd.concat(frames)


def draw(options: Options, sample: WindowSample, name: str, panels: list[Scatter], title: str) -> None:
    path = options.metrics / f"{name}-T{options.seq_len}.png"
    shown = f"{len(sample.index):,} {options.split} windows of {options.seq_len} frames"
    key = f"{options.neighbors}-NN: balanced accuracy by neighbours of other songs; floor: genres shuffled among songs"
    names = sample.windows.store.genres
    save_scatter_sheet(path, panels, sample.genre.numpy(), names, title=f"{shown}, {title}\n{key}")
    print(path)


@contextmanager
def timed(part: str) -> Iterator[None]:
    """Print `part`, and the seconds that the block took."""
    print(part, end=" ... ", flush=True)
    start = perf_counter()
    try:
        yield
    finally:
        print(f"{perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    run_command(lambda: plot_latents(parse_options(Options, __doc__)), CheckpointError)
