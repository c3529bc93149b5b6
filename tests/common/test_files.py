"""Atomic writes, hashes of files, and locks of folders."""

import errno
from pathlib import Path

import pytest

from common.errors import UserError
from common.files import errors_naming, locked_folder, write_bytes, write_text, written_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/table.csv"
    write_text(path, "old")
    with written_atomically(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "table.csv"
    write_text(path, "old")
    with pytest.raises(type(error)) as caught, written_atomically(path) as file:
        file.write(b"half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    if isinstance(error, OSError):
        assert caught.value.filename == str(path) and caught.value.errno == errno.ENOSPC


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
