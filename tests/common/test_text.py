"""Names for files, made of text from users."""

from common.text import MAX_NAME, aligned, short_name


def test_columns_are_aligned() -> None:
    assert aligned([("genre", "n"), ("jazz", "12")]) == "genre   n\njazz   12"


def test_names_that_are_cut_stay_apart() -> None:
    assert short_name("Jazz: a/b\n") == "Jazz_ a_b_n"
    assert short_name("é" * (MAX_NAME // 2)) == "é" * (MAX_NAME // 2)
    names = [short_name("é" * 150 + end) for end in ("", "x", "y")]
    assert len(set(names)) == 3 and all(len(name.encode()) <= MAX_NAME for name in names)
    assert all(name.startswith("é" * 25) and short_name(name) == name for name in names)
