"""The trained models through torch.hub; torch is all they need.

    import torch
    generator = torch.hub.load("path/to/this/repository", "generator_hybrid", source="local", seq_len=128)
    genre = torch.full((8,), generator.genres.index("jazz"))
    z = generator.prior.sample(torch.randn(8, generator.noise_size(128)), genre)
    roll = generator(z, genre) > 0.5  # (8, 128, T): does the pitch sound in the frame?

Every model comes in eval mode, on the CPU, with the genre names it was trained on in `genres` (a name's position is the
genre id) and what these are in `condition`: genre, composer, mood. Weights are read from checkpoints/ in this
repository, where the training scripts put them, or else from released/, whose weights come with it (MODEL_CARD.md), or
from `checkpoint_dir`. They are plain tensors: nothing is unpickled.
Arguments of the entry points of piano rolls:

    preset          "large", or "paper": the networks of the report
    pretrained      load the trained weights; otherwise a new model of the preset's size, for `n_genres` genres
    checkpoint_dir  folder of the weights; None is checkpoints/large/ or checkpoints/ in this repository where training
                    has put some there, else released/
    n_genres        only with pretrained=False; a trained model knows its own number
    seq_len         hybrid models alone: 32, 64 or 128 frames

measure_vae, adversarial_vae and attribute_vae are of the study in explainable/, melodies as measures of tokens. They
carry the names of what they control in `attributes`, and in `form` what their tokens mean. Without `checkpoint_dir`, a
folder with vae_best.pth, they are those of the one run below checkpoints/explainable/, else of released/explainable/.
With pretrained=False they are new, of the published size but for `latent` (numbers of z), `hidden` (width) and
`attributes`.

Missing weights are a FileNotFoundError; another `seq_len`, or a file that is damaged or holds something else, is a
ValueError that names it.
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

# What stands here without a leading underscore and can be called is an entry point: hence modules, not their names.

dependencies = ["torch"]

_REPOSITORY = pathlib.Path(__file__).resolve().parent
_WINDOW_LENGTHS = (32, 64, 128)
_ATTRIBUTES = ("rhythmic_complexity", "note_range", "note_density", "average_interval_jump")


def cvae_standalone(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """CVAE after stage 1: q(z | X, E, y) and p(X | z, y), for windows of any length T, trained at T = 32 (large: 128).

        cvae = torch.hub.load(path, "cvae_standalone", source="local")
        genre = torch.zeros(8, dtype=torch.long)
        z = cvae.prior.sample(torch.randn(8, cvae.noise_size(32)), genre)
        roll = cvae.decode_free(z, genre, seq_len=32).roll  # does the pitch sound in the frame? bool (8, 128, 32)

    `encode(roll, events, event_window, genre)`: piano rolls float32 (B, 128, T) of 0 and 1 at 16 frames a second; all
    notes of the batch, float32 (N, 3), as onset from the window's start / window length, pitch / 127, velocity / 127,
    with the row of the batch each belongs to, int64 (N,), which preset large does not look at; genre ids int64 (B,).
    Gives mean and log-variance of z, float32 (B, `noise_size(T)`). `nll(z, genre, roll)` gives -log p(X | z, y) in
    nats, (B,); `decode_free` above runs on what it has played. Of preset paper, `decode(z, genre, roll)` gives logits
    (B, 128, T) with teacher forcing. Of preset large, `models.playing.Playing` has temperature and nucleus.
    """
    if not pretrained:
        return _new_model("cvae", preset, n_genres)
    return _standalone("cvae", preset, "train_cvae.py", checkpoint_dir)


def cvae_hybrid(
    seq_len: int = 128,
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """CVAE after stage 3, best at windows of `seq_len` frames.

        cvae = torch.hub.load(path, "cvae_hybrid", source="local", seq_len=128)
        posterior = cvae.encode(roll, events, event_window, genre)
        z = posterior.sample(torch.randn_like(posterior.mean))  # float32 (B, size of z)

    Inputs and outputs are those of `cvae_standalone`.
    """
    seq_len = _window_length(seq_len)
    if not pretrained:
        return _new_model("cvae", preset, n_genres)
    return _hybrid("cvae", preset, seq_len, checkpoint_dir)


def generator_standalone(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """Generator G(z, y) after stage 2, for windows of T = 32 frames (or the T it was trained at, `seq_len`).

        generator = torch.hub.load(path, "generator_standalone", source="local")
        genre = torch.zeros(8, dtype=torch.long)
        z = generator.prior.sample(torch.randn(8, generator.noise_size(128)), genre)
        roll = generator(z, genre)  # probabilities, float32 (8, 128, T)

    In: `z` float32 (B, `noise_size(T)`) of its prior, and genre ids int64 (B,). Out: probability that a pitch sounds in
    a frame, float32 (B, 128, T), at 16 frames a second; the evaluation plays what is above 0.5.
    """
    if not pretrained:
        return _new_model("generator", preset, n_genres, seq_len=_WINDOW_LENGTHS[0])
    return _standalone("generator", preset, "train_cgan.py", checkpoint_dir)


def generator_hybrid(
    seq_len: int = 128,
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """Generator G(z, y) after stage 3, for windows of `seq_len` frames.

        generator = torch.hub.load(path, "generator_hybrid", source="local", seq_len=128)
        genre = torch.zeros(8, dtype=torch.long)
        z = generator.prior.sample(torch.randn(8, generator.noise_size(128)), genre)
        roll = generator(z, genre)  # probabilities, float32 (8, 128, 128)

    Inputs and outputs are those of `generator_standalone`.
    """
    seq_len = _window_length(seq_len)
    if not pretrained:
        return _new_model("generator", preset, n_genres, seq_len=seq_len)
    return _hybrid("generator", preset, seq_len, checkpoint_dir)


def critic_standalone(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """Critic D(X, y) after stage 2, for windows of T = 32 frames (or the T it was trained at, `seq_len`).

        critic = torch.hub.load(path, "critic_standalone", source="local")
        roll = torch.zeros(8, 128, critic.seq_len)
        genre = torch.zeros(8, dtype=torch.long)
        score = critic(roll, genre)  # float32 (8,), higher for what looks real

    In: rolls float32 (B, 128, T) in [0, 1] and genre ids int64 (B,); and to the critic of preset large, which judges
    pairs, the latents `z` that the rolls were made of, or that the CVAE encodes them as: `critic(roll, genre, z)`.
    Out: float32 (B,). Only differences between the scores of one critic mean something.
    """
    if not pretrained:
        return _new_model("critic", preset, n_genres, seq_len=_WINDOW_LENGTHS[0])
    return _standalone("critic", preset, "train_cgan.py", checkpoint_dir)


def critic_hybrid(
    seq_len: int = 128,
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    n_genres: int = 4,
    preset: str = "large",
) -> torch.nn.Module:
    """Critic D(X, y) after stage 3, for windows of `seq_len` frames.

        critic = torch.hub.load(path, "critic_hybrid", source="local", seq_len=128)
        roll = torch.zeros(8, 128, 128)
        genre = torch.zeros(8, dtype=torch.long)
        score = critic(roll, genre)  # float32 (8,), higher for what looks real

    Inputs and outputs are those of `critic_standalone`.
    """
    seq_len = _window_length(seq_len)
    if not pretrained:
        return _new_model("critic", preset, n_genres, seq_len=seq_len)
    return _hybrid("critic", preset, seq_len, checkpoint_dir)


def measure_vae(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    latent: int = 32,
    hidden: int = 512,
    attributes: collections.abc.Sequence[str] = _ATTRIBUTES,
) -> torch.nn.Module:
    """MeasureVAE: a measure of 4/4 to z and back, in which dimension k of z follows attribute k of `attributes`.

        vae = torch.hub.load(path, "measure_vae", source="local")
        z = vae.encode(tokens).mean  # float32 (B, vae.latent)
        z[:, vae.attributes.index("note_density")] += 1
        logits, tokens = vae.decode_free(z)  # int64 (B, T)

    `tokens` int64 (B, T), one a tick: those of a beat lie at `form["ticks"]`, in beats. Token t below n = highest -
    lowest + 1 of `form` begins the MIDI pitch lowest + t; n begins a rest, n + 1 goes on with what was before, n + 2 is
    padding outside of a tune. `explainable.tokens` turns notes into tokens and back.
    """
    if pretrained:
        return _trained_measures("measure_vae", checkpoint_dir)
    return _models().study.loading.new_measures("measure_vae", attributes, latent=latent, hidden=hidden)


def adversarial_vae(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    latent: int = 128,
    hidden: int = 1024,
    attributes: collections.abc.Sequence[str] = _ATTRIBUTES,
) -> torch.nn.Module:
    """AdversarialVAE: a row of tokens to z and back; the decoder is told the attributes, of which z is to know nothing.

        vae = torch.hub.load(path, "adversarial_vae", source="local")
        z = vae.encode(tokens).mean  # float32 (B, vae.latent)
        told = (values - torch.tensor(vae.attribute_mean)) / torch.tensor(vae.attribute_deviation)
        logits, tokens = vae.decode_free(z, told, tokens.shape[1])  # int64 (B, T)

    `values` float32 (B, number of `attributes`), in their own units, are those the measures are to have; mean and
    deviation are those of training (of a new model 0 and 1). Tokens are those of `measure_vae`.
    """
    if pretrained:
        return _trained_measures("adversarial_vae", checkpoint_dir)
    measures = _models().study.loading
    sizes = {"n_attributes": len(attributes), "start": measures.HOLD, "latent": latent, "hidden": hidden}
    return measures.new_measures("adversarial_vae", attributes, **sizes)


def attribute_vae(
    pretrained: bool = True,
    checkpoint_dir: str | os.PathLike[str] | None = None,
    latent: int = 32,
    hidden: int = 512,
    attributes: collections.abc.Sequence[str] = _ATTRIBUTES,
) -> torch.nn.Module:
    """AttributeVAE: as MeasureVAE, but the first numbers of z are the attributes, and the others know nothing of them.

        vae = torch.hub.load(path, "attribute_vae", source="local")
        z = vae.encode(tokens, scores).mean  # float32 (B, vae.latent)
        z[:, vae.attributes.index("note_density")] += 1
        logits, tokens = vae.decode_free(z)  # int64 (B, T)

    `scores` float32 (B, number of `attributes`) are the attributes' normal scores: `attribute_scores[k]` has values of
    attribute k and their scores, between which lie straight lines (of a new model the values themselves). Tokens are
    those of `measure_vae`.
    """
    if pretrained:
        return _trained_measures("attribute_vae", checkpoint_dir)
    sizes = {"n_attributes": len(attributes), "latent": latent, "hidden": hidden}
    return _models().study.loading.new_measures("attribute_vae", attributes, **sizes)


def _window_length(seq_len: int) -> int:
    if seq_len not in _WINDOW_LENGTHS:
        raise ValueError(f"seq_len must be one of {', '.join(map(str, _WINDOW_LENGTHS))}, but is {seq_len!r}")
    return int(seq_len)


def _new_model(kind: str, preset: str, n_genres: int, **sizes: int) -> torch.nn.Module:
    """A model of the preset's size with random weights; its genres have numbers for names."""
    model = _models().build(kind, _known(preset), n_genres=n_genres, **sizes).eval()
    model.genres, model.condition = [f"genre {genre}" for genre in range(n_genres)], "genre"
    return model


