"""The paper's networks against closed forms and plain references, and what all networks have in common."""

import copy
import inspect
from pathlib import Path

import pytest
import torch
from networks import N_GENRES, binary_rolls, make_cvae
from torch import nn
from weights import save_weights

import benchmarks.density.frame_model
import benchmarks.density.note_model  # noqa: F401 (registers its network)
from models import CVAE, LARGE, PAPER, Critic, Generator, Model, build, carry_over, rebuild
from models.base import NETWORKS
from models.checkpoint import read_checkpoint
from models.playing import FEEDBACK, PROBABILITIES, SAMPLED, THRESHOLDED, Playing
from models.rolls.cvae import EventEncoder

# All networks

# Small sizes; every argument differs from its default.
SIZES = {
    ("cvae", "frame-gru"): {
        "latent": 6, "hidden": 8, "event_size": 5, "genre_size": 3, "prior": "autoregressive",
    },
    ("cvae", "notes"): {
        "latent": 4, "hidden": 64, "depth": 1, "genre_size": 3, "horizon": 9, "prior": "standard-normal",
    },
    ("generator", "mlp"): {"seq_len": 64, "latent": 6, "hidden": 8, "genre_size": 3, "prior": "autoregressive"},
    ("generator", "convolutions"): {
        "seq_len": 64, "latent": 4, "hidden": 16, "genre_size": 3, "prior": "standard-normal",
    },
    ("critic", "convolutions"): {"seq_len": 64, "hidden": 8, "genre_size": 3},
    ("critic", "projection"): {"seq_len": 64, "hidden": 8, "latent": 4},
    ("explainable", "measure_vae"): {
        "latent": 5, "hidden": 6, "embedding": 3, "beats": 3, "ticks": 2, "dropout": 0.25, "relu_logits": False,
        "inferred": 3,
    },
    ("explainable", "adversarial_vae"): {"n_attributes": 3, "start": 4, "latent": 5, "hidden": 6},
    ("explainable", "attribute_vae"): {
        "n_attributes": 3, "latent": 5, "hidden": 6, "embedding": 3, "beats": 3, "ticks": 2, "dropout": 0.25,
    },
    ("explainable_adversary", "attribute_classifier"): {"latent": 5, "n_attributes": 3, "n_classes": 4},
    ("explainable_adversary", "attribute_regressor"): {"latent": 5, "n_attributes": 3, "hidden": 6},
    ("explainable_reader", "attribute_reader"): {"n_attributes": 3, "hidden": 6},
    ("density", "notes"): {"pitches": 7, "horizon": 9, "hidden": 32, "depth": 1, "latent": 2},
    ("density", "frame-gru"): {"pitches": 7, "hidden": 8, "latent": 2},
}  # fmt: skip


def network_of(name: tuple[str, str], **changes: object) -> Model:
    required = {"n_genres": 3, "n_tokens": 9, "seq_len": 32, "n_attributes": 2, "start": 8, "latent": 4}
    parameters = inspect.signature(NETWORKS[name]).parameters.values()
    needed = {p.name: required[p.name] for p in parameters if p.default is p.empty}
    torch.manual_seed(0)
    return NETWORKS[name](**{**needed, **changes})


def test_every_network_has_sizes_here() -> None:
    rooms = ("models.", "benchmarks.")
    assert SIZES.keys() == {name for name, network in NETWORKS.items() if network.__module__.startswith(rooms)}


@pytest.mark.parametrize("name", SIZES, ids=" ".join)
def test_config_holds_all_arguments_and_a_file_rebuilds_the_model(name: tuple[str, str], tmp_path: Path) -> None:
    model = network_of(name, **SIZES[name]).train()
    assert list(model.config) == list(inspect.signature(NETWORKS[name]).parameters)
    assert model.config.items() >= SIZES[name].items()
    rebuilt = rebuild(read_checkpoint(save_weights(model, tmp_path / "weights.pth")))
    assert not rebuilt.training
    for again in (rebuilt, copy.deepcopy(model)):
        assert type(again) is type(model) and again.config == model.config
        assert again.state_dict().keys() == model.state_dict().keys()
        assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in model.state_dict().items())


@pytest.mark.parametrize(("name", "argument"), [(name, each) for name, sizes in SIZES.items() for each in sizes])
def test_every_argument_of_a_constructor_has_an_effect(name: tuple[str, str], argument: str) -> None:
    plain, changed = network_of(name, **SIZES[name]), dict(SIZES[name])
    del changed[argument]
    other = network_of(name, **changed)
    shapes = [{key: tensor.shape for key, tensor in model.state_dict().items()} for model in (plain, other)]
    # Arguments without weights become an attribute, whose effect other tests check.
    assert shapes[0] != shapes[1] or getattr(plain, argument) != getattr(other, argument)


# CVAE


