"""Making a store again: after errors, kills, a full disk and damage, and by two processes at once."""

import errno
import io
import os
from pathlib import Path

import numpy as np
import pytest
from corpus import ROWS, change_a_file, content_of, make_store, names_in
from midi_files import write

from common.errors import UserError
from data import prepare
from data.store import STORE, RollStore

WHOLE = sorted([*STORE.files, STORE.info_file])


class FullDisk(io.FileIO):
    """A file on a disk with `room` bytes left."""

    room = 0

    def write(self, data) -> int:
        if not type(self).room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written = super().write(bytes(data)[: type(self).room])
        type(self).room -= written
        return written


@pytest.mark.parametrize("room", [0, 100, 5_000, 10_000])
def test_a_full_disk_is_named_and_leaves_the_old_store(
    corpus: Path, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    change_a_file(corpus)
    real_open = Path.open

    def on_full_disk(path: Path, mode: str = "r", *rest, **options):
        if mode == "wb":
            return io.BufferedWriter(FullDisk(path, "w"))
        return real_open(path, mode, *rest, **options)

    FullDisk.room = room
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", on_full_disk)
        with pytest.raises(OSError, match="No space left on device") as caught:
            make_store(corpus)
    assert caught.value.filename == str(corpus / "store")
    assert content_of(corpus / "store") == before
    assert make_store(corpus)[1]


@pytest.mark.parametrize("complete", [True, False], ids=["complete", "half"])
def test_the_next_run_repairs_what_a_killed_one_left(corpus: Path, complete: bool) -> None:
    first, _ = make_store(corpus)
    old = corpus / "midi" / ROWS[1][0]
    content, times = old.read_bytes(), (old.stat().st_atime_ns, old.stat().st_mtime_ns)
    change_a_file(corpus)
    child = os.fork()
    if not child:
        if complete:
            type(STORE)._move_into_place = lambda *_: os._exit(9)
        else:
            prepare.StoreWriter.finish = lambda *_: os._exit(9)
        try:
            make_store(corpus)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    if not complete:  # files as they were for the first store: it is cleaned up, not made again
        write(old, content)
        os.utime(old, ns=times)
    store, made = make_store(corpus)
    assert not made and (store.content_hash != first.content_hash) == complete
    store.verify()
    assert names_in(store.folder) == WHOLE


def test_of_two_processes_at_once_one_makes_the_store(corpus: Path) -> None:
    for _ in range(3):
        children = []
        for _ in range(2):
            child = os.fork()
            if not child:
                code = 1
                try:
                    make_store(corpus, rebuild=True)
                    code = 0
                except UserError:
                    code = 2
                finally:
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        assert 0 in codes and set(codes) <= {0, 2}
        RollStore.open(corpus / "store").verify()
        assert names_in(corpus / "store") == WHOLE


def test_files_beside_and_inside_the_store_are_left_alone(corpus: Path) -> None:
    make_store(corpus)
    names = ("store.partial/precious.txt", "store.old/frames.npy", "store/notes.txt", "store/figures/a.png")
    kept = [write(corpus / name, b"mine") for name in names]
    change_a_file(corpus)
    assert make_store(corpus)[1]
    assert make_store(corpus, rebuild=True)[1]
    assert all(path.read_bytes() == b"mine" for path in kept)


def test_a_link_to_an_empty_folder_becomes_a_store(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (corpus / "store").symlink_to(tmp_path / "elsewhere")
    assert make_store(corpus)[1]
    assert RollStore.open(tmp_path / "elsewhere").songs and (corpus / "store").is_symlink()
    assert not make_store(corpus)[1]


@pytest.mark.parametrize("name", ["songs.csv", "rejected.csv", "frames.npy", "store.json"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_a_damaged_store_is_made_again_with_unchanged_inputs(corpus: Path, name: str, damage: str) -> None:
    content = content_of(make_store(corpus)[0].folder)
    path, whole = corpus / "store" / name, content[name]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else whole[:-2] + b"~\n")
    store, made = make_store(corpus)
    assert made and content_of(store.folder) == content
    assert not make_store(corpus)[1]


def test_a_bit_that_flipped_is_found_by_the_same_command(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.data_folder._sample", lambda _: "a check that sees nothing")
    store, _ = make_store(corpus)
    whole = store.frames.copy()
    content = bytearray((corpus / "store/frames.npy").read_bytes())
    content[-5] ^= 1
    (corpus / "store/frames.npy").write_bytes(content)
    RollStore.open(corpus / "store")
    store, made = make_store(corpus)
    assert made
    np.testing.assert_array_equal(store.frames, whole)
