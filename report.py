"""Make one page of all results, with clips to play: metrics/report.html, a single file that works offline.

    python report.py --store store                                  # after all or some evaluations
    python report.py --real-clips 1 --generated-clips 6             # more generated clips
    python report.py --store demo/store --checkpoints demo/checkpoints --metrics demo/metrics --runs demo/runs

Shows real and generated clips of each genre and T, with their piano rolls; a generated piece of --piece-minutes beside
a real song of each genre, if songs last that long; a chart of the audio distances; a table of the main numbers; folded
up, the tables and pictures in --metrics with published values, the loss curves in --runs, the settings. A missing
result is named with the command that makes it.
"""

from pathlib import Path

from common.errors import run_command
from common.files import check_outputs, write_text
from common.options import parse_options
from common.torchrun import run_divided
from models.errors import CheckpointError
from page.options import ReportOptions


def report(options: ReportOptions) -> Path:
    """Write the page; returns its path. Raises `UserError` or `CheckpointError`."""
    from page.assemble import make_page

    path = options.metrics / "report.html"
    check_outputs([path])
    write_text(path, make_page(options))
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    return path


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: report(parse_options(ReportOptions, __doc__))), CheckpointError)
