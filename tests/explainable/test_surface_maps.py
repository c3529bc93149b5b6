"""Maps of two controls: their axes, the attributes at their points, and refusals."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_models import LATENT, InputControls, LatentControls, save_adversarial_vae, save_measure_vae, trained

from common.errors import UserError
from explainable.attributes import ATTRIBUTES, attribute_index
from explainable.measures import MeasureSet
from explainable.options import MapOptions
from explainable.surface_maps import Axis, Origin, surface
from explainable.trained import load_vae
from models.checkpoint import CheckpointError
from programs.study_surface_maps import draw_maps

DENSITY, RANGE = attribute_index("note_density"), attribute_index("note_range")


def numbers(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def test_an_exact_control_gives_stripes_across_its_axis() -> None:
    values = np.array([-1.0, 0.0, 1.0])
    origin = Origin(torch.zeros(1, 3), np.zeros((1, 2), np.float32), torch.zeros(3), torch.ones(3))
    axes = Axis("density", 0, False, values), Axis("range", 1, False, values[:2])
    mapped = surface(trained(LatentControls()), origin, *axes)
    assert mapped.shape == (2, 3, 4)
    np.testing.assert_allclose(mapped[:, :, DENSITY], [[9 / 24, 12 / 24, 15 / 24]] * 2)
    np.testing.assert_allclose(mapped[:, :, RANGE], [[9 / 26] * 3, [13 / 26] * 3])
    axes = Axis("density", 0, True, np.array([0.25, 0.5])), Axis("range", 1, True, np.array([0.5]))
    np.testing.assert_allclose(surface(trained(InputControls()), origin, *axes)[0, :, DENSITY], [0.25, 0.5])


@pytest.mark.parametrize(("names", "pairs"), [(ATTRIBUTES, 4), (ATTRIBUTES[:2], 1), (ATTRIBUTES[:1], 1)])
def test_each_control_is_mapped_with_the_next(names: tuple[str, ...], pairs: int, tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth", names=names)
    paths = draw_maps(MapOptions(weights=weights, points=5, output=tmp_path / "maps"))
    assert len(paths) == 2 * pairs and sorted((tmp_path / "maps").glob("[!.]*")) == sorted(paths)
    second = f"z1_{names[1]}" if len(names) > 1 else "z1"
    assert paths[0].name == f"surface_tiny_measure_vae_z0_{names[0]}_{second}.png"
    assert paths[0].read_bytes()[:4] == b"\x89PNG"
    found = numbers(paths[1])
    assert found["x"].tolist() == found["y"].tolist() == [-3, -1.5, 0, 1.5, 3]
    assert found["attributes"].shape == (5, 5, 4) and found["names"].tolist() == list(ATTRIBUTES)


@pytest.mark.parametrize("name", ["z0_note_density_z1_note_range.png", "z0_note_density_z1_note_range.npz"])
def test_a_foreign_file_is_refused_before_the_work(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("explainable.surface_maps.surface", lambda *_: pytest.fail("computes"))
    weights = save_measure_vae(tmp_path / "measure_vae.pth", names=("note_density", "note_range"))
    (tmp_path / f"surface_tiny_measure_vae_{name}").write_text("by hand")
    with pytest.raises(UserError, match="no program of ours wrote it"):
        draw_maps(MapOptions(weights=weights, output=tmp_path))


def test_inputs_of_the_decoder_are_mapped_around_their_training_mean(tmp_path: Path) -> None:
    weights = save_adversarial_vae(tmp_path / "adversarial_vae.pth")
    paths = draw_maps(MapOptions(weights=weights, points=3, output=tmp_path))
    assert len(paths) == 8 and paths[0].name == "surface_tiny_adversarial_vae_rhythmic_complexity_note_range.png"
    assert numbers(paths[1])["x"].tolist() == [0.25 - 1.5, 0.25, 0.25 + 1.5]
    picture, _ = draw_maps(MapOptions(weights=weights, points=3, dimensions=(3, 1), output=tmp_path))
    assert picture.name == "surface_tiny_adversarial_vae_z3_z1.png"
    single = save_adversarial_vae(tmp_path / "single.pth", names=ATTRIBUTES[:1])
    with pytest.raises(UserError, match="has one control; name two dimensions of z with --dimensions"):
        draw_maps(MapOptions(weights=single, output=tmp_path))


def test_planes_through_a_measure(measures: MeasureSet, tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth", measures)
    options = {"weights": weights, "data": measures.folder, "dimensions": (0, 4), "points": 3, "output": tmp_path}
    _, path = draw_maps(MapOptions(**options, measure=1))
    assert path.name.startswith(f"surface_{measures.name}_measure_vae_measure1_z0_")
    z = load_vae(weights).encode(measures.split("test").tokens).mean
    np.testing.assert_allclose(numbers(path)["y"][1], z[:, 4].mean(), rtol=1e-5)
    np.testing.assert_allclose(np.diff(numbers(path)["y"]), 3 * float(z[:, 4].std()), rtol=1e-4)
    with pytest.raises(UserError, match="test rows; name another with --measure"):
        draw_maps(MapOptions(**options, measure=len(z)))
    other = save_measure_vae(tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="trained on another data set than"):
        draw_maps(MapOptions(**{**options, "weights": other}))
    with pytest.raises(UserError, match="--measure needs --data"):
        MapOptions(measure=0)


@pytest.mark.parametrize("dimensions", [(0,), (0, 0), (0, LATENT), (0, 1, 2)])
def test_only_two_dimensions_of_z_can_be_mapped(dimensions: tuple[int, ...], tmp_path: Path) -> None:
    weights = save_measure_vae(tmp_path / "measure_vae.pth")
    with pytest.raises(UserError, match="takes two of the dimensions 0 to 4, as in 0,1"):
        draw_maps(MapOptions(weights=weights, dimensions=dimensions, output=tmp_path))
