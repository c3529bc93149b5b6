"""Making a store where one is, was, is being made, or cannot be made."""

import errno
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from corpus import ROWS, change_a_file, content_of, make_store, names_in
from midi_files import write

from common.errors import UserError
from common.files import locked_folder
from data import prepare, store_writer
from data.store import STORE, RollStore


def files_in(corpus: Path) -> list[str]:
    """Every file below the corpus but MIDI and locks."""
    paths = (path for path in corpus.rglob("*") if "midi" not in path.parts and path.suffix != ".lock")
    return sorted(path.relative_to(corpus).as_posix() for path in paths if path.is_file())


WHOLE = sorted(["labels.csv", *(f"store/{name}" for name in (*STORE.files, STORE.info_file))])


@pytest.mark.parametrize("error", [OSError("no space left on device"), KeyboardInterrupt()], ids=["disk", "ctrl_c"])
@pytest.mark.parametrize("method", ["append", "finish"])
def test_an_interrupted_run_leaves_the_old_store(
    corpus: Path, method: str, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    change_a_file(corpus)

    def interrupt(*_) -> None:
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(prepare.StoreWriter, method, interrupt)
        with pytest.raises(type(error)):
            make_store(corpus)
    assert content_of(corpus / "store") == before
    assert RollStore.open(corpus / "store").songs
    assert names_in(corpus) == ["labels.csv", "midi", "store"]
    store, made = make_store(corpus)
    assert made
    assert store.songs[1].n_frames >= 7 * 16


def test_a_first_run_that_is_interrupted_leaves_no_folder(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare.StoreWriter, "append", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        make_store(corpus)
    assert names_in(corpus) == ["labels.csv", "midi"]


class FullDisk(io.FileIO):
    """A file that takes `room` bytes and no more, as on a full disk."""

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


KILL_AT = (
    *("temporary folder", "array", "songs.csv", "store.json written"),
    *("first file moved", "last array moved", "all but store.json moved", "all moved"),
)


def kill(*_, **__) -> None:
    os._exit(9)


def run_and_kill(corpus: Path, point: str) -> None:
    """In a process of its own, change the store and die at this point, with no clean-up."""
    child = os.fork()
    if not child:
        replace, moved = Path.replace, []

        def replace_or_die(path: Path, target: Path) -> Path:
            moving = ".unfinished" not in Path(target).parent.name
            if moving:
                dead = {"first file moved": 1, "last array moved": 4, "all but store.json moved": 6}.get(point)
                if len(moved) == dead:
                    os._exit(9)
                moved.append(path.name)
            result = replace(path, target)
            if point == "store.json written" and path.name.startswith(".store.json") and not moving:
                os._exit(9)
            if point == "songs.csv" and path.name.startswith(".songs.csv"):
                os._exit(9)
            if point == "all moved" and len(moved) == 7:
                os._exit(9)
            return result

        Path.replace = replace_or_die
        if point == "temporary folder":
            prepare.StoreWriter.__init__ = kill
        if point == "array":
            store_writer.StoreWriter.finish = kill
        try:
            make_store(corpus)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.parametrize("point", KILL_AT)
@pytest.mark.parametrize("first", [True, False], ids=["new", "replaced"])
def test_the_next_run_puts_right_what_a_killed_one_left(corpus: Path, point: str, first: bool) -> None:
    if not first:
        make_store(corpus)
    change_a_file(corpus)
    run_and_kill(corpus, point)
    left = RollStore.open(corpus / "store") if point == "all moved" or (not first and "moved" not in point) else None
    if left is None:
        with pytest.raises(UserError, match=r"(no roll store there|damaged .store.json is missing.); make"):
            RollStore.open(corpus / "store")
    store, made = make_store(corpus)
    assert made == (point in KILL_AT[:3]), "a store that was complete is not made again"
    assert store.songs[1].n_frames >= 7 * 16
    store.verify()
    assert files_in(corpus) == WHOLE
    assert not [path for path in (corpus / "store").iterdir() if path.is_dir()]


def test_a_killed_run_is_cleaned_up_after_although_nothing_has_changed(corpus: Path) -> None:
    make_store(corpus)
    changed = (corpus / "midi" / ROWS[1][0]).read_bytes(), (corpus / "midi" / ROWS[1][0]).stat()
    change_a_file(corpus)
    run_and_kill(corpus, "array")
    write(corpus / "midi" / ROWS[1][0], changed[0])
    os.utime(corpus / "midi" / ROWS[1][0], ns=(changed[1].st_atime_ns, changed[1].st_mtime_ns))
    assert not make_store(corpus)[1]
    assert files_in(corpus) == WHOLE


def test_a_second_process_is_told_to_wait(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_store(corpus)
    before = content_of(corpus / "store")
    change_a_file(corpus)
    with locked_folder(corpus / "store", "busy"):
        with pytest.raises(UserError, match="store: another process is making this roll store; wait"):
            make_store(corpus)
        assert content_of(corpus / "store") == before
    assert make_store(corpus)[1]


def test_of_two_processes_at_once_one_makes_the_store(corpus: Path) -> None:
    """Every round ends with a whole store, whoever comes first, and no process ends with a traceback."""
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
        assert files_in(corpus) == WHOLE


def test_files_beside_and_inside_the_store_are_left_alone(corpus: Path) -> None:
    make_store(corpus)
    kept = [
        write(corpus / "store.partial/precious.txt", b"mine"),
        write(corpus / "store.old/frames.npy", b"mine"),
        write(corpus / "store/notes.txt", b"mine"),
        write(corpus / "store/figures/a.png", b"mine"),
    ]
    change_a_file(corpus)
    assert make_store(corpus)[1]
    assert make_store(corpus, rebuild=True)[1]
    assert all(path.read_bytes() == b"mine" for path in kept)


def test_a_folder_that_is_no_store_is_left_alone(corpus: Path) -> None:
    file = write(corpus / "store/diary.txt", b"dear diary")
    for rebuild in (False, True):
        with pytest.raises(UserError, match="not empty and not a roll store"):
            make_store(corpus, rebuild=rebuild)
    write(corpus / "store/frames.npy", b"not ours, as the diary shows")
    with pytest.raises(UserError, match="not empty and not a roll store"):
        make_store(corpus)
    assert file.read_bytes() == b"dear diary"
    assert names_in(corpus) == ["labels.csv", "midi", "store"]


def test_an_empty_folder_or_a_link_becomes_a_store(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (corpus / "store").symlink_to(tmp_path / "elsewhere")
    assert make_store(corpus)[1]
    assert RollStore.open(tmp_path / "elsewhere").songs and (corpus / "store").is_symlink()
    assert not make_store(corpus)[1]


@pytest.mark.parametrize("name", [*STORE.files, STORE.info_file])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "other"])
def test_a_damaged_store_is_made_again_with_unchanged_inputs(corpus: Path, name: str, damage: str) -> None:
    content = content_of(make_store(corpus)[0].folder)
    path, whole = corpus / "store" / name, content[name]
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "other": whole[:-2] + b"~\n"}[damage])
    store, made = make_store(corpus)
    assert made and content_of(store.folder) == content
    assert not make_store(corpus)[1]


def test_a_half_copied_store_is_made_again(corpus: Path) -> None:
    content = content_of(make_store(corpus)[0].folder)
    for kept in range(1, len(content)):
        shutil.rmtree(corpus / "store")
        for name in sorted(content)[:kept]:
            write(corpus / "store" / name, content[name])
        store, made = make_store(corpus)
        assert made and content_of(store.folder) == content


def test_a_store_of_another_format_is_made_again(corpus: Path) -> None:
    content = content_of(make_store(corpus)[0].folder)
    old = content["store.json"].replace(b'"format_version": 3', b'"format_version": 1', 1)
    write(corpus / "store/store.json", old)
    store, made = make_store(corpus)
    assert made and content_of(store.folder) == content


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
