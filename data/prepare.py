"""A folder of MIDI and its labels -> a roll store."""

import hashlib
import json
import os
import shutil
import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

from common.errors import UserError
from data.labels import SPLITS, Label, Rejected, read_labels, resolve_path
from data.smf import MidiError
from data.song import FRAMES_PER_SECOND, Song, read_song
from data.splits import assign_splits
from data.store import FORMAT_VERSION, WINDOW_LENGTHS, RollStore, SongRow, StoreWriter, read_store_info, write_csv

_FILES_PER_TASK = 16
_MINIMUM_FILES_PER_WORKER = 64
# Raise it when the same file would give another roll, other notes or another split.
_READER_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """What, beside the files, decides the content of a store."""

    max_minutes: float = 60.0
    frames_per_second: int = FRAMES_PER_SECOND
    format_version: int = FORMAT_VERSION
    reader_version: int = _READER_VERSION


def prepare_store(
    midi_dir: Path,
    labels_csv: Path,
    folder: Path,
    *,
    genres: Sequence[str] | None = None,
    settings: Settings = Settings(),
    workers: int | None = None,
    rebuild: bool = False,
    progress: bool = True,
) -> tuple[RollStore, bool]:
    """Make the roll store `folder` out of the MIDI files below `midi_dir` that `labels_csv` lists.

    `genres` names the genre ids in order; without it the CSV's genre column does. Files that cannot enter are
    listed in rejected.csv. Returns the store, and whether it was made now (False: it was there, and files, labels and
    settings are unchanged since). The old store stays in place until the new one is complete.
    Raises `UserError` where the labels are unusable or a genre has no training song.
    """
    labels, csv_names, rejected = read_labels(labels_csv)
    names = _genre_names(labels, csv_names, genres)
    files = [resolve_path(label.path, midi_dir) for label in labels]
    if not any(files):
        raise UserError(f"{midi_dir}: none of the files that {labels_csv} lists is there, for example {labels[0].path}")
    fingerprint = _fingerprint(settings, names, labels, files, rejected)
    existing = read_store_info(folder)
    if existing and existing["fingerprint"] == fingerprint and not rebuild:
        return RollStore.open(folder), False
    if any(parent.is_file() for parent in (folder, *folder.parents)):
        raise UserError(f"{folder}: a file is in the way; name another folder")
    if folder.exists() and not existing and any(folder.iterdir()):
        raise UserError(f"{folder}: not empty and not a roll store; name another folder, or remove it")

    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        _write_store(partial, labels, files, names, rejected, settings, fingerprint, workers, progress)
        _replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return RollStore.open(folder), True


def _genre_names(labels: list[Label], csv_names: dict[int, str], given: Sequence[str] | None) -> list[str]:
    ids = {label.genre_id for label in labels}
    if given is not None:
        if max(ids) >= len(given):
            raise UserError(f"--genres names {len(given)} genres, but the labels have a genre_id {max(ids)}")
        return list(given)
    if max(ids) >= 1000:
        raise UserError(f"the labels have a genre_id {max(ids)}; number the genres from 0 without gaps")
    return [csv_names.get(genre_id, f"genre {genre_id}") for genre_id in range(max(ids) + 1)]


