"""Maps of two controls: where their points lie, what is decoded there, and what cannot be mapped."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import LATENT, Obedient, Told, obedient, save_adversarial_vae, save_measure_vae

from common.errors import UserError
from explainable.attributes import ATTRIBUTES, attribute_index
from explainable.measures import MeasureSet
from explainable.trained import load_vae
from models.checkpoint import CheckpointError
from programs.study_surface_maps import Axis, Options, Place, draw_maps, surface

DENSITY, RANGE = attribute_index("note_density"), attribute_index("note_range")


def numbers(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_a_map_has_stripes_across_the_axis_that_is_obeyed() -> None:
    values = np.array([-1.0, 0.0, 1.0])
    place = Place(torch.zeros(1, 3), np.zeros((1, 2), np.float32), torch.zeros(3), torch.ones(3))
    axes = Axis("density", 0, False, values), Axis("range", 1, False, values[:2])
    mapped = surface(obedient(Obedient()), place, *axes)
    assert mapped.shape == (2, 3, 4)
    np.testing.assert_allclose(mapped[:, :, DENSITY], [[9 / 24, 12 / 24, 15 / 24]] * 2)
    np.testing.assert_allclose(mapped[:, :, RANGE], [[9 / 26] * 3, [13 / 26] * 3])
    axes = Axis("density", 0, True, np.array([0.25, 0.5])), Axis("range", 1, True, np.array([0.5]))
    told = surface(obedient(Told()), place, *axes)
    np.testing.assert_allclose(told[0, :, DENSITY], [0.25, 0.5])


@pytest.mark.parametrize(("names", "pairs"), [(ATTRIBUTES, 4), (ATTRIBUTES[:2], 1), (ATTRIBUTES[:1], 1)])
def test_each_control_against_the_next(names: tuple[str, ...], pairs: int, tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth", names=names)
    paths = draw_maps(Options(weights=weights, points=5, output=tmp_path / "maps"))
    assert len(paths) == 2 * pairs and sorted((tmp_path / "maps").iterdir()) == sorted(paths)
    second = f"z1_{names[1]}" if len(names) > 1 else "z1"
    assert paths[0].name == f"surface_tiny_measure_vae_z0_{names[0]}_{second}.png"
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    found = numbers(paths[1])
    assert found["x"].tolist() == found["y"].tolist() == [-3, -1.5, 0, 1.5, 3]
    assert found["attributes"].shape == (5, 5, 4) and found["names"].tolist() == list(ATTRIBUTES)


def test_what_a_decoder_is_told_goes_around_its_mean(tmp_path: Path) -> None:
    weights = save_adversarial_vae(tmp_path / "adversarial_vae.pth")
    paths = draw_maps(Options(weights=weights, points=3, output=tmp_path))
    assert len(paths) == 8 and paths[0].name == "surface_tiny_adversarial_vae_rhythmic_complexity_note_range.png"
    assert numbers(paths[1])["x"].tolist() == [0.25 - 1.5, 0.25, 0.25 + 1.5]
    picture, _ = draw_maps(Options(weights=weights, points=3, dimensions=(3, 1), output=tmp_path))
    assert picture.name == "surface_tiny_adversarial_vae_z3_z1.png"


def test_around_a_measure(measures: MeasureSet, tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth", measures)
    options = {"weights": weights, "data": measures.folder, "dimensions": (0, 4), "points": 3, "output": tmp_path}
    _, path = draw_maps(Options(**options, measure=1))
    assert path.name.startswith(f"surface_{measures.name}_measure_vae_measure1_z0_")
    trained = load_vae(weights)
    z = trained.encode(measures.split("test").tokens).mean
    np.testing.assert_allclose(numbers(path)["y"][1], z[:, 4].mean(), rtol=1e-5)
    np.testing.assert_allclose(np.diff(numbers(path)["y"]), 3 * float(z[:, 4].std()), rtol=1e-4)
    with pytest.raises(UserError, match="rows of test tunes; name another with --measure"):
        draw_maps(Options(**options, measure=len(z)))
    other = save_measure_vae(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="trained on another data set than"):
        draw_maps(Options(**{**options, "weights": other}))


def test_a_measure_is_of_a_data_set() -> None:
    with pytest.raises(UserError, match="--measure needs --data"):
        Options(measure=0)


def test_one_row_of_test_tunes_is_too_few(
    measures: MeasureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights, rows = save_measure_vae(tmp_path / "measure_vae.pth", measures), MeasureSet.rows
    monkeypatch.setattr(MeasureSet, "rows", lambda self, split: rows(self, split)[:1])
    with pytest.raises(UserError, match=r"has 1 rows of test tunes, .*; prepare more tunes"):
        draw_maps(Options(weights=weights, data=measures.folder, output=tmp_path))


@pytest.mark.parametrize("dimensions", [(0,), (0, 0), (0, LATENT), (0, 1, 2)])
def test_two_dimensions_are_mapped(dimensions: tuple[int, ...], tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth")
    with pytest.raises(UserError, match="takes two of the dimensions 0 to 4, as in 0,1"):
        draw_maps(Options(weights=weights, dimensions=dimensions, output=tmp_path))


def test_one_control_that_is_told_has_no_next(tmp_path: Path) -> None:
    weights = save_adversarial_vae(tmp_path / "adversarial_vae.pth", names=ATTRIBUTES[:1])
    with pytest.raises(UserError, match="has one control; name two dimensions of z with --dimensions"):
        draw_maps(Options(weights=weights, output=tmp_path))
