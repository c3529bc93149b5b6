"""The page of all results: clips to play, the sources compared, the main numbers, then all tables, folded.

A single HTML file that loads nothing from a network. Its only script is that of the control panel.
"""

import json
from pathlib import Path

import jinja2

from audio.synthesis import open_renderer
from common.errors import UserError
from evaluation.metrics.fad import FAD_TABLE
from evaluation.published import GENRE_ACCURACY_PAPER, INCEPTION_SCORE_PAPER
from evaluation.samples.clips import open_clip_sources
from evaluation.statistics.features import FEATURES
from figures.loss_sheet import draw_losses
from figures.style import GENRE_COLORS, png
from page.comparison import compare_sources
from page.explainable import explainable_parts, read_panel
from page.findings import show_findings
from page.listening import choose_listening, choose_pieces, data_uri, note_path
from page.options import ReportOptions
from page.parts import PARTS, WEIGHTS, merge_absent
from page.result_folder import FACTS, SHARED, AbsentFile, Part, Picture, ResultFolder


def make_page(options: ReportOptions) -> str:
    """The page as HTML; it names each missing result, picture and log.

    Raises `UserError` or `CheckpointError` without a store, a generator or the synthesiser.
    """
    sources = open_clip_sources(options)
    renderer = open_renderer(options.synth, options.soundfont)
    genres, seq_lens = sources[0].genres, list(dict.fromkeys(source.seq_len for source in sources))
    expected = {fact: sources[0].facts[fact] for fact in SHARED}
    folder = ResultFolder(options, genres, sources[0].trained.condition, seq_lens, expected)
    parts = {section: [shown for part in parts for shown in part.show(folder)] for section, parts in PARTS.items()}
    parts["explainable"] = explainable_parts(folder)
    fad = folder.read(FAD_TABLE, seq_lens)
    findings = show_findings(folder)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), undefined=jinja2.StrictUndefined,
        autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["note_path"] = note_path
    return environment.get_template("page.html.jinja").render(
        genres=genres,
        condition=folder.condition,
        colors=[GENRE_COLORS[genre_id % len(GENRE_COLORS)] for genre_id in range(len(genres))],
        sources=sources,
        frames_per_second=sources[0].trained.frames_per_second,
        listening=[
            choose_listening(
                [source for source in sources if source.seq_len == seq_len],
                renderer,
                options.real_clips,
                options.generated_clips,
                options.workers,
            )
            for seq_len in sorted(seq_lens, reverse=True)
        ],
        pieces=choose_pieces(sources, options.piece_minutes, renderer, options.workers),
        fad_file=FAD_TABLE.file,
        charts=[] if fad is None else compare_sources(fad),
        n_features=len(FEATURES),
        findings=findings or [AbsentFile("results", folder.command("evaluate.py", *WEIGHTS, "runs"))],
        parts={section: merge_absent(shown) for section, shown in parts.items()},
        losses={stage: _losses(stage, folder) for stage in ("cvae", "cgan", "hybrid")},
        sweeps=read_panel(options.metrics),
        accuracy_paper=GENRE_ACCURACY_PAPER,
        inception_paper=INCEPTION_SCORE_PAPER,
        facts={name: folder.facts[fact] for fact, name in FACTS.items() if fact in folder.facts},
        renderer=renderer,
        options=options,
    )


def _losses(stage: str, folder: ResultFolder) -> Part:
    """The loss curves of a stage. Raises `UserError` if its log is something else."""
    log = folder.options.runs / stage / "epochs.jsonl"
    try:
        lines = log.read_text(encoding="utf-8").splitlines(keepends=True) if log.exists() else []
        # A run that was killed may leave an incomplete line.
        epochs = [json.loads(line) for line in lines if line.endswith("\n")]
        if not epochs:
            return AbsentFile(str(log), folder.command(f"train_{stage}.py", "store", "checkpoints", "runs"))
        image = png(draw_losses(epochs))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{log}: not the log of a training run; name another folder with --runs") from error
    return Picture(str(log), f"Losses of train_{stage}.py over {len(epochs)} epochs.", data_uri("image/png", image))