@pytest.mark.parametrize("leak_target", [False, True])
@pytest.mark.parametrize("changed", [0, 5, 11])
def test_a_frame_is_predicted_from_earlier_frames_or_leaked_to_its_own_prediction(
    changed: int, leak_target: bool
) -> None:
    cvae, z, genre, roll = make_cvae()
    other = roll.clone()
    other[:, :, changed] = 1 - other[:, :, changed]
    before, after = (cvae.decode(z, genre, x, leak_target=leak_target) for x in (roll, other))
    first = changed if leak_target else changed + 1
    assert torch.equal(before[:, :, :first], after[:, :, :first])
    assert (before != after).any(1).any(0)[first:].all()


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_free_running_decoding_is_teacher_forcing_on_its_own_output(feedback: str) -> None:
    cvae, z, genre, _ = make_cvae()
    nn.init.normal_(cvae.frame.bias)  # some cells sound, some do not
    uniform = torch.rand(4, 128, 12)
    probability, roll = cvae.decode_free(z, genre, 12, uniform, Playing(0.6, feedback))
    assert probability.shape == roll.shape == (4, 128, 12) and roll.dtype == torch.bool
    assert torch.equal(roll, probability > (uniform if feedback == SAMPLED else 0.6))
    assert 0.1 < roll.float().mean() < 0.9
    fed_back = probability if feedback == PROBABILITIES else roll.float()
    torch.testing.assert_close(torch.sigmoid(cvae.decode(z, genre, fed_back)), probability)


def test_free_running_decoding_feeds_back_thresholded_cells_by_default() -> None:
    cvae, z, genre, _ = make_cvae()
    nn.init.normal_(cvae.frame.bias)
    by_default = cvae.decode_free(z, genre, seq_len=12)
    thresholded, probable = (Playing(feedback=feedback) for feedback in (THRESHOLDED, PROBABILITIES))
    assert torch.equal(by_default.roll, cvae.decode_free(z, genre, 12, playing=thresholded).roll)
    assert not torch.equal(by_default.roll, cvae.decode_free(z, genre, 12, playing=probable).roll)


@pytest.mark.parametrize("architecture", [PAPER, LARGE])
def test_free_running_decoding_works_under_autocast(architecture: str) -> None:
    cvae, genre = build("cvae", architecture, n_genres=3, hidden=16), torch.tensor([0, 2])
    z = torch.randn(2, cvae.noise_size(32))
    with torch.autocast("cpu", torch.bfloat16):
        decoded = cvae.decode_free(z, genre, 32)
    assert decoded.probability.dtype == torch.float32 and decoded.roll.shape == (2, 128, 32)
    if architecture == PAPER:
        assert torch.equal(decoded.probability, cvae.decode_free(z, genre, 32).probability)


def test_decoder_depends_on_latent_and_genre() -> None:
    cvae, z, genre, roll = make_cvae()
    logits = cvae.decode(z, genre, roll)
    assert not torch.allclose(cvae.decode(z + 1, genre, roll), logits)
    assert not torch.allclose(cvae.decode(z, (genre + 1) % N_GENRES, roll), logits)


def test_decoder_and_generator_start_at_the_pitch_rates() -> None:
    cvae, z, genre, _ = make_cvae()
    generator, rate = Generator(N_GENRES, 3, latent=6), torch.linspace(0, 0.5, 128)
    expected = rate.clamp_min(1e-4)[None, :, None].expand(4, -1, 3)
    for model, output in ((cvae, cvae.frame), (generator, generator.roll)):
        nn.init.zeros_(output.weight)
        model.start_at(rate)
        torch.testing.assert_close(model.decode_free(z, genre, seq_len=3).probability, expected)


def test_event_encoding_is_the_mean_over_a_windows_notes() -> None:
    encoder = EventEncoder(5)
    events, window = torch.rand(6, 3), torch.tensor([0, 3, 0, 2, 2, 0])
    encoded = encoder(events, window, n_windows=5)
    assert encoded.shape == (5, 5)
    each = encoder.net(events)
    for index in (0, 2, 3):
        torch.testing.assert_close(encoded[index], each[window == index].mean(0))
    assert torch.equal(encoded[[1, 4]], torch.zeros(2, 5))


def test_encoding_uses_the_last_states_of_torchs_gru_and_each_windows_own_notes() -> None:
    cvae, _, genre, roll = make_cvae()
    events, window = torch.rand(6, 3), torch.arange(6) // 2  # no notes in the last window
    last = cvae.encoder.gru(roll.transpose(1, 2))[1]  # (2, B, hidden)
    summary = torch.cat([last[0], last[1], cvae.event_encoder(events, window, 4), cvae.genre(genre)], dim=1)
    posterior = cvae.encode(roll, events, window, genre)
    torch.testing.assert_close(posterior.mean, cvae.mean(summary))
    torch.testing.assert_close(posterior.log_variance, cvae.log_variance(summary))
    alone = cvae.encode(roll[1:2], events[2:4], torch.zeros(2, dtype=torch.long), genre[1:2])
    torch.testing.assert_close(alone.mean[0], posterior.mean[1])


