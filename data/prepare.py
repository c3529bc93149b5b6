"""Make a roll store from labelled MIDI files: tables and splits of all songs."""

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from common.errors import UserError
from common.processes import end_if_imported_by_worker
from common.splits import SPLITS
from common.text import printable
from data.labels import Labels
from data.shards import StoredSong, merge_shards, read_files
from data.splits import assign_splits, song_key, split_warnings, versions_hint
from data.store import STORE, RollStore
from data.store_inputs import StoreInputs
from data.store_writer import StoreWriter
from data.window_lengths import WINDOW_LENGTHS

_NAMES_SHOWN = 5
_NAMES_IN_SUMMARY = 20


def prepare_store(
    inputs: StoreInputs,
    folder: Path,
    *,
    merge: int | None = None,
    workers: int | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> tuple[RollStore, bool]:
    """Make the roll store `folder`; with `merge`, from as many shards, which `prepare_shard` has made, byte for byte.

    Files that are left out are listed in rejected.csv, warnings for the user in `info["warnings"]`. An earlier store
    stays until the new one is complete.

    Returns the store, and whether it was made now: a whole store with unchanged files, labels and settings is kept,
    unless `rebuild`.

    Raises `UserError` where a genre has no training song, the folder holds something else, another process is making
    the same store, or a shard is unusable.
    """
    end_if_imported_by_worker()
    STORE.require_place(folder)
    if not rebuild and not STORE.has_unfinished(folder) and (unchanged := _unchanged(folder, inputs.hash)):
        return unchanged, False
    with STORE.locked(folder):
        if not rebuild and (unchanged := _unchanged(folder, inputs.hash)):
            return unchanged, False
        with STORE.being_written(folder) as unfinished:
            writer = StoreWriter(unfinished)
            try:
                if merge:
                    results = merge_shards(writer, inputs, folder, merge)
                else:
                    results = read_files(writer, inputs.files, inputs.settings, workers, progress)
                _write_store(writer, inputs, results)
            finally:
                writer.abandon()
        return RollStore.open(folder), True


def _unchanged(folder: Path, inputs_hash: str) -> RollStore | None:
    """Return the store in `folder` if it was made from these inputs and all its bytes are intact."""
    try:
        store = RollStore.open(folder)
        if store.info["inputs_hash"] != inputs_hash:
            return None
        store.verify()
    except UserError:
        return None
    return store


def _write_store(writer: StoreWriter, inputs: StoreInputs, results: list[StoredSong | str]) -> None:
    """Write the tables of a store whose arrays hold the songs among the `results` of its files."""
    labels, names = inputs.labels, inputs.labels.names
    songs, unreadable = _tables(labels.table[inputs.present], results)
    warnings = _divide(songs, labels)
    absent = labels.table[["path"]].assign(reason=inputs.found.problems)[~inputs.present]
    rejected = [labels.rejected, absent, unreadable]
    if labels.made_ids:
        trained = songs["genre_id"].isin(songs["genre_id"][songs["split"] == "train"])
        rejected.append(songs[["path"]][~trained].assign(reason=f"no training song of this {labels.condition}"))
        songs, names, warning = _number_anew(songs, trained, labels)
        warnings += warning
    all_rejected = pd.concat(rejected, ignore_index=True)
    _require_training_songs(songs, names, all_rejected)
    info = {
        "condition": labels.condition,
        "genres": names,
        "frames_per_second": inputs.settings.frames_per_second,
        "settings": asdict(inputs.settings),
        "inputs_hash": inputs.hash,
        "accepted": len(songs),
        "rejected": len(all_rejected),
        "warnings": [*inputs.warnings, *warnings],
        "labels": inputs.record,
        "numpy": np.__version__,
    }
    writer.finish(songs, info, all_rejected)


def _tables(present: pd.DataFrame, results: list[StoredSong | str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the table of songs, still without splits, and that of rejected files."""
    is_song = np.array([isinstance(result, StoredSong) for result in results], bool)
    stored = [result for result in results if isinstance(result, StoredSong)]
    songs = present.join(pd.DataFrame(stored, present.index[is_song], StoredSong._fields), how="inner")
    for offset, length in (("frame_offset", "n_frames"), ("note_offset", "n_notes")):
        songs[offset] = songs[length].cumsum() - songs[length]
    reasons = [result for result in results if isinstance(result, str)]
    return songs, present.loc[~is_song, ["path"]].assign(reason=reasons)


def _divide(songs: pd.DataFrame, labels: Labels) -> list[str]:
    """Give each song its split and, in `key`, the key of its versions, in place; returns warnings."""
    named = zip(songs["artist"], songs["title"], songs["genre_id"], songs["content_hash"], strict=True)
    # A song without a name is identified by its content.
    songs["key"] = [song_key(artist, title, labels.names[genre]) or content for artist, title, genre, content in named]
    keys, contents = songs["key"].tolist(), songs["content_hash"].tolist()
    songs["split"] = assign_splits(keys, contents, [split or None for split in songs["split"]])
    return split_warnings(songs["path"].tolist(), keys, contents, songs["split"].tolist())


def _number_anew(songs: pd.DataFrame, trained: pd.Series, labels: Labels) -> tuple[pd.DataFrame, list[str], list[str]]:
    """Keep the `trained` songs and number their names anew; returns songs, names and warnings.

    Where the condition is a name such as a composer, there are always some without a training song. Frames and notes
    of the other songs stay in the arrays, unused.
    """
    kept = songs[trained]
    ids = sorted(set(kept["genre_id"]))
    kept = kept.assign(genre_id=kept["genre_id"].map({genre_id: new for new, genre_id in enumerate(ids)}))
    without = [name for genre_id, name in enumerate(labels.names) if genre_id not in ids]
    names = [labels.names[genre_id] for genre_id in ids]
    if not without:
        return kept, names, []
    shown = ", ".join(without[:_NAMES_SHOWN]) + (", ..." if len(without) > _NAMES_SHOWN else "")
    warning = f"{len(without)} of the {len(labels.names)} names in column {labels.condition} have no training song, "
    return kept, names, [f"{warning}so they and their {len(songs) - len(kept)} songs are left out: {shown}"]


def _require_training_songs(songs: pd.DataFrame, names: list[str], rejected: pd.DataFrame) -> None:
    trained = set(songs["genre_id"][songs["split"] == "train"])
    empty = [genre_id for genre_id in range(len(names)) if genre_id not in trained]
    if trained and not empty:
        return
    own = songs[songs["genre_id"].isin(empty)]
    reasons = Counter(reason.split(" (line")[0] for reason in rejected["reason"])
    why = f" ({len(rejected)} files were rejected, most often: {reasons.most_common(1)[0][0]})" if reasons else ""
    hint = versions_hint(own["path"].tolist(), own["key"].tolist())
    untrained = ", ".join(names[genre_id] for genre_id in empty[:_NAMES_SHOWN]) or "any name"
    raise UserError(
        f"no training song for {untrained}{why}{hint or '; add files of that genre, or take its id out of the labels'}"
    )


def summary(store: RollStore) -> str:
    """Return a text table of songs, and windows of each T, by genre and split; only by split if there are many."""
    names, genre = [printable(name) for name in store.genres], store.genre_of_song
    if len(names) > _NAMES_IN_SUMMARY:
        names, genre = [f"{len(names)} names"], np.zeros_like(genre)
    songs = pd.DataFrame({"genre": genre, "split": [song.split for song in store.songs], "songs": 1})
    for seq_len in WINDOW_LENGTHS:
        songs[f"T={seq_len}"] = [song.n_frames // seq_len for song in store.songs]
    rows = pd.MultiIndex.from_product([range(len(names)), SPLITS])
    table = songs.groupby(["genre", "split"]).sum().reindex(rows, fill_value=0)
    width = max(15, len(store.condition), *map(len, names)) + 1
    lines = [f"{printable(store.condition):<{width}}{'split':<7}" + "".join(f"{name:>10}" for name in table.columns)]
    for (genre_id, split), numbers in zip(table.index, table.to_numpy().tolist(), strict=True):
        lines.append(f"{names[genre_id]:<{width}}{split:<7}" + "".join(f"{number:>10,}" for number in numbers))
    return "\n".join([*lines, f"{store.info['accepted']:,} files accepted, {store.info['rejected']:,} rejected"])
