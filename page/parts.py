"""The parts of the page that come from result files: tables and pictures of each evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd

from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.elbo import ELBO_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE, answer_columns
from evaluation.metrics.music import MUSIC_TABLE, overlap_by_genre
from evaluation.metrics.reconstruction import MSE_LEAKING_TABLE, MSE_TABLE
from evaluation.published import MSE, published_for
from evaluation.samples.latent_views import LATENT_TABLE
from evaluation.tables import ResultTable, of_all
from page.explainable_results import explainable_parts
from page.result_folder import AbsentFile, Part, ResultFolder
from page.tables import show_numbers

# Options that say which music and which weights a program is to use, and where its results go.
WEIGHTS = ("store", "checkpoints", "metrics")
CLIPS = (*WEIGHTS, "checkpoint")
LATENT_PICTURES = {
    "latent_tsne": "t-SNE of the latents z, coloured by genre",
    "rolls_embedding": "PCA, t-SNE and Isomap of the rolls, coloured by genre",
}


@dataclass(frozen=True)
class Headline:
    """What to see first: the distance over all genres at one T, by one embedder, and its yardsticks, as text.

    Published values are None where there are none for these genres.
    """

    seq_len: int
    origin: str
    n_real: str
    n_fake: str
    fad: str
    floor: str
    over_floor: str
    reported: float | None
    reported_paper: float | None


def fad_headlines(folder: ResultFolder) -> dict[str, list[Headline]]:
    """By embedder one for each T; none where the table is missing."""
    headlines: dict[str, list[Headline]] = {}
    frame = folder.read(FAD_TABLE)
    for row in () if frame is None else of_all(frame).to_dict("records"):
        keys = "n_real", "n_fake", "FAD", "FAD_floor", "FAD_over_floor"
        ours = show_numbers([row[key] for key in keys], alone=True)
        published = [None if pd.isna(row[key]) else row[key] for key in ("reported", "reported_paper")]
        headlines.setdefault(row["embedder"], []).append(Headline(row["T"], row["origin"], *ours, *published))
    return headlines


def fad_parts(folder: ResultFolder) -> list[Part]:
    """Chart, and a table for each embedder."""
    command = folder.command(FAD_TABLE.program, *CLIPS)
    alt = "Bar chart of the Fréchet audio distances by genre and T. The tables below hold its numbers."
    return [folder.picture("fad_results.png", alt, command), *_by_embedder(folder, FAD_TABLE, command)]


def damage_parts(folder: ResultFolder) -> list[Part]:
    """A table for each embedder."""
    return _by_embedder(folder, DAMAGE_TABLE, folder.command(DAMAGE_TABLE.program, "store", "metrics"))


def music_parts(folder: ResultFolder) -> list[Part]:
    """For each T the features over all genres, and the overlap of each by genre."""

    def tables(file: str, seq_len: int, frame: pd.DataFrame) -> list[Part]:
        frame = frame.assign(feature=frame["feature"].str.replace("_", " "))
        overlap, columns = overlap_by_genre(frame)
        caption = f"Overlap of generated with real clips by {folder.condition}, T = {seq_len}"
        return [
            folder.table(f"All together, T = {seq_len}", file, of_all(frame), MUSIC_TABLE.columns),
            folder.table(caption, file, overlap, columns),
        ]

    command = folder.command(MUSIC_TABLE.program, *CLIPS)
    return _at_each(folder, MUSIC_TABLE, folder.seq_lens, lambda seq_len: command, tables)


def genre_parts(folder: ResultFolder) -> list[Part]:
    """For each T the classifier's accuracy, and what it takes generated and real clips for."""

    def tables(file: str, seq_len: int, frame: pd.DataFrame) -> list[Part]:
        parts: list[Part] = [folder.table(f"Accuracy, T = {seq_len}", file, frame, GENRE_TABLE.columns)]
        for side in ("generated", "real"):
            caption = f"What {side} clips are taken for, shares of each {folder.condition}, T = {seq_len}"
            parts.append(folder.table(caption, file, frame, answer_columns(side, folder.genres)))
        return parts

    command = folder.command(GENRE_TABLE.program, *CLIPS)
    return _at_each(folder, GENRE_TABLE, folder.seq_lens, lambda seq_len: command, tables)


