"""The torch.hub entry points: what they load, what they refuse, and that they leave the user's program alone."""

import inspect
import json
import os
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
from weights import save_weights

import hubconf
from data.store import WINDOW_LENGTHS
from explainable.attributes import ATTRIBUTES
from explainable.tokens import MEASURE
from models import CVAE, Critic, Generator
from models.study.adversarial_vae import AdversarialVAE
from models.study.attribute_vae import AttributeVAE
from models.study.measure_vae import MeasureVAE
from models.weight_files import hybrid_file, pretrained_file

REPOSITORY = Path(hubconf.__file__).parent
GENRES = ["polka", "raga", "fado"]
FORM = MEASURE.with_range(60, 71)

STANDALONE = {"cvae_standalone": "cvae", "generator_standalone": "generator", "critic_standalone": "critic"}
MEASURES = {"measure_vae": MeasureVAE, "adversarial_vae": AdversarialVAE, "attribute_vae": AttributeVAE}
HYBRID = {"cvae_hybrid": "cvae", "generator_hybrid": "G", "critic_hybrid": "D"}


def load(entry: str, **arguments: object) -> torch.nn.Module:
    return torch.hub.load(str(REPOSITORY), entry, source="local", **arguments)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of narrow models under the names that the three stages give them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints")
    n = len(GENRES)
    save_weights(CVAE(n, hidden=8), folder / pretrained_file("cvae"), genres=GENRES)
    save_weights(Generator(n, 32, hidden=8), folder / pretrained_file("generator"), genres=GENRES)
    save_weights(Critic(n, 32, hidden=8), folder / pretrained_file("critic"), genres=GENRES)
    for seq_len in WINDOW_LENGTHS:
        save_weights(CVAE(n, hidden=8), folder / hybrid_file("cvae", seq_len), genres=GENRES, seq_len=seq_len)
        save_weights(Generator(n, seq_len, hidden=8), folder / hybrid_file("G", seq_len), genres=GENRES)
        save_weights(Critic(n, seq_len, hidden=8), folder / hybrid_file("D", seq_len), genres=GENRES)
    facts = {"attributes": ["note_density"], "form": FORM.as_plain()}
    standardised = {"attribute_mean": [0.25], "attribute_deviation": [0.5]}
    save_weights(MeasureVAE(FORM.size, 4, hidden=8), folder / "measure_vae" / "vae_best.pth", **facts)
    told = AdversarialVAE(FORM.size, 1, FORM.hold, 4, hidden=8)
    save_weights(told, folder / "adversarial_vae" / "vae_best.pth", **facts, **standardised)
    scores = [{"values": [0.0, 1.0], "scores": [-3.0, 3.0]}]
    given = AttributeVAE(FORM.size, 1, 4, hidden=8)
    save_weights(given, folder / "attribute_vae" / "vae_best.pth", **facts, attribute_scores=scores)
    return folder


def assert_holds(model: torch.nn.Module, file: Path) -> None:
    saved = torch.load(file, weights_only=True)["weights"]
    state = model.state_dict()
    assert state.keys() == saved.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in saved.items())
    assert model.genres == GENRES
    assert not model.training


def test_hub_lists_the_entry_points_and_nothing_else() -> None:
    # As torch.hub.list finds them: it knows no local folders.
    public = {name: value for name, value in vars(hubconf).items() if callable(value) and not name.startswith("_")}
    assert sorted(public) == sorted([*STANDALONE, *HYBRID, *MEASURES])
    for name, entry in public.items():
        assert f'torch.hub.load(path, "{name}", source="local"' in entry.__doc__


@pytest.mark.parametrize(("entry", "model"), STANDALONE.items())
def test_standalone_entry_points_load_their_stage(entry: str, model: str, checkpoints: Path) -> None:
    assert_holds(load(entry, checkpoint_dir=checkpoints), checkpoints / pretrained_file(model))


@pytest.mark.parametrize("seq_len", WINDOW_LENGTHS)
@pytest.mark.parametrize(("entry", "model"), HYBRID.items())
def test_hybrid_entry_points_load_the_asked_length(entry: str, model: str, seq_len: int, checkpoints: Path) -> None:
    loaded = load(entry, seq_len=seq_len, checkpoint_dir=str(checkpoints))
    assert_holds(loaded, checkpoints / hybrid_file(model, seq_len))
    assert model == "cvae" or loaded.seq_len == seq_len


