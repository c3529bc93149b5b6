"""The parts of the page that come from result files: tables and pictures of each evaluation, and their columns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from evaluation.published import ELBO, FAD, FAD_PAPER, MSE, published_for
from evaluation.tables import ALL_ID, ALL_NAME
from page.result_folder import Missing, Part, ResultFolder
from page.tables import BASELINE, LABEL, REPORTED, SHARE, Column, TextRow, show_numbers

# Options that say which music and which weights a script is to use, and where its results go.
WEIGHTS = ("store", "checkpoints", "metrics")
CLIPS = (*WEIGHTS, "checkpoint")

FAD_FILE = "fad_results.csv"
FAD_COLUMNS = [
    Column("T", "T", LABEL),
    Column("genre_name", "genre", LABEL),
    Column("n_real", "real"),
    Column("n_fake", "generated"),
    Column("n_empty", "empty"),
    Column("FAD", "FAD"),
    Column("FAD_seeds_std", "± seeds"),
    Column("FAD_floor", "floor", BASELINE),
    Column("FAD_floor_std", "±", BASELINE),
    Column("FAD_over_floor", "FAD / floor"),
    Column("FAD_train", "training clips", BASELINE),
    Column("FAD_infinity", "FAD∞"),
    Column("KAD", "KAD"),
    Column("KAD_floor", "floor", BASELINE),
    Column("reported", "reported", REPORTED),
    Column("reported_paper", "reported by [1]", REPORTED),
]
MUSIC_COLUMNS = [
    Column("feature", "feature", LABEL),
    Column("unit", "unit", LABEL),
    Column("generated", "generated", alone=True),
    Column("real", "real", BASELINE, alone=True),
    Column("overlap_area", "overlap"),
    Column("overlap_halves", "real halves", BASELINE),
    Column("overlap_training", "training songs", BASELINE),
]
GENRE_COLUMNS = [
    Column("genre_name", "genre", LABEL),
    Column("accuracy_generated", "generated"),
    Column("accuracy_sounding", "of sounding clips"),
    Column("accuracy_real", "real (ceiling)", BASELINE),
    Column("chance", "chance", BASELINE),
    Column("n_generated", "clips"),
    Column("n_empty", "empty"),
    Column("n_real", "real clips"),
    Column("inception_generated", "IS generated"),
    Column("inception_real", "IS real", BASELINE),
]
LABELS_COLUMNS = [
    Column("measure", "measure", LABEL),
    Column("given", "labels as given", alone=True),
    Column("shuffled", "labels at random", alone=True),
    Column("difference", "difference", alone=True),
    Column("limit", "real clips", BASELINE, alone=True),
    Column("trivial", "trivial", BASELINE, alone=True),
]
MSE_COLUMNS = [
    Column("genre", "genre", LABEL),
    Column("n", "windows"),
    Column("MSE_cvae_mean", "MSE"),
    Column("MSE_cvae_std", "±"),
    Column("reported", "reported", REPORTED),
    Column("MSE_zeros", "all zeros", BASELINE),
    Column("MSE_pitch_mean", "pitch mean", BASELINE),
    Column("MSE_previous_frame", "previous frame", BASELINE),
    Column("MSE_free", "MSE, free"),
    Column("frame_F1", "frame F1"),
    Column("frame_F1_shuffled", "another song", BASELINE),
    Column("onset_F1", "onset F1"),
    Column("onset_F1_shuffled", "another song", BASELINE),
]
ELBO_COLUMNS = [
    Column("genre", "genre", LABEL),
    Column("n", "windows"),
    Column("Recon_Loss_mean", "recon"),
    Column("KL_Div_mean", "KL"),
    Column("ELBO_mean", "ELBO"),
    Column("reported_recon", "reported recon", REPORTED),
    Column("reported_KL", "reported KL", REPORTED),
    Column("reported_ELBO", "reported ELBO", REPORTED),
    Column("bernoulli_ELBO_nats", "true ELBO, nats"),
    Column("bits_per_cell", "bits / cell"),
    Column("bits_per_cell_pitch_mean", "pitch mean", BASELINE),
    Column("bits_per_cell_previous_frame", "previous frame", BASELINE),
    Column("active_units", "active z"),
]
SANITY_COLUMNS = [
    Column("T", "T", LABEL),
    Column("damage", "damage", LABEL),
    Column("n", "clips"),
    Column("n_empty", "empty"),
    Column("FAD", "FAD"),
    Column("FAD_over_floor", "FAD / floor"),
    Column("KAD", "KAD"),
]
LATENT_COLUMNS = [
    Column("space", "space", LABEL),
    Column("view", "view", LABEL),
    Column("dimensions", "dimensions"),
    Column("silhouette", "silhouette"),
    Column("kNN_other_songs", "k-NN, other songs"),
    Column("kNN_other_songs_floor", "shuffled", BASELINE),
    Column("kNN_any_song", "k-NN, any song"),
    Column("kNN_any_song_floor", "shuffled", BASELINE),
    Column("chance", "chance", BASELINE),
]
LATENT_PICTURES = {
    "latent_tsne": "t-SNE of the latents z, coloured by genre",
    "rolls_embedding": "PCA, t-SNE and Isomap of the rolls, coloured by genre",
}


@dataclass(frozen=True)
class Headline:
    """What to see first: the distance over all genres at one T, by one embedder, and its yardsticks, as text.

    Published values are None where there are none for these genres.
    """

    seq_len: str
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
    for row in _all_genres(folder.rows(FAD_FILE)):
        keys = "T", "n_real", "n_fake", "FAD", "FAD_floor", "FAD_over_floor"
        ours = show_numbers([row[key] for key in keys], alone=True)
        published = [published_for(table, int(row["T"]), folder.genres).get(ALL_NAME) for table in (FAD, FAD_PAPER)]
        headlines.setdefault(row["embedder"], []).append(Headline(*ours, *published))
    return headlines


def fad_parts(folder: ResultFolder) -> list[Part]:
    """Chart, and a table for each embedder."""
    command = folder.command("eval_fad_samples.py", *CLIPS)
    alt = "Bar chart of the Fréchet audio distances by genre and T. The tables below hold its numbers."
    rows = folder.rows(FAD_FILE)
    for row in rows:
        for key, table in (("reported", FAD), ("reported_paper", FAD_PAPER)):
            row[key] = _text(published_for(table, int(row["T"]), folder.genres).get(row["genre_name"]))
    tables = [folder.table(name, FAD_FILE, members, FAD_COLUMNS) for name, members in _by_embedder(rows).items()]
    return [folder.picture("fad_results.png", alt, command), *tables, *_missing(folder, FAD_FILE, rows, command)]


def sanity_parts(folder: ResultFolder) -> list[Part]:
    """A table for each embedder."""
    file = "fad_sanity.csv"
    rows = folder.rows(file)
    tables = [folder.table(name, file, members, SANITY_COLUMNS) for name, members in _by_embedder(rows).items()]
    return [*tables, *_missing(folder, file, rows, folder.command("-m evaluation.damage", "store", "metrics"))]


def music_parts(folder: ResultFolder) -> list[Part]:
    """For each T the features over all genres, and the overlap of each by genre."""

    def tables(file: str, seq_len: int, rows: list[TextRow]) -> list[Part]:
        features: dict[str, dict[str, str]] = {}
        for row in rows:
            row["feature"] = row["feature"].replace("_", " ")
            features.setdefault(row["feature"], {"feature": row["feature"]})[row["genre_id"]] = row["overlap_area"]
        genres = {row["genre_id"]: row["genre_name"] for row in rows}
        columns = [MUSIC_COLUMNS[0], *(Column(genre_id, name, SHARE) for genre_id, name in genres.items())]
        caption = f"Overlap of generated with real clips by genre, T = {seq_len}"
        return [
            folder.table(f"All genres together, T = {seq_len}", file, _all_genres(rows), MUSIC_COLUMNS),
            folder.table(caption, file, list(features.values()), columns),
        ]

    command = folder.command("eval_music.py", *CLIPS)
    return _at_each(folder, folder.seq_lens, "music", lambda seq_len: command, tables)


def genre_parts(folder: ResultFolder) -> list[Part]:
    """For each T the classifier's accuracy, and what it takes generated and real clips for."""

    def tables(file: str, seq_len: int, rows: list[TextRow]) -> list[Part]:
        parts: list[Part] = [folder.table(f"Accuracy, T = {seq_len}", file, rows, GENRE_COLUMNS)]
        for origin in ("generated", "real"):
            answers = [Column(f"{origin}_as_{answer}", answer, SHARE) for answer in (*folder.genres, "silence")]
            caption = f"What {origin} clips are taken for, shares of each genre, T = {seq_len}"
            parts.append(folder.table(caption, file, rows, [GENRE_COLUMNS[0], *answers]))
        return parts

    command = folder.command("eval_genre.py", *CLIPS)
    return _at_each(folder, folder.seq_lens, "genre", lambda seq_len: command, tables)