def _known(preset: str) -> str:
    known = _models().weight_files.FOLDERS
    if preset not in known:
        raise ValueError(f"preset must be one of {', '.join(known)}, but is {preset!r}")
    return preset


def _standalone(kind: str, preset: str, script: str, checkpoint_dir: str | os.PathLike[str] | None) -> torch.nn.Module:
    path = _folder(preset, checkpoint_dir) / _models().weight_files.pretrained_file(kind)
    return _trained_model(kind, preset, path, script)


def _folder(preset: str, checkpoint_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    return pathlib.Path(checkpoint_dir or _models().weight_files.folder_of(_known(preset), _REPOSITORY))


def _hybrid(kind: str, preset: str, seq_len: int, checkpoint_dir: str | os.PathLike[str] | None) -> torch.nn.Module:
    name = {"generator": "G", "critic": "D"}.get(kind, kind)
    path = _models().trained.hybrid_path(_folder(preset, checkpoint_dir), name, seq_len)
    return _trained_model(kind, preset, path, "train_hybrid.py", seq_len)


def _trained_model(
    kind: str, preset: str, path: pathlib.Path, script: str, seq_len: int | None = None
) -> torch.nn.Module:
    """The model of `kind` in a file that `script` writes. `seq_len` is the T it must be for; None takes any."""
    _require(path, f"{script} --preset {preset}")
    trained = _models().trained.load_trained(path, kind, "put the right file there", seq_len=seq_len)
    trained.model.genres, trained.model.condition = trained.genres, trained.condition
    return trained.model


def _require(path: pathlib.Path, command: str) -> None:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such weights; {command} trains them. Put the file there, name its folder with "
            "checkpoint_dir, or take an untrained model with pretrained=False"
        )


def _trained_measures(network: str, checkpoint_dir: str | os.PathLike[str] | None) -> torch.nn.Module:
    """A model of the study: of the run in a folder, else of one's own, else what comes with the repository."""
    measures = _models().study.loading
    path = measures.weights_of(network, pathlib.Path(checkpoint_dir) if checkpoint_dir else None, _REPOSITORY)
    _require(path, f"python -m programs.study_train {network}")
    return measures.load_measures(path, network)


def _models() -> types.ModuleType:
    """This repository's models/, under a name that no other program uses.

    torch.hub puts the repository on sys.path, where `import models` would find a package of that name that the user
    has imported already, or leave ours behind in the place of theirs.
    """
    folder = _REPOSITORY / "models"
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
    for module in ("study.loading", "trained", "weight_files"):
        importlib.import_module(f"{name}.{module}")
    return sys.modules[name]
