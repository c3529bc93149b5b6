"""The torch.hub entry points: what they load and refuse, and that they leave the user's program unchanged."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from weights import save_weights

import hubconf
from data.window_lengths import WINDOW_LENGTHS
from explainable.attributes import ATTRIBUTES
from explainable.tokens import MEASURE
from models import CVAE, Critic, Generator
from models.study.adversarial_vae import AdversarialVAE
from models.study.attribute_vae import AttributeVAE
from models.study.measure_vae import MeasureVAE
from models.weight_files import hybrid_file, pretrained_file

REPOSITORY = Path(hubconf.__file__).parent
GENRES = ["polka", "raga", "fado"]
FORM = replace(MEASURE, lowest=60, highest=71)

STANDALONE = {"cvae_standalone": "cvae", "generator_standalone": "generator", "critic_standalone": "critic"}
HYBRID = {"cvae_hybrid": "cvae", "generator_hybrid": "generator", "critic_hybrid": "critic"}
ROLLS = {**STANDALONE, **HYBRID}
OTHERS = ("embedding", "exported", "score")  # tests/programs/test_hub_scores.py, test_export.py
STUDY = {"measure_vae": MeasureVAE, "adversarial_vae": AdversarialVAE, "attribute_vae": AttributeVAE}


def load(entry: str, repository: Path = REPOSITORY, **arguments: object) -> torch.nn.Module:
    return torch.hub.load(str(repository), entry, source="local", **arguments)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of narrow models under the names that training gives them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    for seq_len in WINDOW_LENGTHS:
        models = CVAE(3, hidden=8), Generator(3, seq_len, hidden=8), Critic(3, seq_len, hidden=8)
        for model in models:
            save_weights(model, folder / hybrid_file(model.kind, seq_len), genres=GENRES, seq_len=seq_len)
            if seq_len == 32:
                save_weights(model, folder / pretrained_file(model.kind), genres=GENRES)
    facts = {"attributes": ["note_density"], "form": FORM.as_plain()}
    scaled = {"attribute_mean": [0.25], "attribute_deviation": [0.5]}
    scores = {"attribute_scores": [{"values": [0.0, 1.0], "scores": [-3.0, 3.0]}]}
    for model, more in (
        (MeasureVAE(FORM.size, 4, hidden=8), {}),
        (AdversarialVAE(FORM.size, 1, FORM.hold, 4, hidden=8), scaled),
        (AttributeVAE(FORM.size, 1, 4, hidden=8), scores),
    ):
        save_weights(model, folder / model.network / "vae_best.pth", **facts, **more)
    return folder


def copy_of_repository(folder: Path) -> Path:
    """The files that a user needs at least."""
    shutil.copy(REPOSITORY / "hubconf.py", folder)
    shutil.copytree(REPOSITORY / "models", folder / "models")
    return folder


def assert_holds(model: torch.nn.Module, file: Path) -> None:
    saved = torch.load(file, weights_only=True)["weights"]
    state = model.state_dict()
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in saved.items())
    assert model.genres == GENRES and model.condition == "genre" and not model.training


def test_hub_lists_the_entry_points_and_nothing_else() -> None:
    # As torch.hub.list finds them; it accepts no local folders.
    public = {name: value for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert sorted(public) == sorted([*ROLLS, *OTHERS, *STUDY])
    for name, entry in public.items():
        assert f'torch.hub.load(path, "{name}", source="local"' in entry.__doc__


@pytest.mark.parametrize(("entry", "kind"), ROLLS.items())
def test_entry_points_of_rolls_load_their_files(entry: str, kind: str, checkpoints: Path) -> None:
    if entry in STANDALONE:
        assert_holds(load(entry, checkpoint_dir=checkpoints), checkpoints / pretrained_file(kind))
        return
    for seq_len in WINDOW_LENGTHS:
        loaded = load(entry, checkpoint_dir=str(checkpoints), seq_len=seq_len)
        assert_holds(loaded, checkpoints / hybrid_file(kind, seq_len))
    assert_holds(load(entry, checkpoint_dir=checkpoints), checkpoints / hybrid_file(kind, 128))


@pytest.mark.parametrize("pretrained", [True, False])
def test_unknown_presets_and_lengths_are_refused(pretrained: bool, checkpoints: Path) -> None:
    with pytest.raises(ValueError, match="preset must be one of paper, large, but is 'huge'"):
        load("cvae_standalone", preset="huge", pretrained=pretrained)
    for entry in HYBRID:
        for seq_len in (33, None):
            with pytest.raises(ValueError, match="seq_len must be one of 32, 64, 128, but is"):
                load(entry, seq_len=seq_len, pretrained=pretrained, checkpoint_dir=checkpoints)


@pytest.mark.parametrize(
    ("entry", "file", "script"),
    [
        ("cvae_standalone", "cvae_pretrained_best.pth", "train_cvae.py --preset large"),
        ("critic_standalone", "critic_pretrained_best.pth", "train_cgan.py"),
        ("generator_hybrid", "hybrid_G_best_T128.pth", "train_hybrid.py"),
        ("attribute_vae", "vae_best.pth", "python -m programs.study_train attribute_vae"),
    ],
)
def test_missing_weights_name_file_and_script(entry: str, file: str, script: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=f"{re.escape(str(tmp_path / file))}: no such weights; {script}"):
        load(entry, checkpoint_dir=tmp_path)


def test_own_weights_come_before_those_of_the_repository(tmp_path: Path, checkpoints: Path) -> None:
    copy_of_repository(tmp_path)
    shutil.copytree(checkpoints, tmp_path / "released" / "paper")
    critic = load("critic_hybrid", tmp_path, seq_len=32, preset="paper")
    assert_holds(critic, checkpoints / "hybrid_D_best_T32.pth")
    own = save_weights(Critic(3, 32, hidden=4), tmp_path / "checkpoints" / hybrid_file("D", 32), genres=GENRES)
    assert_holds(load("critic_hybrid", tmp_path, seq_len=32, preset="paper"), own)


def test_a_file_of_another_model_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    (tmp_path / "hybrid_G_best_T64.pth").write_bytes((checkpoints / "hybrid_G_best_T32.pth").read_bytes())
    with pytest.raises(ValueError, match="trained on windows of T = 32, not 64; put the right file there"):
        load("generator_hybrid", seq_len=64, checkpoint_dir=tmp_path)
    with pytest.raises(ValueError, match="holds adversarial_vae, but measure_vae is needed"):
        load("measure_vae", checkpoint_dir=checkpoints / "adversarial_vae")
    save_weights(MeasureVAE(FORM.size, 4, hidden=8), tmp_path / "vae_best.pth")
    with pytest.raises(ValueError, match=r"damaged or of another version \('attributes'\)"):
        load("measure_vae", checkpoint_dir=tmp_path)


@pytest.mark.parametrize("entry", ROLLS)
def test_new_models_have_the_presets_size(entry: str) -> None:
    network = {"cvae": CVAE, "generator": Generator, "critic": Critic}[ROLLS[entry]]
    requested = {"seq_len": 64} if entry in HYBRID else {}
    model = load(entry, pretrained=False, preset="paper", n_genres=2, **requested)
    assert model.config == network(2, **({} if network is CVAE else {"seq_len": 32, **requested})).config
    assert not model.training and model.genres == ["genre 0", "genre 1"]
    large = load(entry, pretrained=False)
    assert len(large.genres) == 4 and large.kind == model.kind and large.network != model.network


@pytest.mark.parametrize(
    ("entry", "name"), [*((entry, "n_genres") for entry in ROLLS), *((entry, "hidden") for entry in STUDY)]
)
@pytest.mark.parametrize("size", [-1, 0, "4"])
def test_impossible_sizes_are_refused(entry: str, name: str, size: object) -> None:
    with pytest.raises(ValueError, match=f"{name} must be a whole number above 0, but is {size!r}"):
        load(entry, pretrained=False, **{name: size})


@pytest.mark.parametrize("entry", STUDY)
def test_models_of_the_study_have_what_their_use_needs(entry: str, checkpoints: Path) -> None:
    model = load(entry, checkpoint_dir=checkpoints / entry)
    assert model.attributes == ["note_density"] and model.form == FORM.as_plain() and not model.training
    scaled = [hasattr(model, name) for name in ("attribute_mean", "attribute_deviation", "attribute_scores")]
    assert scaled == [model.network == "adversarial_vae"] * 2 + [model.network == "attribute_vae"]
    tokens = torch.randint(FORM.size, (3, 24))
    z = model.encode(tokens, *((torch.zeros(3, 1),) if model.encodes_scores else ())).mean
    values = (torch.tensor([[0.25], [0.5], [0.75]]) - 0.25) / 0.5
    logits, tokens = model.decode_free(z, *(() if model.controls_in_latent else (values, 24)))
    assert z.shape == (3, 4) and logits.shape == (3, 24, FORM.size) and tokens.shape == (3, 24)


@pytest.mark.parametrize("entry", STUDY)
def test_new_models_of_the_study_have_the_published_size(entry: str) -> None:
    sizes = {"latent": 6, "hidden": 8}
    model = load(entry, pretrained=False, attributes=ATTRIBUTES[:2], **sizes)
    more = {"adversarial_vae": {"n_attributes": 2, "start": MEASURE.hold}, "attribute_vae": {"n_attributes": 2}}
    assert model.config == STUDY[entry](n_tokens=MEASURE.size, **more.get(entry, {}), **sizes).config
    assert model.form == MEASURE.as_plain() and model.attributes == list(ATTRIBUTES[:2]) and not model.training
    assert model.attribute_mean == [0, 0] and model.attribute_deviation == [1, 1] and len(model.attribute_scores) == 2
    defaults = inspect.signature(getattr(hubconf, entry)).parameters
    published = inspect.signature(STUDY[entry]).parameters
    assert all(defaults[name].default == published[name].default for name in ("latent", "hidden"))
    assert defaults["attributes"].default == ATTRIBUTES


def test_weights_of_the_study_are_the_only_run_or_those_of_the_repository(checkpoints: Path, tmp_path: Path) -> None:
    copy_of_repository(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"measure_vae.pth: no such weights"):
        load("measure_vae", tmp_path)
    (tmp_path / "released" / "explainable").mkdir(parents=True)
    shutil.copy(checkpoints / "measure_vae" / "vae_best.pth", tmp_path / "released" / "explainable" / "measure_vae.pth")
    assert load("measure_vae", tmp_path).attributes == ["note_density"]
    own, facts = tmp_path / "checkpoints" / "explainable" / "set", {"attributes": [], "form": {}}
    save_weights(MeasureVAE(FORM.size, 8, hidden=8), own / "measure_vae_z8" / "vae_best.pth", **facts)
    assert load("measure_vae", tmp_path).latent == 8
    save_weights(MeasureVAE(FORM.size, 4, hidden=8), own / "measure_vae_z4" / "vae_best.pth", **facts)
    with pytest.raises(ValueError, match=r"2 runs, such as .*; name the folder of one with checkpoint_dir"):
        load("measure_vae", tmp_path)


def test_a_program_without_this_repository(tmp_path: Path, checkpoints: Path) -> None:
    """The user's packages of these names are used and unchanged; only torch and the standard library are imported."""
    for name in ("models", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWNER = 'the user of {name}'\n")
        (tmp_path / name / "later.py").write_text("FOUND = True\n")
    program = """
import json, sys
import data, models, torch
def users():
    return {name: id(module) for name, module in sys.modules.items() if name.split(".")[0] in ("models", "data")}
before, packages = users(), {name.split(".")[0] for name in sys.modules}
repository, folder, *entries = sys.argv[1:]
for entry in entries:
    place = f"{folder}/{entry}" if entry.endswith("_vae") else folder
    torch.hub.load(repository, entry, source="local", checkpoint_dir=place)
    torch.hub.load(repository, entry, source="local", pretrained=False, **({} if place == folder else {"hidden": 8}))
for entry in ("embedding", "score"):
    torch.hub.load(repository, entry, source="local", pretrained=False)(torch.zeros(1, 128, 16))
after, now = users(), {name.split(".")[0] for name in sys.modules}
import data.later, models.later
own = {name for name in now if name.startswith("_hub_models_")}
print(json.dumps({"same": before == after, "owners": [models.OWNER, data.OWNER], "in path": repository in sys.path,
                  "own": len(own), "other": sorted(now - packages - own - sys.stdlib_module_names)}))
"""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", program, *map(str, [REPOSITORY, checkpoints, *ROLLS, *STUDY])]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    owners = ["the user of models", "the user of data"]
    assert json.loads(done.stdout) == {"same": True, "owners": owners, "in path": False, "own": 1, "other": []}