def labels_parts(folder: ResultFolder) -> list[Part]:
    """For each T, over all genres, models trained with labels as given beside those with labels at random."""
    file = "labels.csv"
    rows = _all_genres(folder.rows(file))
    tables: list[Part] = []
    for seq_len in folder.seq_lens:
        members = [row for row in rows if row["T"] == str(seq_len)]
        now = [folder.hash_of_weights(f"hybrid_{model}_best_T{seq_len}.pth") for model in ("G", "cvae")]
        stale = any(row["given_sha256"] not in now for row in members)
        notes = ["Not of the weights that are there now: make it again."] if stale else []
        if members:
            caption = f"All genres together, T = {seq_len}"
            tables.append(folder.table(caption, file, members, LABELS_COLUMNS, notes))
    return [*tables, *_missing(folder, file, rows, folder.command("-m evaluation.compare_labels", *WEIGHTS))]


def mse_parts(folder: ResultFolder) -> list[Part]:
    """A table for each T, and one that is made like the published values for each T that has them."""

    def tables(file: str, seq_len: int, rows: list[TextRow]) -> list[Part]:
        published = published_for(MSE, seq_len, folder.genres)
        for row in rows:
            row["reported"] = _text(published.get(row["genre"]))
        leak = ", each frame shown to its own prediction, as published" if "leaking" in file else ""
        return [folder.table(f"Reconstruction, T = {seq_len}{leak}", file, rows, MSE_COLUMNS)]

    def command(seq_len: int, more: str = "") -> str:
        return folder.command("eval_mse.py", *WEIGHTS, more=f"--seq-len {seq_len}{more}")

    with_published = [seq_len for seq_len in folder.seq_lens if published_for(MSE, seq_len, folder.genres)]
    return [
        *_at_each(folder, folder.seq_lens, "eval_mse", command, tables),
        *_at_each(folder, with_published, "eval_mse_leaking", partial(command, more=" --leak-target"), tables),
    ]