def test_the_documented_shapes(checkpoints: Path) -> None:
    z, genre = torch.randn(3, 32), torch.tensor([0, 1, 2])
    roll = load("generator_hybrid", seq_len=64, checkpoint_dir=checkpoints)(z, genre)
    assert roll.shape == (3, 128, 64) and roll.dtype == torch.float32
    assert 0 <= roll.min() <= roll.max() <= 1
    assert load("critic_hybrid", seq_len=64, checkpoint_dir=checkpoints)(roll, genre).shape == (3,)
    cvae = load("cvae_hybrid", seq_len=64, checkpoint_dir=checkpoints)
    assert cvae.decode_free(z, genre, seq_len=64).roll.shape == (3, 128, 64)
    mean, log_variance = cvae.encode(roll, torch.rand(5, 3), torch.tensor([0, 0, 1, 1, 1]), genre)
    assert mean.shape == log_variance.shape == (3, 32)


def test_the_default_length_is_128(checkpoints: Path) -> None:
    assert load("generator_hybrid", checkpoint_dir=checkpoints).seq_len == 128


@pytest.mark.parametrize("entry", [*STANDALONE, *HYBRID])
def test_presets(entry: str) -> None:
    large, paper = (load(entry, pretrained=False, preset=preset) for preset in ("large", "paper"))
    assert large.kind == paper.kind and large.network != paper.network
    assert load(entry, pretrained=False).network == large.network
    with pytest.raises(ValueError, match="preset must be one of paper, large, but is 'huge'"):
        load(entry, preset="huge")


@pytest.mark.parametrize("seq_len", [0, 16, 33, 256, None, "128", [32]])
@pytest.mark.parametrize("entry", HYBRID)
@pytest.mark.parametrize("pretrained", [True, False])
def test_other_lengths_are_refused(entry: str, seq_len: object, pretrained: bool, checkpoints: Path) -> None:
    with pytest.raises(ValueError, match="seq_len must be one of 32, 64, 128, but is"):
        load(entry, seq_len=seq_len, pretrained=pretrained, checkpoint_dir=checkpoints)