def _fingerprint(
    settings: Settings, names: list[str], labels: list[Label], files: list[Path | None], rejected: list[Rejected]
) -> str:
    """Hash of everything the store depends on; a file counts by its size and time of change."""
    stats = [file.stat() if file else None for file in files]
    content = [
        asdict(settings),
        names,
        [asdict(row) for row in rejected],
        [
            [*asdict(label).values(), stat and [stat.st_size, stat.st_mtime_ns]]
            for label, stat in zip(labels, stats, strict=True)
        ],
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def _write_store(
    folder: Path,
    labels: list[Label],
    files: list[Path | None],
    names: list[str],
    rejected: list[Rejected],
    settings: Settings,
    fingerprint: str,
    workers: int | None,
    progress: bool,
) -> None:
    writer = StoreWriter(folder)
    rejected = rejected + [
        Rejected(label.path, "no such file") for label, file in zip(labels, files, strict=True) if file is None
    ]
    present = [(label, file) for label, file in zip(labels, files, strict=True) if file is not None]
    results = read_songs([file for _, file in present], settings, workers)
    accepted: list[tuple[Label, str, int, int, int, int]] = []
    bar = tqdm(zip(present, results, strict=True), "reading", len(present), unit=" files", disable=not progress)
    for (label, _), result in bar:
        if isinstance(result, str):
            rejected.append(Rejected(label.path, result))
            continue
        song, content_hash = result
        offsets = writer.append(song)
        accepted.append((label, content_hash, len(song.frames), len(song.pitch), *offsets))
    splits = assign_splits(
        [label.song_key for label, *_ in accepted],
        [content_hash for _, content_hash, *_ in accepted],
        [label.split for label, *_ in accepted],
    )
    songs = [
        SongRow(
            label.path, label.genre_id, split, label.artist, label.title, content_hash,
            frame_offset, n_frames, note_offset, n_notes,
        )
        for (label, content_hash, n_frames, n_notes, frame_offset, note_offset), split in zip(
            accepted, splits, strict=True
        )
    ]  # fmt: skip
    _require_training_songs(songs, names, rejected)
    write_csv(folder / "rejected.csv", ["path", "reason"], [asdict(row) for row in rejected])
    info = {
        "genres": names,
        "frames_per_second": settings.frames_per_second,
        "settings": asdict(settings),
        "fingerprint": fingerprint,
        "accepted": len(songs),
        "rejected": len(rejected),
        "numpy": np.__version__,
    }
    writer.finish(songs, info)


def _require_training_songs(songs: list[SongRow], names: list[str], rejected: list[Rejected]) -> None:
    training = Counter(song.genre_id for song in songs if song.split == "train")
    empty = [name for genre_id, name in enumerate(names) if not training[genre_id]]
    if empty:
        reasons = Counter(row.reason.split(" (line")[0] for row in rejected)
        why = f" ({len(rejected)} files were rejected, most often: {reasons.most_common(1)[0][0]})" if reasons else ""
        raise UserError(
            f"no training song for {', '.join(empty)}{why}; add files of that genre, or take its id out of the labels"
        )


def _replace_folder(new: Path, folder: Path) -> None:
    if not folder.exists():
        new.rename(folder)
        return
    # A name of its own: a folder that the user keeps beside the store is not ours to remove.
    aside = Path(tempfile.mkdtemp(prefix=folder.name + ".replaced.", dir=folder.parent))
    folder.rename(aside / folder.name)
    new.rename(folder)
    shutil.rmtree(aside, ignore_errors=True)


def read_songs(
    files: Sequence[Path], settings: Settings = Settings(), workers: int | None = None
) -> Iterator[tuple[Song, str] | str]:
    """Read files in parallel, in their order: (song, content hash), or the reason why a file is rejected.

    `workers`: processes; None means one for each core. A few files are read in this process.
    """
    workers = min(workers or os.cpu_count() or 1, len(files) // _MINIMUM_FILES_PER_WORKER)
    tasks = (files[first : first + _FILES_PER_TASK] for first in range(0, len(files), _FILES_PER_TASK))
    if workers < 2:
        for task in tasks:
            yield from _read_task(task, settings)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        # A few tasks ahead: enough to keep the workers busy, without holding the whole corpus.
        running: deque[Future[list[tuple[Song, str] | str]]] = deque()
        running.extend(pool.submit(_read_task, task, settings) for task in islice(tasks, 4 * workers))
        while running:
            yield from running.popleft().result()
            running.extend(pool.submit(_read_task, task, settings) for task in islice(tasks, 1))


def _read_task(files: Iterable[Path], settings: Settings) -> list[tuple[Song, str] | str]:
    return [_read_one(file, settings) for file in files]


def _read_one(file: Path, settings: Settings) -> tuple[Song, str] | str:
    try:
        song = read_song(
            file, frames_per_second=settings.frames_per_second, max_seconds=60 * settings.max_minutes
        )
    except MidiError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except MemoryError:
        return "damaged: it needs more memory than there is"
    if len(song.frames) < WINDOW_LENGTHS[0]:
        return f"too short: {len(song.frames)} frames, a window has {WINDOW_LENGTHS[0]}"
    sounding = np.flatnonzero(song.frames.any(axis=1))
    if not len(sounding):
        return "no pitched note"
    # Copies that differ in silence before or after are copies.
    content = song.frames[sounding[0] : sounding[-1] + 1]
    return song, hashlib.sha256(content.tobytes()).hexdigest()[:16]


def summary(store: RollStore) -> str:
    """Songs, and windows for each T, per genre and split, as a table in text."""
    columns = ["songs", *(f"T={seq_len}" for seq_len in WINDOW_LENGTHS)]
    lines = [f"{'genre':<16}{'split':<7}" + "".join(f"{name:>10}" for name in columns)]
    window_songs = {
        (split, seq_len): store.windows(split, seq_len)[0] for split in SPLITS for seq_len in WINDOW_LENGTHS
    }
    songs = Counter((song.genre_id, song.split) for song in store.songs)
    for genre_id, name in enumerate(store.genres):
        for split in SPLITS:
            windows = [
                int((store.genre_of_song[window_songs[split, seq_len]] == genre_id).sum()) for seq_len in WINDOW_LENGTHS
            ]
            numbers = [songs[genre_id, split], *windows]
            lines.append(f"{name:<16}{split:<7}" + "".join(f"{number:>10,}" for number in numbers))
    lines.append(f"{store.info['accepted']:,} files accepted, {store.info['rejected']:,} rejected")
    return "\n".join(lines)
