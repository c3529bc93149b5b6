"""The main numbers of the results in two small tables: one of clips, one of CVAEs."""

import math

import pandas as pd

from evaluation.metrics.elbo import ELBO_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE
from evaluation.metrics.music import MUSIC_TABLE
from evaluation.metrics.reconstruction import MSE_TABLE
from evaluation.statistics.features import FEATURES
from evaluation.tables import BASELINE, LABEL, OURS, SHARE, ResultTable, columns, of_all
from page.comparison import REAL, TRAINING
from page.result_folder import Part, ResultFolder
from page.tables import show_table

CLIP_COLUMNS = (
    *columns(LABEL, origin="clips"),
    *columns(OURS, distance="FAD / floor"),
    *columns(SHARE, overlap="overlap of features", recognised="{condition} recognised"),
    *columns(SHARE, memorised="memorised", empty="empty"),
)
CVAE_COLUMNS = (
    *columns(LABEL, origin="CVAE"),
    *columns(OURS, bits_per_cell_importance="bits / cell"),
    *columns(BASELINE, bits_per_cell_previous_frame="previous frame"),
    *columns(OURS, frame_F1="frame F1"),
    *columns(BASELINE, frame_F1_shuffled="another song"),
)


def show_findings(folder: ResultFolder) -> list[Part]:
    """Tables with a row for each source of clips of the longest T, and for each of its CVAEs, with their references.

    What no evaluation has computed yet is left out. Raises `UserError` for a damaged file.
    """
    seq_len = max(folder.seq_lens)
    clips = {FAD_TABLE: _distances, MUSIC_TABLE: _features, GENRE_TABLE: _recognised}
    cvaes = {ELBO_TABLE: _of_cvae, MSE_TABLE: _of_cvae}
    parts = []
    for title, summaries, shown in (("Clips", clips, CLIP_COLUMNS), ("CVAE", cvaes, CVAE_COLUMNS)):
        frames = {table: rows for table in summaries if (rows := _rows(folder, table, seq_len)) is not None}
        if frames:
            joined = pd.concat([summaries[table](rows) for table, rows in frames.items()], axis=1)
            names = ", ".join(table.path(folder.options.metrics, seq_len).name for table in frames)
            notes = dict.fromkeys(note for rows in frames.values() for note in folder.out_of_date(rows))
            joined = joined.rename_axis("origin").reset_index()
            there = [column for column in shown if column.key in joined]
            parts.append(show_table(f"{title}, T = {seq_len}", names, joined, there, [*notes], folder.condition))
    return parts


def _rows(folder: ResultFolder, table: ResultTable, seq_len: int) -> pd.DataFrame | None:
    """Rows of one T about all genres, of the first embedder."""
    frame = folder.read(table, [seq_len])
    frame = None if frame is None else of_all(frame[frame["T"] == seq_len])
    if frame is None or frame.empty:
        return None
    return frame[frame["embedder"] == frame["embedder"].iloc[0]] if "embedder" in frame else frame


def _by_origin(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.groupby("origin", sort=False).first()


def _of_cvae(rows: pd.DataFrame) -> pd.DataFrame:
    return _by_origin(rows)[[column.key for column in CVAE_COLUMNS if column.key in rows and column.kind != LABEL]]


def _distances(rows: pd.DataFrame) -> pd.DataFrame:
    """Audio distances as multiples of the floor."""
    training = (rows["FAD_train"] / rows["FAD_floor"]).max()
    return _with_references(_by_origin(rows)["FAD_over_floor"], 1.0, training).to_frame("distance")


def _features(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean overlap of the distributions of all features, 0 for one that no clip has; shares of clips."""
    musical = rows[rows["feature"].isin(FEATURES)].fillna({"overlap_area": 0})
    overlap = musical.groupby("origin", sort=False)[["overlap_area", "overlap_halves", "overlap_training"]].mean()
    halves, training = overlap[["overlap_halves", "overlap_training"]].max()
    found = {"overlap": _with_references(overlap["overlap_area"], halves, training)}
    for name, of_feature in rows.groupby("feature"):
        if name in ("memorised", "empty"):
            found[name] = _with_references(_by_origin(of_feature)["generated"], of_feature["real"].max())
    return pd.DataFrame(found)


def _recognised(rows: pd.DataFrame) -> pd.DataFrame:
    found = _by_origin(rows)["accuracy_generated"]
    return _with_references(found, rows["accuracy_real"].max()).to_frame("recognised")


def _with_references(found: pd.Series, real: float, training: float = math.nan) -> pd.Series:
    """The values of real clips and of training clips, then those of the sources."""
    return pd.concat([pd.Series({REAL: real, TRAINING: training}), found])
