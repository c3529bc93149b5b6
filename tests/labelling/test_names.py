"""Names of different catalogues compare without their differences of spelling."""

import pytest

from labelling.names import artist_keys, key, names_of_path, song_keys


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Beatles", "beatles"),
        ("Simon & Garfunkel", "Simon and Garfunkel"),
        ("Beyoncé", "BEYONCE"),
        ("Dancing Queen (Live)", "Dancing Queen"),
        ("Queen feat. David Bowie", "Queen"),
        ("A Whiter Shade of Pale", "Whiter Shade Of Pale"),
        ("Dont Stop", "Don't Stop!"),
        ("Мумий Тролль", "МУМИЙ ТРОЛЛЬ"),
    ],
)
def test_spellings_of_one_name_have_one_key(one: str, other: str) -> None:
    assert key(one) == key(other) != "" and key(one) != key("Кино")


def test_last_first_has_two_keys() -> None:
    assert artist_keys("Gaye,Marvin") == ("gayemarvin", "marvingaye")
    assert artist_keys("Beatles, The")[1] == "beatles"
    assert artist_keys("10,000 Maniacs") == ("10000maniacs",)
    assert artist_keys("Crosby, Stills, Nash & Young") == ("crosbystillsnashandyoung",)
    assert song_keys("Gaye,Marvin", "Sexual Healing") == ("gayemarvin / sexualhealing", "marvingaye / sexualhealing")
    assert song_keys("Gaye,Marvin", "") == song_keys("", "Sexual Healing") == ()


def test_names_in_paths() -> None:
    md5, track = "0" * 31 + "a", "TRLLLJH12903CC3D7C"
    assert names_of_path("midi/10_cc/Dreadlock_Holiday.1.mid") == ("10 cc", "Dreadlock Holiday", "", "")
    assert names_of_path("ABBA/Waterloo (2).MIDI")[:2] == ("ABBA", "Waterloo")
    assert names_of_path("Percy/Op.10.mid").title == "Op.10"
    assert names_of_path(f"L/L/L/{track}/{md5}.mid") == ("", "", md5, track)
    assert names_of_path(f"a/{md5}.mid") == ("", "", md5, "")
