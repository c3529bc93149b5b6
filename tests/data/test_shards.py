"""Shards of a corpus, read by several processes, give the store of one."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from corpus import ROWS, change_a_file, content_of, make_shard, make_store, names_in, write_labels
from midi_files import example_song, write

from common.errors import UserError
from common.files import locked_folder
from data import shards
from data.store_inputs import StoreInputs, StoreSettings


def make_shards(corpus: Path, count: int, **options) -> list[Path]:
    return [make_shard(corpus, number, count, **options)[0] for number in range(1, count + 1)]


def write_many_kinds(corpus: Path) -> None:
    """Songs of several lengths, copies and versions far apart, and files that cannot be used, in no order."""
    rows = []
    for number in range(24):
        path = f"{number % 5}/{number}.mid"
        write(corpus / "midi" / path, example_song(number % 2, number // 2, seconds=3 + number % 4))
        rows.append((path, "ab"[number % 2], f"artist {number % 5}", f"Title.{number}", ""))
    write(corpus / "midi/copy.mid", (corpus / "midi/0/0.mid").read_bytes())
    write(corpus / "midi/bad.mid", b"bad")
    write(corpus / "midi/empty.mid", b"")
    rows.insert(9, ("bad.mid", "b", "", "", ""))
    rows.insert(17, ("none.mid", "b", "", "", ""))
    rows += [("copy.mid", "a", "", "", "test"), ("empty.mid", "c", "", "", ""), ("1/1.mid", "a", "", "", "")]
    write_labels(corpus / "labels.csv", rows, ("path", "mood", "artist", "title", "split"))


@pytest.mark.parametrize("count", [1, 2, 5, 40])
def test_merged_shards_equal_one_run(corpus: Path, count: int) -> None:
    """Copies, versions, names without a training song and offsets depend on the files of all shards."""
    write_many_kinds(corpus)
    options = {"genre_column": "mood"}
    single, _ = make_store(corpus, name="single", **options)
    assert single.info["warnings"] and single.info["rejected"] == 4 and single.genres == ["a", "b"]
    make_shards(corpus, count, **options)
    merged, made = make_store(corpus, merge=count, **options)
    assert made and content_of(merged.folder) == content_of(single.folder)
    assert not make_store(corpus, merge=count, **options)[1]


def test_shards_divide_the_files_by_bytes(corpus: Path) -> None:
    for number, (path, *_) in enumerate(ROWS):
        write(corpus / "midi" / path, example_song(1, number, seconds=60 if number == 0 else 6))
    results = [make_shard(corpus, number, 2)[1] for number in (1, 2)]
    assert [len(each) for each in results] == [1, 5]


def test_a_shard_is_made_once(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, results, made = make_shard(corpus, 1, 2)
    assert made and make_shard(corpus, 1, 2, rebuild=True)[2]
    monkeypatch.setattr(shards, "read_songs", lambda *_, **__: pytest.fail("files were read again"))
    assert make_shard(corpus, 1, 2) == (folder, results, False)
    (folder / "pitch.npy").write_bytes(b"damaged")
    with pytest.raises(pytest.fail.Exception, match="read again"):
        make_shard(corpus, 1, 2)


def damage(corpus: Path) -> dict:
    path = corpus / "store_shards/2_of_2/velocity.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    return {}


def take_twice(corpus: Path) -> dict:
    shutil.rmtree(corpus / "store_shards/2_of_2")
    shutil.copytree(corpus / "store_shards/1_of_2", corpus / "store_shards/2_of_2")
    return {}


def remove(corpus: Path, *numbers: int) -> dict:
    for number in numbers:
        shutil.rmtree(corpus / f"store_shards/{number}_of_2")
    return {}


def of_other_options(corpus: Path) -> dict:
    make_shard(corpus, 2, 2, settings=StoreSettings(max_minutes=2))
    return {}


def add_a_label(corpus: Path) -> dict:
    write_labels(corpus / "labels.csv", [*ROWS, ("slow/missing.mid", 0, "slow", "")])
    return {}


UNUSABLE: dict[str, tuple[Callable[[Path], dict], str]] = {
    "all are missing": (
        lambda corpus: remove(corpus, 1, 2),
        "store_shards: .* missing: 1, 2; make each with --shard 1/2",
    ),
    "one is missing": (lambda corpus: remove(corpus, 2), "store_shards: .* missing: 2; make it with --shard 2/2"),
    "other count": (lambda _: {"merge": 3}, "store_shards: of 3 shards, these are missing: 1, 2, 3; make"),
    "damaged": (damage, r"2_of_2: damaged \(velocity.npy has changed\); make it again with prepare_data.py --shard"),
    "twice": (take_twice, "2_of_2: holds shard 1 of 2; remove it, and make it with --shard 2/2"),
    "other options": (of_other_options, "2_of_2: was made from other labels, options or files.* --shard 2/2"),
    "other labels": (add_a_label, "1_of_2: was made from other labels, options or files.* --shard 1/2"),
    "other files": (change_a_file, "1_of_2: was made from other labels, options or files.* --shard 1/2"),
}


@pytest.mark.parametrize(("change", "message"), UNUSABLE.values(), ids=UNUSABLE)
def test_unusable_shards_are_named_and_the_old_store_stays(
    corpus: Path, change: Callable[[Path], dict], message: str
) -> None:
    make_store(corpus)
    make_shards(corpus, 2)
    before = content_of(corpus / "store")
    options = change(corpus)
    with pytest.raises(UserError, match=message):
        make_store(corpus, rebuild=True, **{"merge": 2, **options})
    assert content_of(corpus / "store") == before


def test_a_shard_in_work_is_waited_for(corpus: Path) -> None:
    first, _ = make_shards(corpus, 2)
    with locked_folder(first, ""), pytest.raises(UserError, match="1_of_2: another process is making this shard"):
        make_store(corpus, merge=2)


def test_an_error_leaves_no_half_shard(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(StoreInputs, "hash", property(lambda _: 1 / 0))
    with pytest.raises(ZeroDivisionError):
        make_shard(corpus, 1, 2)
    assert names_in(corpus / "store_shards") == []
    write(corpus / "store_shards/1_of_2/notes.txt", b"mine")
    with pytest.raises(UserError, match="1_of_2: not empty and not a shard"):
        make_shard(corpus, 1, 2)
