"""Atomic writes, hashes of files, and locks of folders."""

import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import (
    check_outputs,
    errors_naming,
    locked_folder,
    read_limited,
    remove_folder,
    temporary_folder,
    write_bytes,
    write_text,
    written_atomically,
)  # fmt: skip


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/table.csv"
    write_text(path, "old")
    with written_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert sorted(path.parent.iterdir()) == [path.with_name(".written"), path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(type(error)) as caught, written_atomically(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and not list(tmp_path.glob("*.partial"))
    if isinstance(error, OSError):
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC


def test_only_what_we_wrote_is_replaced(tmp_path: Path) -> None:
    ours, foreign = tmp_path / "b c.csv", tmp_path / "c.csv"
    write_text(ours, "1")
    write_text(ours, "2")
    foreign.write_text("by hand")
    with pytest.raises(UserError, match="no program of ours wrote it"):
        write_text(foreign, "3")
    write_text(foreign, "asked for", replace=True)
    ours.write_text("2, and a note")
    with pytest.raises(UserError, match="was changed since"):
        write_text(ours, "3")
    assert ours.read_text() == "2, and a note" and foreign.read_text() == "asked for"
    ours.write_text("2")  # as a copy of the folder: another time, the content that we wrote
    write_text(ours, "3")
    assert ours.read_text() == "3"


@pytest.mark.parametrize("damage", [b'["t.csv", 1', b'["t.csv", 1]\n', b'["t.csv", \xff\x00\n'])
def test_a_damaged_record_of_written_files_is_passed_over(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "t.csv"
    write_text(path, "1")
    with (tmp_path / ".written").open("ab") as file:
        file.write(damage)
    write_text(path, "2")
    write_text(path, "3")
    assert path.read_text() == "3"
    (tmp_path / ".written").write_bytes(damage)
    with pytest.raises(UserError, match="no program of ours wrote it"):
        write_text(path, "4")


def test_an_unusable_output_is_noticed_before_the_work(tmp_path: Path) -> None:
    write_text(tmp_path / "in.csv", "")
    check_outputs([tmp_path / "new/out.csv", tmp_path / "in.csv"], [tmp_path / "other.csv"])
    with pytest.raises(UserError, match=r"in\.csv: is read, too"):
        check_outputs([tmp_path / "new/../in.csv"], [tmp_path / "in.csv"])
    (tmp_path / "foreign.csv").write_text("by hand")
    with pytest.raises(UserError, match="no program of ours"):
        check_outputs([tmp_path / "foreign.csv"])
    with pytest.raises(FileExistsError) as caught:
        check_outputs([tmp_path / "foreign.csv/out.csv"])
    assert caught.value.filename == str(tmp_path / "foreign.csv")


def test_temporary_files_of_dead_processes_are_removed(tmp_path: Path) -> None:
    code = "import os, sys; from common.files import *; from pathlib import Path\n"
    code += "with written_atomically(Path(sys.argv[1])) as file: os._exit(9)"
    command = [sys.executable, "-c", code, tmp_path / "table.csv"]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == 9
    (left,) = tmp_path.glob(".table*.partial")
    with written_atomically(tmp_path / "other.csv"):
        assert not left.exists()
        command[2] = code.replace("os._exit(9)", "pass")
        subprocess.run(command, cwd=Path(__file__).parents[2], check=True)
        assert len(list(tmp_path.glob(".other*.partial"))) == 1, "of a living process"


def test_a_temporary_folder_stays_only_until_the_block_or_the_next_run_ends(tmp_path: Path) -> None:
    code = "import os, sys; from common.files import *; from pathlib import Path\n"
    code += "with temporary_folder(Path(sys.argv[1])) as folder: (folder / 'a').mkdir(); os._exit(9)"
    command = [sys.executable, "-c", code, tmp_path / "exported"]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == 9
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path / "exported") as folder:
        assert list(tmp_path.iterdir()) == [folder], "that of the dead process is gone"
        (folder / "a").mkdir()
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_signal_waits_until_a_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder/a/b").mkdir(parents=True)
    remove = shutil.rmtree
    monkeypatch.setattr(shutil, "rmtree", lambda *a, **b: (signal.raise_signal(signal.SIGINT), remove(*a, **b)))
    with pytest.raises(KeyboardInterrupt):
        remove_folder(tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_only_regular_files_of_limited_size_are_read(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    with pytest.raises(ValueError, match="too large: 5 bytes, more than the 4 allowed"):
        read_limited(path, 4)
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="not a regular file"):
            read_limited(place, 5)


def test_an_error_that_names_another_file_keeps_its_name(tmp_path: Path) -> None:
    other = FileNotFoundError(errno.ENOENT, "No such file", "other")
    with pytest.raises(FileNotFoundError) as caught, errors_naming(tmp_path):
        raise other
    assert caught.value is other


def test_the_place_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught:
        write_bytes(tmp_path, b"")
    assert caught.value.filename == str(tmp_path)


def test_a_folder_is_locked_for_the_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run"
    with locked_folder(folder, "is in use"):
        with pytest.raises(UserError, match="run: is in use"), locked_folder(folder, "is in use"):
            pytest.fail("locked twice")
        with locked_folder(tmp_path / "other", "is in use"):
            pass
        folder.mkdir()
        monkeypatch.chdir(folder)
        with pytest.raises(UserError, match="is in use"), locked_folder(Path(), "is in use"):
            pytest.fail("locked twice, by another name")
    with locked_folder(folder, "is in use"):
        pass


def test_a_place_without_room_for_a_lock_is_named(tmp_path: Path) -> None:
    (tmp_path / ".run.lock").mkdir()
    with pytest.raises(OSError, match="Is a directory") as caught, locked_folder(tmp_path / "run", "is in use"):
        pytest.fail("locked")
    assert caught.value.filename == str(tmp_path / "run")