def test_log_variance_is_bounded() -> None:
    cvae, _, genre, roll = make_cvae()
    nn.init.constant_(cvae.log_variance.bias, 1000)
    posterior = cvae.encode(roll, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), genre)
    assert torch.equal(posterior.log_variance, torch.full((4, 6), 10.0))


# Sizes and outputs


def test_values_of_the_papers_models() -> None:
    def n_values(model: nn.Module) -> int:
        return sum(parameter.numel() for parameter in model.parameters())

    gru = 3 * 16 * (128 + 16 + 2)
    encoder = (3 * 16 + 16) + (16 * 16 + 16) + 2 * gru + 2 * (52 * 32 + 32)
    decoder = (36 * 16 + 16) + (gru + 3 * 16 * 4) + (16 * 128 + 128)
    assert n_values(CVAE(4)) == 4 * 4 + encoder + decoder
    trunk = 4 * 4 + (36 * 32 + 32) + (32 * 64 + 64)
    assert n_values(Generator(4, 32)) == trunk + 65 * 128 * 32
    convolutions = 4 * 4 + (132 * 32 * 5 + 32) + (32 * 16 * 5 + 16)
    assert n_values(Critic(4, 32)) == convolutions + (16 * 8 * 32 + 32) + 33
    # The published code's width: "4.74 M generator values".
    assert n_values(Generator(4, 32, hidden=512)) == 4_742_672


def test_generator_gives_probabilities_of_a_whole_window() -> None:
    generator = Generator(N_GENRES, 64)
    z, genre = torch.randn(5, 32), torch.tensor([0, 1, 2, 0, 1])
    roll = generator(z, genre)
    assert roll.shape == (5, 128, 64)
    # Row t * 128 + p of the last layer is pitch p of frame t.
    rows = generator.roll(generator.trunk(torch.cat([z, generator.genre(genre)], dim=1)))
    torch.testing.assert_close(roll[:, 60, 3], torch.sigmoid(rows[:, 3 * 128 + 60]))
    decoded = generator.decode_free(z, genre, 64, playing=Playing(threshold=0.51))
    assert torch.equal(decoded.probability, roll) and torch.equal(decoded.roll, roll > 0.51)


# Carrying over to a longer T


@pytest.mark.parametrize("longer", [32, 64, 128])
@pytest.mark.parametrize("network", [Generator, Critic, CVAE])
def test_carry_over_copies_all_but_the_grown_tensors(network: type[Model], longer: int) -> None:
    sizes = [{} if network is CVAE else {"seq_len": seq_len} for seq_len in (32, longer)]
    source, target = (network(N_GENRES, hidden=8, **each) for each in sizes)
    grown = {Generator: {"roll.weight", "roll.bias"}, Critic: {"linear1.weight"}, CVAE: set()}[network]
    fates = carry_over(source, target)
    assert fates == {key: "grown" if longer > 32 and key in grown else "kept" for key in target.state_dict()}
    kept = [key for key, fate in fates.items() if fate == "kept"]
    assert all(torch.equal(target.state_dict()[key], source.state_dict()[key]) for key in kept)


@pytest.mark.parametrize("longer", [64, 128])
def test_a_grown_generator_repeats_its_window(longer: int) -> None:
    short, long = Generator(N_GENRES, 32), Generator(N_GENRES, longer)
    carry_over(short, long)
    z, genre = torch.randn(4, 32), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(long(z, genre), short(z, genre).repeat(1, 1, longer // 32))


@pytest.mark.parametrize("longer", [64, 128])
def test_a_grown_critic_scores_a_repeated_roll_as_before(longer: int) -> None:
    short, long = Critic(N_GENRES, 32).double(), Critic(N_GENRES, longer).double()
    with torch.no_grad():  # a genre and a bias at conv1 would distinguish silence from padding
        short.genre.weight.zero_()
        short.conv1.bias.zero_()
    carry_over(short, long)
    roll = binary_rolls(6, 32).double()
    roll[:, :, :6] = roll[:, :, -6:] = 0  # the frames from which the second convolution reaches a neighbouring part
    genre = torch.zeros(6, dtype=torch.long)
    torch.testing.assert_close(long(roll.repeat(1, 1, longer // 32), genre), short(roll, genre))


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (Generator(3, 32, hidden=8), Generator(3, 64, hidden=16), "cannot carry a generator over: hidden 8 and 16"),
        (Generator(3, 32, hidden=8), Generator(4, 32, hidden=8), "n_genres 3 and 4"),
        (Generator(3, 32), Critic(3, 32), "cannot carry a generator over from mlp to convolutions"),
        (Critic(3, 64, hidden=8), Critic(3, 32, hidden=8), "cannot carry a critic over from T=64 to T=32"),
        (Critic(3, 64, hidden=8), Critic(3, 96, hidden=8), "not a multiple"),
    ],
)
def test_carry_over_refuses_other_models(source: Model, target: Model, message: str) -> None:
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        carry_over(source, target)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())