def mse_parts(folder: ResultFolder) -> list[Part]:
    """A table for each T, and one that is made like the published values for each T that has them."""

    def tables(file: str, seq_len: int, frame: pd.DataFrame) -> list[Part]:
        leak = ", each frame shown to its own prediction, as published" if "leaking" in file else ""
        return [folder.table(f"Reconstruction, T = {seq_len}{leak}", file, frame, MSE_TABLE.columns)]

    with_published = [seq_len for seq_len in folder.seq_lens if published_for(MSE, seq_len, folder.genres)]
    return [
        *_at_each(folder, MSE_TABLE, folder.seq_lens, _at_length(folder, MSE_TABLE), tables),
        *_at_each(folder, MSE_LEAKING_TABLE, with_published, _at_length(folder, MSE_LEAKING_TABLE), tables),
    ]


def elbo_parts(folder: ResultFolder) -> list[Part]:
    """A table for each T."""

    def tables(file: str, seq_len: int, frame: pd.DataFrame) -> list[Part]:
        return [folder.table(f"Evidence lower bound, T = {seq_len}", file, frame, ELBO_TABLE.columns)]

    return _at_each(folder, ELBO_TABLE, folder.seq_lens, _at_length(folder, ELBO_TABLE), tables)


def latent_parts(folder: ResultFolder) -> list[Part]:
    """Two pictures and a table for each T that has a table, or what is missing for the shortest T."""

    def command(seq_len: int) -> str:
        return folder.command(LATENT_TABLE.program, *WEIGHTS, more=f"--seq-len {seq_len}")

    def tables(file: str, seq_len: int, frame: pd.DataFrame) -> list[Part]:
        caption = f"How far the {folder.condition} names lie apart, T = {seq_len}"
        return [folder.table(caption, file, of_all(frame), LATENT_TABLE.columns)]

    there = [seq_len for seq_len in folder.seq_lens if LATENT_TABLE.path(folder.options.metrics, seq_len).exists()]
    seq_lens = there or folder.seq_lens[:1]
    pictures = [
        folder.picture(f"{picture}-T{seq_len}.png", f"Scatter plot, a point for each window: {what}.", command(seq_len))
        for seq_len in seq_lens
        for picture, what in LATENT_PICTURES.items()
    ]
    return [*pictures, *_at_each(folder, LATENT_TABLE, seq_lens, command, tables)]


def merge_absent(parts: Sequence[Part]) -> list[Part]:
    """The parts, and last the absent files, those together that one command makes."""
    absent: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, AbsentFile):
            absent.setdefault(part.command, []).append(part.name)
    there = [part for part in parts if not isinstance(part, AbsentFile)]
    return there + [AbsentFile(", ".join(names), command) for command, names in absent.items()]


def _at_length(folder: ResultFolder, table: ResultTable) -> Callable[[int], str]:
    """The command that makes a table of one T."""
    return lambda seq_len: folder.command(table.program, *WEIGHTS, more=f"--seq-len {seq_len}")


def _at_each(
    folder: ResultFolder,
    table: ResultTable,
    seq_lens: Sequence[int],
    command: Callable[[int], str],
    tables: Callable[[str, int, pd.DataFrame], list[Part]],
) -> list[Part]:
    """What tables(file, T, frame) makes of the table of each T, or that it is absent and made by command(T)."""
    parts: list[Part] = []
    for seq_len in seq_lens:
        file = table.path(folder.options.metrics, seq_len).name
        frame = folder.read(table, seq_len)
        parts += [AbsentFile(file, command(seq_len))] if frame is None else tables(file, seq_len, frame)
    return parts


def _by_embedder(folder: ResultFolder, table: ResultTable, command: str) -> list[Part]:
    """A table for each embedder, and which T of the page are absent."""
    frame = folder.read(table)
    groups = [] if frame is None else frame.groupby("embedder", sort=False)
    tables = [folder.table(name, table.file, rows, table.columns) for name, rows in groups]
    return [*tables, *_absent_lengths(folder, table, frame, command)]


def _absent_lengths(
    folder: ResultFolder, table: ResultTable, frame: pd.DataFrame | None, command: str
) -> list[AbsentFile]:
    """What a table of all T should hold and does not: a T of the page, or all of it."""
    if frame is None:
        return [AbsentFile(table.file, command)]
    lengths = [str(seq_len) for seq_len in folder.seq_lens if not (frame["T"] == seq_len).any()]
    return [AbsentFile(f"{table.file}, T = {', '.join(lengths)}", command)] if lengths else []


# In the order of reading; each finds its tables and pictures, or what is absent.
PARTS: dict[str, Callable[[ResultFolder], list[Part]]] = {
    "fad": fad_parts,
    "music": music_parts,
    "genre": genre_parts,
    "mse": mse_parts,
    "elbo": elbo_parts,
    "damage": damage_parts,
    "latent": latent_parts,
    "explainable": explainable_parts,
}
