"""Maps of two controls: what each attribute of a decoded measure is, at every point of a plane through z.

    python -m programs.study_surface_maps                                          # each control against the next
    python -m programs.study_surface_maps --weights RUN/vae_best.pth --dimensions 0,5
    python -m programs.study_surface_maps --data measures/irish_folk --measure 17   # around a measure of the test tunes

Without --data all other dimensions of z are 0, and the plane reaches three standard deviations of N(0, I) to either
side. With it, they are those of a measure, and the plane reaches three deviations of the test measures' latents from
their mean. Controls that the decoder is told go three deviations from their mean in training. Writes a PNG of four
maps and a .npz of their numbers for each pair. A control that does what it says has stripes across its own axis in the
map of its attribute, and none in the others.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from common.errors import UserError, run_command
from common.files import write_bytes, written_atomically
from common.options import option, parse_options
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet
from explainable.sweeps import read_test_rows
from explainable.trained import StudyWeightsOptions, TrainedVAE, around_mean
from figures.style import png
from models.checkpoint import CheckpointError

_PANEL_INCHES = 3.4


@dataclass(frozen=True)
class Options(StudyWeightsOptions):
    """What is mapped, and where the maps go."""

    dimensions: tuple[int, ...] = option((), "two of z, from 0; without it, each control against the next", minimum=0)
    points: int = option(31, "values of each of the two", minimum=2, maximum=1001)
    data: Path | None = option(None, "data set of the model, for a measure to be around")
    measure: int | None = option(None, "which row of its test tunes, from 0; without it, the first", minimum=0)
    output: Path = option(Path("metrics"), "folder for pictures and numbers")

    def __post_init__(self) -> None:
        """Raises `UserError` also where options do not go together."""
        super().__post_init__()
        if self.measure is not None and self.data is None:
            raise UserError("--measure needs --data, the data set whose row it is")

    @property
    def row(self) -> int:
        """Which row of the test tunes the planes lie around, where there is a data set."""
        return self.measure or 0


class Axis(NamedTuple):
    """One side of a map: dimension k of z, or control k that the decoder is told (`is_told`), at `values` (points,)."""

    name: str
    k: int
    is_told: bool
    values: np.ndarray


class Place(NamedTuple):
    """Where the planes lie: z (1, latent), attributes told (1, n), and mean and deviation of z, (latent,) each."""

    z: Tensor
    told: np.ndarray
    mean: Tensor
    deviation: Tensor


def draw_maps(options: Options) -> list[Path]:
    """Write the maps; returns the paths. Raises `UserError` or `CheckpointError` where something is missing."""
    trained = options.load()
    place = _place(trained, options)
    around = "" if options.data is None else f"_measure{options.row}"
    paths = []
    for x, y in _pairs(trained, place, options):
        values = surface(trained, place, x, y)
        stem = f"surface_{trained.file_name}{around}_{x.name}_{y.name}".replace(" ", "_")
        picture, numbers = (options.output / f"{stem}{suffix}" for suffix in (".png", ".npz"))
        _draw(picture, trained.run, x, y, values)
        with written_atomically(numbers) as file:
            np.savez(file, x=x.values, y=y.values, names=np.array(ATTRIBUTES), attributes=values)
        print(picture)
        paths += [picture, numbers]
    return paths


def surface(trained: TrainedVAE, place: Place, x: Axis, y: Axis) -> np.ndarray:
    """Attributes of the measures decoded at each point, float32 (y points, x points, 4)."""
    across, up = (grid.ravel() for grid in np.meshgrid(x.values, y.values))
    z, told = place.z.repeat(len(across), 1), np.repeat(place.told, len(across), axis=0)
    for axis, values in ((x, across), (y, up)):
        if axis.is_told:
            told[:, axis.k] = values
        else:
            z[:, axis.k] = torch.from_numpy(values).float()
    return attributes(trained.decode(z, told), trained.form).reshape(len(y.values), len(x.values), -1)


def _place(trained: TrainedVAE, options: Options) -> Place:
    latent = trained.model.latent
    if options.data is None:
        return Place(torch.zeros(1, latent), trained.mean_controls(1), torch.zeros(latent), torch.ones(latent))
    measures = MeasureSet.open(options.data)
    trained.require_data(measures)
    test = read_test_rows(measures)
    if options.row >= len(test):
        raise UserError(f"{options.data}: has {len(test)} rows of test tunes; name another with --measure")
    z, row = trained.encode(test.tokens).mean, slice(options.row, options.row + 1)
    return Place(z[row], test.attributes[row][:, trained.columns], z.mean(0), z.std(0))


def _pairs(trained: TrainedVAE, place: Place, options: Options) -> list[tuple[Axis, Axis]]:
    """Pairs of axes: those asked for, or each control against the next, the last against the first."""
    latent, n = trained.model.latent, len(trained.attributes)
    if options.dimensions:
        if len(set(options.dimensions)) != 2 or len(options.dimensions) != 2 or max(options.dimensions) >= latent:
            raise UserError(f"--dimensions takes two of the dimensions 0 to {latent - 1}, as in 0,1")
        i, j = (_dimension(trained, k, place, options.points) for k in options.dimensions)
        return [(i, j)]
    # What follows the only control that is a dimension is another dimension.
    ring = max(n, min(2, latent)) if trained.in_latent else n
    if ring < 2:
        raise UserError(f"{trained.run} has one control; name two dimensions of z with --dimensions")
    axis = _dimension if trained.in_latent else _told
    axes = [axis(trained, k, place, options.points) for k in range(ring)]
    return [(axes[k], axes[(k + 1) % ring]) for k in range(ring if ring > 2 else 1)]


def _dimension(trained: TrainedVAE, k: int, place: Place, points: int) -> Axis:
    ends = around_mean(place.mean[k].item(), place.deviation[k].item())
    is_control = trained.in_latent and k < len(trained.attributes)
    name = f"z{k} {trained.attributes[k]}" if is_control else f"z{k}"
    return Axis(name, k, False, np.linspace(*ends, points))


def _told(trained: TrainedVAE, k: int, place: Place, points: int) -> Axis:
    mean, deviation = (trained.facts[f"attribute_{name}"][k] for name in ("mean", "deviation"))
    return Axis(trained.attributes[k], k, True, np.linspace(*around_mean(mean, deviation), points))


def _draw(path: Path, run: str, x: Axis, y: Axis, values: np.ndarray) -> None:
    figure = Figure(figsize=(len(ATTRIBUTES) * _PANEL_INCHES, 1.1 * _PANEL_INCHES), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(ATTRIBUTES), sharex=True, sharey=True)
    for axis, name, surface_of_one in zip(axes, ATTRIBUTES, np.moveaxis(values, 2, 0), strict=True):
        drawn = axis.pcolormesh(x.values, y.values, surface_of_one, cmap="viridis")
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=7)
        figure.colorbar(drawn, ax=axis, shrink=0.85).ax.tick_params(labelsize=7)
    figure.suptitle(run, fontsize=10, parse_math=False)
    figure.supxlabel(x.name.replace("_", " "), fontsize=9)
    figure.supylabel(y.name.replace("_", " "), fontsize=9)
    write_bytes(path, png(figure))


if __name__ == "__main__":
    run_command(lambda: draw_maps(parse_options(Options, __doc__)), CheckpointError)
