"""One page to look at and listen to: results beside baselines and published values, clips, curves, protocol.

A single HTML file that needs no network, and no script but for the panel of controls.
"""

from dataclasses import dataclass
from pathlib import Path

import jinja2

from audio.synthesis import SYNTHS, open_renderer
from common.options import option
from evaluation.published import GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER
from evaluation.samples.clips import ClipOptions, open_clip_sources
from figures.colors import GENRE_COLORS
from page.explainable_panel import read_panel
from page.listening import choose_listening
from page.loss_curves import Curves, read_curves
from page.parts import PARTS, fad_headlines, merge_absent
from page.result_folder import FACTS, SHARED, AbsentFile, ResultFolder

STAGES = ("cvae", "cgan", "hybrid")


@dataclass(frozen=True)
class ReportOptions(ClipOptions):
    """What the page shows. The weights are those of the clips to hear."""

    runs: Path = option(Path("runs"), "folder with the logs of the training stages")
    real_clips: int = option(2, "real clips of each genre and T to hear", minimum=0)
    generated_clips: int = option(4, "generated clips of each genre and T to hear", minimum=1)
    synth: str = option("fluidsynth", "synthesiser that plays the clips", choices=SYNTHS)
    soundfont: Path | None = option(None, "SoundFont, .sf2 (default: TimGM6mb.sf2, which pretty_midi ships)")
    workers: int = option(0, "clips to render at the same time; 0 is one a core", minimum=0, maximum=1024)


def make_page(options: ReportOptions) -> str:
    """The page as HTML.

    A result file, picture or log that is not there is named on the page. Raises `UserError` or `CheckpointError` for
    what it cannot do without: store, a generator, the synthesiser.
    """
    sources = open_clip_sources(options)
    renderer = open_renderer(options.synth, options.soundfont)
    genres, seq_lens = sources[0].genres, list(dict.fromkeys(source.seq_len for source in sources))
    expected = {fact: sources[0].facts[fact] for fact in SHARED}
    folder = ResultFolder(options, genres, sources[0].trained.condition, seq_lens, expected)
    parts = {name: merge_absent(make(folder)) for name, make in PARTS.items()}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("page.html.jinja").render(
        genres=genres,
        condition=folder.condition,
        colors=[GENRE_COLORS[genre_id % len(GENRE_COLORS)] for genre_id in range(len(genres))],
        sources=sources,
        headlines=fad_headlines(folder),
        parts=parts,
        listening=[
            choose_listening(
                source,
                renderer,
                n_real=options.real_clips,
                n_generated=options.generated_clips,
                workers=options.workers,
            )
            for source in sources
        ],
        curves={stage: _read_stage(stage, folder) for stage in STAGES},
        sweeps=read_panel(options.metrics),
        accuracy_paper=GENRE_ACCURACY_PAPER,
        inception_paper=INCEPTION_SCORE_PAPER,
        facts={told: folder.facts[fact] for fact, told in FACTS.items() if fact in folder.facts},
        renderer=renderer,
        options=options,
    )


def _read_stage(stage: str, folder: ResultFolder) -> Curves | AbsentFile:
    options = folder.options
    log = options.runs / stage / "epochs.jsonl"
    if log.exists():
        return read_curves(log)
    return AbsentFile(str(log), folder.command(f"train_{stage}.py", "store", "checkpoints", "runs"))