def elbo_parts(folder: ResultFolder) -> list[Part]:
    """A table for each T."""

    def tables(file: str, seq_len: int, rows: list[TextRow]) -> list[Part]:
        published = published_for(ELBO, seq_len, folder.genres)
        for row in rows:
            values = map(_text, published.get(row["genre"], (None, None, None)))
            row.update(zip(("reported_recon", "reported_KL", "reported_ELBO"), values, strict=True))
        return [folder.table(f"Evidence lower bound, T = {seq_len}", file, rows, ELBO_COLUMNS)]

    def command(seq_len: int) -> str:
        return folder.command("eval_elbo.py", *WEIGHTS, more=f"--seq-len {seq_len}")

    return _at_each(folder, folder.seq_lens, "eval_elbo", command, tables)


def latent_parts(folder: ResultFolder) -> list[Part]:
    """Two pictures and a table for each T that has a table, or what is missing for the shortest T."""

    def command(seq_len: int) -> str:
        return folder.command("-m evaluation.latent_plots", *WEIGHTS, more=f"--seq-len {seq_len}")

    def tables(file: str, seq_len: int, rows: list[TextRow]) -> list[Part]:
        return [folder.table(f"How far genres lie apart, T = {seq_len}", file, _all_genres(rows), LATENT_COLUMNS)]

    there = [seq_len for seq_len in folder.seq_lens if (folder.options.metrics / f"latent-T{seq_len}.csv").exists()]
    seq_lens = there or folder.seq_lens[:1]
    pictures = [
        folder.picture(f"{picture}-T{seq_len}.png", f"Scatter plot, a point for each window: {what}.", command(seq_len))
        for seq_len in seq_lens
        for picture, what in LATENT_PICTURES.items()
    ]
    return [*pictures, *_at_each(folder, seq_lens, "latent", command, tables)]


def merge_missing(parts: Sequence[Part]) -> list[Part]:
    """The parts, and last the missing files, those together that one command makes."""
    missing: dict[str, list[str]] = {}
    for part in parts:
        if isinstance(part, Missing):
            missing.setdefault(part.command, []).append(part.name)
    there = [part for part in parts if not isinstance(part, Missing)]
    return there + [Missing(", ".join(names), command) for command, names in missing.items()]


def _at_each(
    folder: ResultFolder,
    seq_lens: Sequence[int],
    stem: str,
    command: Callable[[int], str],
    tables: Callable[[str, int, list[TextRow]], list[Part]],
) -> list[Part]:
    """What tables(file, T, rows) makes of the file of each T, or that it is missing and made by command(T)."""
    parts: list[Part] = []
    for seq_len in seq_lens:
        file = f"{stem}-T{seq_len}.csv"
        rows = folder.rows(file)
        parts += tables(file, seq_len, rows) if rows else [Missing(file, command(seq_len))]
    return parts


def _missing(folder: ResultFolder, file: str, rows: Sequence[TextRow], command: str) -> list[Part]:
    """What a file should hold and does not: a T of the page, or all of it."""
    there = {row["T"] for row in rows}
    lengths = [str(seq_len) for seq_len in folder.seq_lens if str(seq_len) not in there]
    if not lengths:
        return []
    return [Missing(f"{file}, T = {', '.join(lengths)}" if rows else file, command)]


def _by_embedder(rows: Sequence[TextRow]) -> dict[str, list[TextRow]]:
    groups: dict[str, list[TextRow]] = {}
    for row in rows:
        groups.setdefault(row["embedder"], []).append(row)
    return groups


def _all_genres(rows: Sequence[TextRow]) -> list[TextRow]:
    return [row for row in rows if row["genre_id"] == str(ALL_ID)]


def _text(value: float | None) -> str:
    return "" if value is None else str(value)
