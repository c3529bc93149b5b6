"""The layout of the page: tabs, controls, and what each control starts. What it makes comes from `Studio`."""

import random
from collections.abc import Callable, Iterator, Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import gradio as gr
import pandas as pd

from common.errors import UserError
from data.song import FRAMES_PER_SECOND
from evaluation.metrics.song_scores import NOTES_TABLE, SCORES_TABLE
from evaluation.options import SOURCES
from evaluation.tables import Column
from explainable.steering import REPORT_COLUMNS
from generation.options import Options as MusicOptions
from models.errors import CheckpointError
from page.tables import show_table
from playground.studio import Made, Studio

Answer = dict[gr.blocks.Block, Any]  # new values by component; the others stay as they are
THEME = gr.themes.Default(
    primary_hue="teal", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
)  # the fonts of the reader's computer
CSS = """
.answer table { border-collapse: collapse; font-variant-numeric: tabular-nums }
.answer caption { text-align: left; font-weight: 600; padding: .3em 0 }
.answer th, .answer td { text-align: right; padding: .2em .9em .2em 0; border-bottom: 1px solid #8884 }
.answer th:first-child, .answer td:first-child { text-align: left }
.new-seed { align-self: end; margin-bottom: .4em }
.answer { overflow-x: auto }
.answer p { margin: 0 0 .3em } .answer pre { overflow-x: auto; font-size: .85em; line-height: 1.4; margin: 0 }
.answer .error { color: #b3261e; font-weight: 600 } .dark .answer .error { color: #ff8a80 }
footer { display: none !important }
"""
CONTINUE, RESTYLE, INFILL, VARY = ACTIONS = ("Continue", "Restyle", "Infill", "Vary")
_FIELDS = dict(zip(ACTIONS, ("continue_file", "reconstruct", "infill", "vary"), strict=True))
_SOURCE_NAMES = dict(zip(SOURCES, ("Generator", "CVAE decoder"), strict=True))
_TEAL = "#0d9488"
_MIDI, _MOST_WINDOWS, _LARGEST_SEED = [".mid", ".midi"], 8, 2**31 - 1
_NOT_SHOWN = {"file", "other_latents_per_second"}  # columns of scores: the page scores one file


class Shown(NamedTuple):
    """Components that show music; `results` holds the others and is hidden while there are none."""

    message: gr.HTML
    results: gr.Column
    sound: gr.Audio
    picture: gr.Image
    midi: gr.File
    command: gr.Code

    def of(self, made: Made) -> Answer:
        """The sound first; the picture when it is there."""
        if made.picture:
            return {self.picture: str(made.picture)}
        return {
            self.message: _lines(made.remarks), self.results: gr.update(visible=True), self.sound: str(made.sound),
            self.midi: [str(path) for path in made.midi], self.command: made.command,
        }  # fmt: skip


def build_page(studio: Studio) -> gr.Blocks:
    """The page; `launch` serves it."""
    with gr.Blocks(title="Music by genre", analytics_enabled=False, delete_cache=(600, 3600)) as page:
        gr.Markdown(
            "# Music by genre\nPiano music from the networks of this repository. All of it is made on this computer; "
            "nothing is sent anywhere."
        )
        with gr.Tab("Generate"):
            _generate_tab(studio)
        with gr.Tab("From a file"):
            _file_tab(studio)
        with gr.Tab("Score"):
            _score_tab(studio)
        with gr.Tab("Sliders"):
            _slider_tab(studio)
    return page.queue(default_concurrency_limit=2)


def _generate_tab(studio: Studio) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            genre = _genre(studio)
            names = [(_SOURCE_NAMES[name], name) for name in studio.sources]
            source = gr.Radio(names, value="cvae", label="Played by")
            windows, temperature, seed = _windows(studio), _temperature(), _seed()
            start = gr.Button("Generate", variant="primary")
        with gr.Column(scale=5):
            shown = _shown("Choose a genre, and press Generate.")
    source.change(lambda name: gr.update(interactive=name == "cvae"), source, temperature, show_progress="hidden")

    def make(folder: Path, genre: str, source: str, windows: int, temperature: float, seed: int) -> Iterator[Answer]:
        settings = {"genre": genre, "source": source, "windows": windows, "seed": _whole(seed)}
        settings |= {"temperature": temperature} if source == "cvae" else {}
        return map(shown.of, studio.music(folder, **settings))

    start.click(
        _answering(make, shown.message, shown.results),
        [genre, source, windows, temperature, seed],
        [*shown],
        api_visibility="private",
    )


