"""The parts of the page that show result files: which tables, which of their rows and columns, which pictures."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.elbo import ELBO_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.form import FORM_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE, answer_columns
from evaluation.metrics.genre_likelihood import GENRE_LIKELIHOOD_TABLE
from evaluation.metrics.music import MUSIC_TABLE, overlap_by_genre
from evaluation.metrics.probes import PROBES_TABLE
from evaluation.metrics.reconstruction import MSE_LEAKING_TABLE, MSE_TABLE
from evaluation.metrics.restyling import RESTYLING_TABLE
from evaluation.metrics.separation import LATENT_TABLE
from evaluation.published import MSE, published_for
from evaluation.tables import ALL_ID, Column, ResultTable, of_all
from page.result_folder import AbsentFile, Part, ResultFolder

# Options to pass on to the program that makes a missing file.
WEIGHTS = ("store", "checkpoints", "metrics")
CLIPS = (*WEIGHTS, "checkpoint")

# Maps the rows of a table, and the genres, to the rows and columns to show.
View = Callable[[pd.DataFrame, list[str]], tuple[pd.DataFrame, Sequence[Column]]]


def _with_latents(folder: ResultFolder) -> list[int]:
    """Latent plots of one T are enough: every T that has them, or else the shortest."""
    there = [seq_len for seq_len in folder.seq_lens if LATENT_TABLE.path(folder.options.metrics, seq_len).exists()]
    return there or folder.seq_lens[:1]


@dataclass(frozen=True)
class ResultPart:
    """A result table, shown as one table for each value of the column `by` and each of the `views`.

    `views` by caption, where None is every row with the declared columns; `pictures`: descriptions by file name.
    Captions and file names may contain {T}, {embedder} and {condition}. `options` are those of the table's program.
    `lengths` returns the T that should be there.
    """

    table: ResultTable
    views: Mapping[str, View | None]
    by: str = "T"
    pictures: Mapping[str, str] = field(default_factory=dict)
    options: tuple[str, ...] = WEIGHTS
    lengths: Callable[[ResultFolder], list[int]] = lambda folder: folder.seq_lens

    def show(self, folder: ResultFolder) -> list[Part]:
        """Pictures, tables, and what is missing with the command that makes it."""
        seq_lens = self.lengths(folder)
        if not seq_lens:
            return []
        frame = folder.read(self.table, seq_lens)
        missing = [seq_len for seq_len in seq_lens if frame is None or seq_len not in frame["T"].unique()]
        each_in_a_file = "{T}" in self.table.file
        lengths = f"--seq-len {','.join(map(str, missing or seq_lens))}" if each_in_a_file else ""
        command = folder.command(self.table.program, *self.options, more=lengths)
        pictures = {name.format(T=seq_len): alt for seq_len in seq_lens for name, alt in self.pictures.items()}
        parts = [folder.picture(name, alt, command) for name, alt in pictures.items()]
        for _, rows in frame.groupby(self.by, sort=False) if frame is not None else ():
            facts = {**rows.iloc[0], "condition": folder.condition}
            for caption, view in self.views.items():
                shown, columns = view(rows, folder.genres) if view else (rows, self.table.columns)
                source = self.table.file.format_map(facts)
                parts.append(folder.table(caption.format_map(facts), source, shown, columns))
        if each_in_a_file or frame is None:
            names = dict.fromkeys(self.table.file.format(T=seq_len) for seq_len in missing)
        else:
            names = [f"{self.table.file}, T = {', '.join(map(str, missing))}"] if missing else []
        return parts + [AbsentFile(name, command) for name in names]


def _plain_names(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(feature=rows["feature"].str.replace("_", " "))


# By section of the page.
PARTS: dict[str, tuple[ResultPart, ...]] = {
    "fad": (
        ResultPart(
            FAD_TABLE,
            {"{embedder}": None},
            by="embedder",
            pictures={"fad_results.png": "Bar chart of the Fréchet audio distances in the tables below."},
            options=CLIPS,
        ),
    ),
    "music": (
        ResultPart(
            MUSIC_TABLE,
            {
                "All together, T = {T}": lambda rows, genres: (of_all(_plain_names(rows)), MUSIC_TABLE.columns),
                "Overlap of generated with real clips by {condition}, T = {T}": (
                    lambda rows, genres: overlap_by_genre(_plain_names(rows))
                ),
            },
            options=CLIPS,
        ),
    ),
    "form": (
        ResultPart(
            FORM_TABLE,
            {
                "All together, {embedder}": lambda rows, genres: (of_all(rows), FORM_TABLE.columns),
                "By {condition}, {embedder}": (
                    lambda rows, genres: (rows[rows["genre_id"] != ALL_ID], FORM_TABLE.columns)
                ),
            },
            by="embedder",
            options=CLIPS,
            lengths=lambda folder: [max(folder.seq_lens)],
        ),
    ),
    "genre": (
        ResultPart(
            GENRE_TABLE,
            {
                "Accuracy, T = {T}": None,
                "Answers for generated clips, shares of each {condition}, T = {T}": (
                    lambda rows, genres: (rows, answer_columns("generated", genres))
                ),
                "Answers for real clips, shares of each {condition}, T = {T}": (
                    lambda rows, genres: (rows, answer_columns("real", genres))
                ),
            },
            options=CLIPS,
        ),
        ResultPart(
            GENRE_LIKELIHOOD_TABLE,
            {"{condition} found by the CVAE's likelihood in real music, T = {T}": None},
            pictures={"genre_likelihood-T{T}.png": "Reliability diagrams of the likelihood and of the classifier."},
        ),
    ),
    "mse": (
        ResultPart(MSE_TABLE, {"Reconstruction, T = {T}": None}),
        ResultPart(
            MSE_LEAKING_TABLE,
            {"Reconstruction, T = {T}, each frame fed to its own prediction, as published": None},
            lengths=lambda folder: [t for t in folder.seq_lens if published_for(MSE, t, folder.genres)],
        ),
    ),
    "elbo": (ResultPart(ELBO_TABLE, {"Evidence lower bound, T = {T}": None}),),
    "restyling": (ResultPart(RESTYLING_TABLE, {"Restyling, T = {T}": None}),),
    "damage": (ResultPart(DAMAGE_TABLE, {"{embedder}": None}, by="embedder", options=("store", "metrics")),),
    "latent": (
        ResultPart(
            LATENT_TABLE,
            {"Separation by {condition}, T = {T}": lambda rows, genres: (of_all(rows), LATENT_TABLE.columns)},
            pictures={
                "latent_tsne-T{T}.png": "Scatter plot of windows: t-SNE of the latents z, coloured by genre.",
                "rolls_embedding-T{T}.png": "Scatter plots of windows: PCA, t-SNE, Isomap of rolls, coloured by genre.",
            },
            lengths=_with_latents,
        ),
        ResultPart(PROBES_TABLE, {"Linear probes of the mean vectors of songs, T = {T}": None}),
    ),
}


def merge_absent(parts: Sequence[Part]) -> list[Part]:
    """Move missing files to the end; join those that one command makes."""
    absent: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, AbsentFile):
            absent.setdefault(part.command, []).append(part.name)
    there = [part for part in parts if not isinstance(part, AbsentFile)]
    return there + [AbsentFile(", ".join(names), command) for command, names in absent.items()]
