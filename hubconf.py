"""The models through torch.hub; torch is the only dependency. docs/hub.md has all inputs and outputs.

    import torch
    generator = torch.hub.load("path/to/this/repository", "generator_hybrid", source="local", seq_len=128)
    genre = torch.full((8,), generator.genres.index("jazz"))
    z = generator.prior.sample(torch.randn(8, generator.noise_size(128)), genre)
    roll = generator.play(generator(z, genre))  # bool (8, 128, T): does the pitch sound in the frame?

Models are in eval mode on the CPU. `pretrained=False` builds a new model with random weights. `checkpoint_dir` is the
folder of the weights; None takes those below checkpoints/ in this repository, where training writes them, or else those
in released/. For piano rolls `preset` is "large" or "paper", and `seq_len` 32, 64 or 128 frames; `n_genres` describes a
new model, as do `latent`, `hidden` and `attributes` for melodies. Missing weights raise FileNotFoundError; damaged or
unsuitable weights and wrong arguments raise ValueError.
"""

import collections.abc
import hashlib
import importlib
import importlib.util
import os
import pathlib
import sys
import types

import torch

dependencies = ["torch"]
# torch.hub lists every public callable as an entry point. So this file imports modules, not their names.
_Path = str | os.PathLike[str] | None
_Names = collections.abc.Sequence[str]
_ATTRIBUTES = ("rhythmic_complexity", "note_range", "note_density", "average_interval_jump")


def cvae_standalone(
    pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """CVAE after stage 1, for windows of any length; trained at T = 32 (paper) or 128 (large).

    cvae = torch.hub.load(path, "cvae_standalone", source="local")
    """
    return _hub().roll_model("cvae", pretrained, checkpoint_dir, n_genres, preset)


def cvae_hybrid(
    seq_len: int = 128, pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """CVAE after stage 3, best at windows of `seq_len` frames.

    cvae = torch.hub.load(path, "cvae_hybrid", source="local", seq_len=128)
    """
    return _hub().roll_model("cvae", pretrained, checkpoint_dir, n_genres, preset, _window_length(seq_len))


def generator_standalone(
    pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """Generator G(z, y) after stage 2, for windows of `generator.seq_len` frames: 32 unless trained at another T.

    generator = torch.hub.load(path, "generator_standalone", source="local")
    """
    return _hub().roll_model("generator", pretrained, checkpoint_dir, n_genres, preset)


def generator_hybrid(
    seq_len: int = 128, pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """Generator G(z, y) after stage 3, for windows of `seq_len` frames.

    generator = torch.hub.load(path, "generator_hybrid", source="local", seq_len=128)
    """
    return _hub().roll_model("generator", pretrained, checkpoint_dir, n_genres, preset, _window_length(seq_len))


def critic_standalone(
    pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """Critic D(X, y), of preset large D(X, y, z), after stage 2, for windows of `critic.seq_len` frames.

    critic = torch.hub.load(path, "critic_standalone", source="local")
    """
    return _hub().roll_model("critic", pretrained, checkpoint_dir, n_genres, preset)


def critic_hybrid(
    seq_len: int = 128, pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, preset: str = "large"
) -> torch.nn.Module:
    """Critic D(X, y), of preset large D(X, y, z), after stage 3, for windows of `seq_len` frames.

    critic = torch.hub.load(path, "critic_hybrid", source="local", seq_len=128)
    """
    return _hub().roll_model("critic", pretrained, checkpoint_dir, n_genres, preset, _window_length(seq_len))


def score(
    pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4, samples: int = 2
) -> torch.nn.Module:
    """Bits of rolls, per second and per note, under every genre, and the genres' probabilities, by the hybrid CVAE.

    `samples` z for each window and genre; more make the bits fewer and surer.

    score = torch.hub.load(path, "score", source="local")
    """
    return _hub().roll_scorer(pretrained, checkpoint_dir, n_genres, samples)


def embedding(pretrained: bool = True, checkpoint_dir: _Path = None, n_genres: int = 4) -> torch.nn.Module:
    """One vector for each second of rolls, from the hidden states of the hybrid CVAE, without the genre.

    embedding = torch.hub.load(path, "embedding", source="local")
    """
    return _hub().roll_embedder(pretrained, checkpoint_dir, n_genres)


def exported(folder: str | os.PathLike[str]) -> torch.nn.Module:
    """The model in a folder that export.py wrote, such as a copy from the Hugging Face Hub.

    model = torch.hub.load(path, "exported", source="local", folder="exported/hybrid_G_best_T128")
    """
    return _hub().exported_model(folder)


def measure_vae(
    pretrained: bool = True, checkpoint_dir: _Path = None, latent: int = 32, hidden: int = 512,
    attributes: _Names = _ATTRIBUTES,
) -> torch.nn.Module:  # fmt: skip
    """MeasureVAE: a measure of 4/4 to z and back; dimension k of z follows attribute k of `attributes`.

    vae = torch.hub.load(path, "measure_vae", source="local")
    """
    return _hub().study_model("measure_vae", pretrained, checkpoint_dir, attributes, latent=latent, hidden=hidden)


def adversarial_vae(
    pretrained: bool = True, checkpoint_dir: _Path = None, latent: int = 128, hidden: int = 1024,
    attributes: _Names = _ATTRIBUTES,
) -> torch.nn.Module:  # fmt: skip
    """AdversarialVAE: tokens to z and back; an adversary removes the attributes from z, the decoder receives them.

    vae = torch.hub.load(path, "adversarial_vae", source="local")
    """
    return _hub().study_model("adversarial_vae", pretrained, checkpoint_dir, attributes, latent=latent, hidden=hidden)


def attribute_vae(
    pretrained: bool = True, checkpoint_dir: _Path = None, latent: int = 32, hidden: int = 512,
    attributes: _Names = _ATTRIBUTES,
) -> torch.nn.Module:  # fmt: skip
    """AttributeVAE: as MeasureVAE, but the first dimensions of z are the attributes, absent from the others.

    vae = torch.hub.load(path, "attribute_vae", source="local")
    """
    return _hub().study_model("attribute_vae", pretrained, checkpoint_dir, attributes, latent=latent, hidden=hidden)


def _window_length(seq_len: int) -> int:
    if seq_len not in (32, 64, 128):
        raise ValueError(f"seq_len must be one of 32, 64, 128, but is {seq_len!r}")
    return int(seq_len)


def _hub() -> types.ModuleType:
    """models/hub.py of this repository, its package under a private name.

    `import models` could find a package of that name that the user has imported, or hide theirs.
    """
    folder = pathlib.Path(__file__).resolve().parent / "models"
    name = f"_hub_models_{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, folder / "__init__.py", submodule_search_locations=[str(folder)]
        )
        sys.modules[name] = package = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(package)
        except BaseException:
            del sys.modules[name]
            raise
    return importlib.import_module(f"{name}.hub")
