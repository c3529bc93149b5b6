"""Maps of two controls: the attributes of decoded measures at each point of a plane through z."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from common.errors import UserError
from common.files import check_outputs, write_bytes, written_atomically
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet
from explainable.options import MapOptions
from explainable.trained import TrainedVAE, around_mean, load_chosen
from figures.style import png

_PANEL_INCHES = 3.4


class Axis(NamedTuple):
    """An axis of a map: `values` (points,) of dimension k of z, or of input k of the decoder (`is_input`)."""

    name: str
    k: int
    is_input: bool
    values: np.ndarray


class Origin(NamedTuple):
    """The point that the planes go through, z (1, latent) and controls (1, n); mean and deviation of z, (latent,)."""

    z: Tensor
    controls: np.ndarray
    mean: Tensor
    deviation: Tensor


def draw_surface_maps(options: MapOptions) -> list[Path]:
    """Write the maps; returns their paths. Raises `UserError` or `CheckpointError` for unusable weights or options."""
    trained = load_chosen(options)
    origin = _origin(trained, options)
    measure = "" if options.data is None else f"_measure{options.measure or 0}"
    pairs, stem = _axis_pairs(trained, origin, options), f"surface_{trained.file_name}{measure}"
    names = [f"{stem}_{x.name}_{y.name}".replace(" ", "_") for x, y in pairs]
    files = [tuple(options.output / f"{name}{suffix}" for suffix in (".png", ".npz")) for name in names]
    paths = [path for each in files for path in each]
    check_outputs(paths)
    for (x, y), (picture, numbers) in zip(pairs, files, strict=True):
        values = surface(trained, origin, x, y)
        _draw(picture, trained.run, x, y, values)
        with written_atomically(numbers) as file:
            np.savez(file, x=x.values, y=y.values, names=np.array(ATTRIBUTES), attributes=values)
        print(picture)
    return paths


def surface(trained: TrainedVAE, origin: Origin, x: Axis, y: Axis) -> np.ndarray:
    """Attributes of the measures decoded at each point, float32 (y points, x points, 4)."""
    grid = np.meshgrid(x.values, y.values)
    z, controls = origin.z.repeat(grid[0].size, 1), np.repeat(origin.controls, grid[0].size, axis=0)
    for axis, values in zip((x, y), grid, strict=True):
        if axis.is_input:
            controls[:, axis.k] = values.ravel()
        else:
            z[:, axis.k] = torch.from_numpy(values.ravel()).float()
    return attributes(trained.decode(z, controls), trained.form).reshape(*grid[0].shape, -1)


def _origin(trained: TrainedVAE, options: MapOptions) -> Origin:
    latent, row = trained.model.latent, options.measure or 0
    if options.data is None:
        return Origin(torch.zeros(1, latent), trained.mean_controls(1), torch.zeros(latent), torch.ones(latent))
    measures = MeasureSet.open(options.data)
    trained.require_data(measures)
    test = measures.test_rows()
    if row >= len(test):
        raise UserError(f"{options.data}: has {len(test)} test rows; name another with --measure")
    z = trained.encode(test.tokens).mean
    return Origin(z[[row]], test.attributes[[row]][:, trained.columns], z.mean(0), z.std(0))


def _axis_pairs(trained: TrainedVAE, origin: Origin, options: MapOptions) -> list[tuple[Axis, Axis]]:
    """The two chosen dimensions, or each control with the next one, the last with the first."""
    latent, n = trained.model.latent, len(trained.attributes)
    if options.dimensions:
        if len(set(options.dimensions)) != 2 or len(options.dimensions) != 2 or max(options.dimensions) >= latent:
            raise UserError(f"--dimensions takes two of the dimensions 0 to {latent - 1}, as in 0,1")
        x, y = (_axis(trained, origin, k, False, options.points) for k in options.dimensions)
        return [(x, y)]
    # A single control that is a dimension of z is paired with the dimension after it.
    ring = max(n, min(2, latent)) if trained.in_latent else n
    if ring < 2:
        raise UserError(f"{trained.run} has one control; name two dimensions of z with --dimensions")
    axes = [_axis(trained, origin, k, not trained.in_latent, options.points) for k in range(ring)]
    return [(axes[k], axes[(k + 1) % ring]) for k in range(ring if ring > 2 else 1)]


def _axis(trained: TrainedVAE, origin: Origin, k: int, is_input: bool, points: int) -> Axis:
    control = trained.attributes[k] if k < len(trained.attributes) else ""
    if is_input:
        name, facts = control, trained.facts
        mean, deviation = facts["attribute_mean"][k], facts["attribute_deviation"][k]
    else:
        name = f"z{k} {control}" if trained.in_latent and control else f"z{k}"
        mean, deviation = origin.mean[k].item(), origin.deviation[k].item()
    return Axis(name, k, is_input, np.linspace(*around_mean(mean, deviation), points))


def _draw(path: Path, run: str, x: Axis, y: Axis, values: np.ndarray) -> None:
    figure = Figure(figsize=(len(ATTRIBUTES) * _PANEL_INCHES, 1.1 * _PANEL_INCHES), dpi=150, layout="constrained")
    axes = figure.subplots(1, len(ATTRIBUTES), sharex=True, sharey=True)
    for axis, name, attribute in zip(axes, ATTRIBUTES, np.moveaxis(values, 2, 0), strict=True):
        drawn = axis.pcolormesh(x.values, y.values, attribute, cmap="viridis")
        axis.set_title(name.replace("_", " "), fontsize=9)
        axis.tick_params(labelsize=7)
        figure.colorbar(drawn, ax=axis, shrink=0.85).ax.tick_params(labelsize=7)
    figure.suptitle(run, fontsize=10, parse_math=False)
    figure.supxlabel(x.name.replace("_", " "), fontsize=9)
    figure.supylabel(y.name.replace("_", " "), fontsize=9)
    write_bytes(path, png(figure))
