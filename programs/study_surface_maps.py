"""Maps of two controls: the attributes of decoded measures at each point of a plane through z.

    python -m programs.study_surface_maps                                          # each control with the next one
    python -m programs.study_surface_maps --weights RUN/vae_best.pth --dimensions 0,5
    python -m programs.study_surface_maps --data measures/irish_folk --measure 17   # through a test measure

Each axis reaches three standard deviations to either side of a mean: of N(0, I) for dimensions of z, or with --data of
the latents of its test measures; of the training attributes for inputs of the decoder. The other dimensions are 0, or
with --data those of a measure. For each pair of axes a PNG has four maps and a .npz file has their numbers. An ideal
control gives stripes across its own axis in the map of its attribute, and no effect in the other maps.
"""

from pathlib import Path

from common.errors import run_command
from common.options import parse_options
from explainable.options import MapOptions
from models.errors import CheckpointError


def draw_maps(options: MapOptions) -> list[Path]:
    """Write the maps; returns their paths. Raises `UserError` or `CheckpointError` for unusable weights or options."""
    from explainable.surface_maps import draw_surface_maps

    return draw_surface_maps(options)


if __name__ == "__main__":
    run_command(lambda: draw_maps(parse_options(MapOptions, __doc__)), CheckpointError)
