"""Plot latents of the stage-1 and the hybrid CVAE and the windows themselves, coloured by genre, and their separation.

    python -m programs.latent_plots --store store                             # 10,000 training windows of T = 32
    python -m programs.latent_plots --windows 2000 --seq-len 128 --latent sample

Writes metrics/latent_tsne-T{T}.png (report's figure 2: t-SNE of z), metrics/rolls_embedding-T{T}.png (figure 3: PCA,
t-SNE and Isomap of the rolls) and metrics/latent-T{T}.csv: the separation of genres in each space and each picture.
"""

from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import parse_options
from common.torchrun import run_divided
from evaluation.options import LatentPlotOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd


def plot_latents(options: LatentPlotOptions) -> "pd.DataFrame":
    """Draw both figures, measure, print and write the table; returns it.

    Raises `UserError` for too few windows, `CheckpointError` without a CVAE or if one cannot be used.
    """
    from evaluation.metrics.latent_plots import draw_latents

    return draw_latents(options)


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: plot_latents(parse_options(LatentPlotOptions, __doc__))), CheckpointError)