def _file_tab(studio: Studio) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="MIDI file", file_types=_MIDI, height=140)
            about = gr.HTML(elem_classes="answer")
            action = gr.Radio(ACTIONS, value=CONTINUE, label="What to do with it")
            genre, windows = _genre(studio), _windows(studio)
            with gr.Row(visible=False) as span:
                first = gr.Slider(0, 60, 8, step=1, precision=0, label="From second")
                end = gr.Slider(1, 60, 16, step=1, precision=0, label="To second")
            amount = gr.Slider(
                0, 1, _default("amount"), step=0.05, label="Amount", visible=False,
                info="share of its seconds to redraw, and how far; 0 keeps the file, 1 is new music",
            )  # fmt: skip
            temperature, seed = _temperature(), _seed()
            start = gr.Button("Make music", variant="primary")
        with gr.Column(scale=5):
            shown = _shown("Choose a file, and press Make music.")
    of_action = {windows: CONTINUE, span: INFILL, amount: VARY}

    def show_controls(action: str) -> Answer:
        return {control: gr.update(visible=own == action) for control, own in of_action.items()}

    def read(_: Path, path: str | None) -> Iterator[Answer]:
        roll = studio.read(_chosen(path))
        n_seconds = -(-roll.shape[1] // FRAMES_PER_SECOND)
        last = min(n_seconds, 16)
        yield {
            about: _lines(f"{n_seconds} seconds of music"),
            first: gr.update(maximum=n_seconds - 1, value=max(0, last - 8)),
            end: gr.update(maximum=n_seconds, value=last),
        }  # fmt: skip

    def make(
        folder: Path, path: str | None, action: str, genre: str, windows: int, first: int, end: int, amount: float,
        temperature: float, seed: int,
    ) -> Iterator[Answer]:  # fmt: skip
        settings = {"genre": genre, "temperature": temperature, "seed": _whole(seed), _FIELDS[action]: _chosen(path)}
        if action == INFILL and first >= end:
            raise UserError("the last second must come after the first")
        own = {CONTINUE: {"windows": windows}, INFILL: {"span": (first, end)}, VARY: {"amount": amount}}
        return map(shown.of, studio.music(folder, **settings, **own.get(action, {})))

    action.change(show_controls, action, [*of_action], show_progress="hidden")
    file.upload(_answering(read, about), file, [about, first, end], show_progress="hidden")
    file.clear(lambda: "", None, about)
    controls = [file, action, genre, windows, first, end, amount, temperature, seed]
    start.click(_answering(make, shown.message, shown.results), controls, [*shown], api_visibility="private")


def _score_tab(studio: Studio) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            file = gr.File(label="MIDI file", file_types=_MIDI, height=140)
            seed = _seed()
            start = gr.Button("Score", variant="primary")
            gr.Markdown(
                "How well does the CVAE predict the file under each genre? Few bits mean expected music. The circles "
                "mark the most surprising notes. `docs/scoring.md` explains the numbers."
            )
        with gr.Column(scale=5):
            message = gr.HTML("Choose a file, and press Score.", elem_classes="answer")
            with gr.Column(visible=False, elem_classes="results") as results:
                picture = _picture("Notes by surprise, bits by second, genres by window")
                genres = gr.HTML(elem_classes="answer")
                notes = gr.HTML(elem_classes="answer")
                command = _command()

    def make(folder: Path, path: str | None, seed: int) -> Iterator[Answer]:
        score = studio.score(folder, _chosen(path), _whole(seed))
        yield {
            message: _lines(f"Likeliest genre: {score.genre}"), results: gr.update(visible=True),
            picture: str(score.picture),
            genres: _table("Bits by genre", score.genres, SCORES_TABLE.columns, studio.condition),
            notes: _table("Most surprising notes", score.notes, NOTES_TABLE.columns, studio.condition),
            command: score.command,
        }  # fmt: skip

    outputs = [message, results, picture, genres, notes, command]
    start.click(_answering(make, message, results), [file, seed], outputs, api_visibility="private")


def _slider_tab(studio: Studio) -> None:
    with gr.Row():
        with gr.Column(scale=2, min_width=280):
            gr.Markdown("Move a slider: AttributeVAE, a network of folk tunes, plays bars with these attributes.")
            sliders = [
                gr.Slider(low, high, middle, step=0.01, label=name.replace("_", " ").capitalize())
                for name, (low, middle, high) in studio.sliders.items()
            ]
            measures = gr.Slider(1, 8, 4, step=1, precision=0, label="Measures")
            seed = _seed()
        with gr.Column(scale=5):
            shown = _shown("Move a slider.")
            reached = gr.HTML(elem_classes="answer")

    def make(folder: Path, measures: int, seed: int, *values: float) -> Iterator[Answer]:
        targets = dict(zip(studio.sliders, values, strict=True))
        for made in studio.melody(folder, _whole(seed), measures, targets):
            yield shown.of(made) | {reached: _table("Attributes of the melody", made.report, REPORT_COLUMNS)}

    outputs = [*shown, reached]
    moved = [control.input for control in (measures, *sliders)] + [seed.change]
    answer = _answering(make, shown.message, shown.results)
    gr.on(
        moved, answer, [measures, seed, *sliders], outputs, trigger_mode="always_last", show_progress="hidden",
        api_visibility="private",
    )  # fmt: skip


def _answering(
    make: Callable[..., Iterator[Answer]], message: gr.HTML, results: gr.Column | None = None
) -> Callable[..., Iterator[Answer]]:
    """A handler that calls `make` with a folder for its files and the values of the controls.

    An error of the user becomes a line in `message`, and hides `results`.
    """

    def answer(*values: Any) -> Iterator[Answer]:
        with TemporaryDirectory() as folder:
            try:
                yield from make(Path(folder), *values)
            except (UserError, CheckpointError) as error:
                line = str(error)
                for path in (Path(value) for value in values if isinstance(value, str)):
                    line = line.replace(f"{path.parent}/", "")
                hidden = {results: gr.update(visible=False)} if results else {}
                yield {message: f'<p class="error" role="alert">{escape(line)}</p>', **hidden}

    return answer


def _shown(hint: str) -> Shown:
    message = gr.HTML(hint, elem_classes="answer")
    with gr.Column(visible=False, elem_classes="results") as results:
        wave = gr.WaveformOptions(waveform_progress_color=_TEAL)
        sound = gr.Audio(label="Sound", interactive=False, autoplay=True, buttons=["download"], waveform_options=wave)
        picture = _picture("Piano roll")
        midi = gr.File(label="MIDI file", interactive=False, file_count="multiple")
        command = _command()
    return Shown(message, results, sound, picture, midi, command)


def _picture(label: str) -> gr.Image:
    return gr.Image(label=label, show_label=False, interactive=False, buttons=["download", "fullscreen"])


def _command() -> gr.Code:
    return gr.Code(label="The same on the command line", language="shell", interactive=False, lines=1, wrap_lines=True)


def _genre(studio: Studio) -> gr.Dropdown:
    return gr.Dropdown(studio.genres, value=studio.genres[0], label=studio.condition.capitalize())


def _windows(studio: Studio) -> gr.Slider:
    label = f"Windows of {studio.window_seconds:g} seconds"
    return gr.Slider(1, _MOST_WINDOWS, _default("windows"), step=1, precision=0, label=label)


def _temperature() -> gr.Slider:
    info = "1 samples the CVAE, lower favours likely notes"
    return gr.Slider(0, 2, _default("temperature"), step=0.05, label="Temperature", info=info)


def _seed() -> gr.Number:
    with gr.Row():
        seed = gr.Number(_default("seed"), label="Seed", precision=0, minimum=0, maximum=_LARGEST_SEED, min_width=120)
        button = gr.Button("New seed", size="sm", min_width=90, elem_classes="new-seed")
    button.click(lambda: random.randint(0, 999_999), None, seed, show_progress="hidden", api_visibility="private")
    return seed


def _default(name: str) -> Any:
    return getattr(MusicOptions, name)


def _whole(seed: int | None) -> int:
    if seed is None:
        raise UserError("the seed is empty; give a whole number")
    return seed


def _chosen(path: str | None) -> Path:
    if path is None:
        raise UserError("choose a MIDI file first")
    return Path(path)


def _lines(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _table(caption: str, frame: pd.DataFrame, columns: Sequence[Column], condition: str = "genre") -> str:
    """A table as HTML, with aligned numbers."""
    shown = show_table(caption, "", frame, [c for c in columns if c.key not in _NOT_SHOWN], condition=condition)
    lines = [[cell.text for cell in cells] for cells, _ in shown.lines]
    rows = "".join(f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in line)}</tr>" for line in lines)
    headings = "".join(f"<th>{escape(column.heading)}</th>" for column in shown.columns)
    return f"<table><caption>{caption}</caption><thead><tr>{headings}</tr></thead><tbody>{rows}</tbody></table>"