@pytest.mark.parametrize(
    ("entry", "file", "script"),
    [
        ("cvae_standalone", "cvae_pretrained_best.pth", "train_cvae.py"),
        ("generator_standalone", "generator_pretrained_best.pth", "train_cgan.py"),
        ("critic_standalone", "critic_pretrained_best.pth", "train_cgan.py"),
        ("cvae_hybrid", "hybrid_cvae_best_T128.pth", "train_hybrid.py"),
        ("generator_hybrid", "hybrid_G_best_T128.pth", "train_hybrid.py"),
        ("critic_hybrid", "hybrid_D_best_T128.pth", "train_hybrid.py"),
    ],
)
def test_missing_weights_name_file_and_script(entry: str, file: str, script: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load(entry, checkpoint_dir=tmp_path)
    message = str(caught.value)
    assert str(tmp_path / file) in message
    assert script in message and "checkpoint_dir" in message and "pretrained=False" in message


def test_the_default_folder_is_checkpoints_beside_hubconf(tmp_path: Path, checkpoints: Path) -> None:
    # A copy of what a user needs at least: hubconf.py, models/ and the weights.
    shutil.copy(REPOSITORY / "hubconf.py", tmp_path)
    shutil.copytree(REPOSITORY / "models", tmp_path / "models")
    shutil.copytree(checkpoints, tmp_path / "checkpoints")
    critic = torch.hub.load(str(tmp_path), "critic_hybrid", source="local", seq_len=32, preset="paper")
    assert_holds(critic, checkpoints / "hybrid_D_best_T32.pth")
    shutil.move(tmp_path / "checkpoints", tmp_path / "released" / "paper")
    critic = torch.hub.load(str(tmp_path), "critic_hybrid", source="local", seq_len=64, preset="paper")
    assert_holds(critic, checkpoints / "hybrid_D_best_T64.pth")


def test_a_file_of_another_model_is_refused(checkpoints: Path, tmp_path: Path) -> None:
    (tmp_path / "hybrid_G_best_T64.pth").write_bytes((checkpoints / "hybrid_G_best_T32.pth").read_bytes())
    with pytest.raises(ValueError, match="trained on windows of T = 32, not 64; put the right file there"):
        load("generator_hybrid", seq_len=64, checkpoint_dir=tmp_path)
    (tmp_path / "critic_pretrained_best.pth").write_bytes((checkpoints / "cvae_pretrained_best.pth").read_bytes())
    with pytest.raises(ValueError, match="holds cvae, but critic is needed"):
        load("critic_standalone", checkpoint_dir=tmp_path)
    (tmp_path / "cvae_pretrained_best.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        load("cvae_standalone", checkpoint_dir=tmp_path)


@pytest.mark.parametrize("entry", [*STANDALONE, *HYBRID])
def test_untrained_models_have_the_papers_size(entry: str) -> None:
    kind = {"cvae": CVAE, "generator": Generator, "critic": Critic}[entry.split("_")[0]]
    sizes = {} if kind is CVAE else {"seq_len": 64 if entry in HYBRID else 32}
    asked = {"seq_len": 64} if entry in HYBRID else {}
    model = load(entry, pretrained=False, preset="paper", **asked)
    assert model.config == kind(4, **sizes).config
    assert not model.training and len(model.genres) == 4
    fewer = load(entry, pretrained=False, n_genres=2, **asked)
    assert fewer.genre.num_embeddings == 2 and fewer.genres == ["genre 0", "genre 1"]


@pytest.mark.parametrize("entry", MEASURES)
def test_models_of_measures_bring_what_it_takes_to_use_them(entry: str, checkpoints: Path) -> None:
    model = load(entry, checkpoint_dir=checkpoints / entry)
    assert model.attributes == ["note_density"] and model.form == FORM.as_plain() and not model.training
    rows = torch.randint(FORM.size, (3, 24))
    told = (torch.zeros(3, 1),) if entry == "attribute_vae" else ()
    z = model.encode(rows, *told).mean
    assert z.shape == (3, 4)
    told = ()
    if entry == "adversarial_vae":
        values = torch.tensor([[0.25], [0.5], [0.75]])
        told = (values - torch.tensor(model.attribute_mean)) / torch.tensor(model.attribute_deviation), rows.shape[1]
        assert told[0].flatten().tolist() == [0, 0.5, 1]
    logits, tokens = model.decode_free(z, *told)
    assert logits.shape == (3, 24, FORM.size) and tokens.shape == (3, 24) and tokens.dtype == torch.int64


@pytest.mark.parametrize("entry", MEASURES)
def test_new_models_of_measures_have_the_published_size(entry: str) -> None:
    sizes = {"latent": 6, "hidden": 8}
    model = load(entry, pretrained=False, attributes=ATTRIBUTES[:2], **sizes)
    more = {"adversarial_vae": {"n_attributes": 2, "start": MEASURE.hold}, "attribute_vae": {"n_attributes": 2}}
    assert model.config == MEASURES[entry](n_tokens=MEASURE.size, **more.get(entry, {}), **sizes).config
    assert model.form == MEASURE.as_plain() and model.attributes == list(ATTRIBUTES[:2]) and not model.training
    defaults = inspect.signature(getattr(hubconf, entry)).parameters
    published = inspect.signature(MEASURES[entry]).parameters
    assert all(defaults[name].default == published[name].default for name in ("latent", "hidden"))
    assert defaults["attributes"].default == ATTRIBUTES


def test_weights_of_measures_are_ones_own_or_those_of_the_repository(checkpoints: Path, tmp_path: Path) -> None:
    shutil.copy(REPOSITORY / "hubconf.py", tmp_path)
    shutil.copytree(REPOSITORY / "models", tmp_path / "models")

    def load_there() -> torch.nn.Module:
        return torch.hub.load(str(tmp_path), "measure_vae", source="local")

    with pytest.raises(FileNotFoundError, match=r"measure_vae.pth: no such weights; .* programs.study_train"):
        load_there()
    file = checkpoints / "measure_vae" / "vae_best.pth"
    (tmp_path / "released" / "explainable").mkdir(parents=True)
    shutil.copy(file, tmp_path / "released" / "explainable" / "measure_vae.pth")
    assert load_there().attributes == ["note_density"]
    own = tmp_path / "checkpoints" / "explainable" / "set"
    for run in ("measure_vae_z4", "measure_vae_z8"):
        save_weights(MeasureVAE(FORM.size, 8, hidden=8), own / run / "vae_best.pth", attributes=[], form={})
        if run == "measure_vae_z4":
            assert load_there().latent == 8, "one's own run comes first"
    with pytest.raises(ValueError, match=r"2 runs, such as .*; name the folder of one with checkpoint_dir"):
        load_there()


def test_other_weights_are_no_model_of_measures(checkpoints: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds adversarial_vae, but measure_vae is needed"):
        load("measure_vae", checkpoint_dir=checkpoints / "adversarial_vae")
    save_weights(MeasureVAE(FORM.size, 4, hidden=8), tmp_path / "vae_best.pth")
    with pytest.raises(ValueError, match="damaged or of another version"):
        load("measure_vae", checkpoint_dir=tmp_path)


def test_the_running_programs_models_stay_what_they_are(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    users = types.ModuleType("models")
    monkeypatch.setitem(sys.modules, "models", users)
    path_before = list(sys.path)
    model = load("cvae_standalone", checkpoint_dir=checkpoints)
    assert sys.modules["models"] is users and sys.path == path_before
    assert type(model) is not CVAE and type(model).__module__.startswith("_hub_models_")
    assert type(load("cvae_hybrid", checkpoint_dir=checkpoints)) is type(model)


def run_python(program: str, cwd: Path, *arguments: object) -> dict[str, object]:
    """Run `program` in a fresh interpreter that knows nothing of this repository; it prints JSON."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_users_own_packages_are_used_and_left_alone(tmp_path: Path, checkpoints: Path) -> None:
    for name in ("models", "data"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"OWNER = 'the user of {name}'\n")
        (tmp_path / name / "later.py").write_text("FOUND = True\n")
    program = """
import json, sys
import data, models
import torch
before = {name: id(module) for name, module in sys.modules.items() if name.split(".")[0] in ("models", "data")}
repository, folder = sys.argv[1:]
for entry in ("cvae_standalone", "generator_hybrid", "critic_hybrid"):
    torch.hub.load(repository, entry, source="local", checkpoint_dir=folder)
after = {name: id(module) for name, module in sys.modules.items() if name.split(".")[0] in ("models", "data")}
import data.later, models.later
print(json.dumps({"same": before == after, "owners": [models.OWNER, data.OWNER], "repository": repository in sys.path}))
"""
    found = run_python(program, tmp_path, REPOSITORY, checkpoints)
    assert found == {"same": True, "owners": ["the user of models", "the user of data"], "repository": False}


def test_nothing_but_torch_and_the_standard_library_is_imported(tmp_path: Path, checkpoints: Path) -> None:
    program = """
import json, sys
import torch
before = {name.split(".")[0] for name in sys.modules}
repository, folder = sys.argv[1:]
for entry in ("cvae_standalone", "cvae_hybrid", "generator_standalone", "generator_hybrid", "critic_standalone",
              "critic_hybrid"):
    torch.hub.load(repository, entry, source="local", checkpoint_dir=folder)
    torch.hub.load(repository, entry, source="local", pretrained=False)
for entry in ("measure_vae", "adversarial_vae", "attribute_vae"):
    torch.hub.load(repository, entry, source="local", checkpoint_dir=f"{folder}/{entry}")
    torch.hub.load(repository, entry, source="local", pretrained=False, hidden=8)
after = {name.split(".")[0] for name in sys.modules}
own = {name for name in after if name.startswith("_hub_models_")}
print(json.dumps({"own": len(own), "other": sorted(after - before - own - sys.stdlib_module_names)}))
"""
    assert run_python(program, tmp_path, REPOSITORY, checkpoints) == {"own": 1, "other": []}
