"""The networks, their losses and their weights on disk, against closed forms and plain references."""

import math
import pickle
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models import CVAE, Critic, Generator, Posterior, carry_over, rebuild
from models.checkpoint import CheckpointError, read_checkpoint, save_weights
from models.cvae import EventEncoder
from models.gru import FrameGRU
from models.losses import (
    bernoulli_nll,
    critic_loss,
    elbo_terms,
    kl_divergence,
    squared_error,
)

N_GENRES = 3


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def binary_rolls(batch: int, seq_len: int, share: float = 0.1) -> Tensor:
    return (torch.rand(batch, 128, seq_len) < share).float()


def n_values(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# FrameGRU


@pytest.mark.parametrize(
    ("bidirectional", "with_constant", "with_hidden"),
    [
        (False, False, False),
        (False, True, False),
        (False, False, True),
        (False, True, True),
        (True, False, False),
        (True, True, False),
    ],
)
def test_frame_gru_is_torchs_gru(bidirectional: bool, with_constant: bool, with_hidden: bool) -> None:
    batch, n_frames, frame_size, hidden_size = 5, 7, 6, 4
    constant_size = 3 if with_constant else 0
    gru = FrameGRU(frame_size, constant_size, hidden_size, bidirectional=bidirectional).double()
    frames = torch.randn(batch, n_frames, frame_size, dtype=torch.float64, requires_grad=True)
    constant = torch.randn(batch, 3, dtype=torch.float64, requires_grad=True) if with_constant else None
    hidden = torch.randn(batch, hidden_size, dtype=torch.float64, requires_grad=True) if with_hidden else None

    inputs = frames
    if with_constant:
        inputs = torch.cat([frames, constant[:, None].expand(-1, n_frames, -1)], dim=2)
    expected = gru.gru(inputs, None if hidden is None else hidden[None])[0]
    states = gru(frames, constant, hidden)
    assert states.shape == (batch, n_frames, hidden_size * (1 + bidirectional))
    torch.testing.assert_close(states, expected)

    leaves = [tensor for tensor in (frames, constant, hidden, *gru.parameters()) if tensor is not None]
    weighting = torch.randn_like(expected)
    found = torch.autograd.grad((states * weighting).sum(), leaves)
    wanted = torch.autograd.grad((expected * weighting).sum(), leaves)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrence_gradient_by_finite_differences(bidirectional: bool) -> None:
    gru = FrameGRU(2, 1, 3, bidirectional=bidirectional).double()
    frames, constant = torch.randn(2, 4, 2, dtype=torch.float64), torch.randn(2, 1, dtype=torch.float64)
    names = [name for name, _ in gru.named_parameters()]
    values = [value.detach().clone().requires_grad_() for value in gru.parameters()]

    def states(frames: Tensor, constant: Tensor, *values: Tensor) -> Tensor:
        return torch.func.functional_call(gru, dict(zip(names, values, strict=True)), (frames, constant))

    assert torch.autograd.gradcheck(states, (frames.requires_grad_(), constant.requires_grad_(), *values))


# CVAE


def make_cvae() -> tuple[CVAE, Tensor, Tensor, Tensor]:
    """A CVAE with latents, genres (both of 4 windows) and rolls of 12 frames."""
    cvae = CVAE(N_GENRES, latent=6, hidden=8)
    return cvae, torch.randn(4, 6), torch.tensor([0, 1, 2, 1]), binary_rolls(4, 12)


@pytest.mark.parametrize("changed", [0, 5, 11])
def test_a_frame_is_predicted_from_earlier_frames_alone(changed: int) -> None:
    cvae, z, genre, roll = make_cvae()
    other = roll.clone()
    other[:, :, changed] = 1 - other[:, :, changed]
    before, after = cvae.decode(z, genre, roll), cvae.decode(z, genre, other)
    assert torch.equal(before[:, :, : changed + 1], after[:, :, : changed + 1])
    for t in range(changed + 1, 12):
        assert not torch.equal(before[:, :, t], after[:, :, t])


def test_leaking_the_target_shows_a_frame_to_its_own_prediction() -> None:
    cvae, z, genre, roll = make_cvae()
    other = roll.clone()
    other[:, :, 5] = 1 - other[:, :, 5]
    before, after = (cvae.decode(z, genre, x, leak_target=True) for x in (roll, other))
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5], after[:, :, 5])


def test_decoding_freely_is_teacher_forcing_on_its_own_probabilities() -> None:
    cvae, z, genre, _ = make_cvae()
    free = cvae.decode_free(z, genre, seq_len=12)
    assert free.shape == (4, 128, 12)
    torch.testing.assert_close(torch.sigmoid(cvae.decode(z, genre, free)), free)
    # Step by step: each frame is the last of a forced decoding of what is there so far.
    so_far = torch.zeros(4, 128, 0)
    for _ in range(12):
        forced = cvae.decode(z, genre, F.pad(so_far, (0, 1)))
        so_far = torch.cat([so_far, torch.sigmoid(forced[:, :, -1:])], dim=2)
    torch.testing.assert_close(so_far, free)


def test_decoder_depends_on_latent_and_genre() -> None:
    cvae, z, genre, roll = make_cvae()
    logits = cvae.decode(z, genre, roll)
    assert not torch.allclose(cvae.decode(z + 1, genre, roll), logits)
    assert not torch.allclose(cvae.decode(z, (genre + 1) % N_GENRES, roll), logits)


def test_decoder_starts_at_the_pitch_rates() -> None:
    cvae, z, genre, _ = make_cvae()
    rate = torch.linspace(0, 0.5, 128)
    nn.init.zeros_(cvae.frame.weight)
    cvae.start_at(rate)
    expected = rate.clamp_min(1e-4)[None, :, None].expand(4, -1, 3)
    torch.testing.assert_close(cvae.decode_free(z, genre, seq_len=3), expected)


def test_event_encoding_is_the_mean_over_a_windows_notes() -> None:
    encoder = EventEncoder(5)
    events, window = torch.rand(6, 3), torch.tensor([0, 0, 0, 2, 2, 3])
    encoded = encoder(events, window, n_windows=5)
    assert encoded.shape == (5, 5)
    each = encoder.net(events)
    for index in (0, 2, 3):
        torch.testing.assert_close(encoded[index], each[window == index].mean(0))
    assert torch.equal(encoded[[1, 4]], torch.zeros(2, 5))


def test_event_encoding_does_not_depend_on_the_order_of_notes() -> None:
    encoder = EventEncoder(5)
    events, window = torch.rand(40, 3), torch.arange(40) // 10
    order = torch.randperm(40)
    torch.testing.assert_close(encoder(events[order], window[order], 4), encoder(events, window, 4))


def test_windows_without_any_note_can_be_encoded() -> None:
    cvae, _, genre, roll = make_cvae()
    posterior = cvae.encode(torch.zeros_like(roll), torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), genre)
    assert posterior.mean.shape == (4, 6) and posterior.mean.isfinite().all()


def test_windows_of_a_batch_are_encoded_apart() -> None:
    cvae, _, genre, roll = make_cvae()
    events, window = torch.rand(8, 3), torch.arange(8) // 2
    together = cvae.encode(roll, events, window, genre)
    alone = cvae.encode(roll[1:2], events[2:4], torch.zeros(2, dtype=torch.long), genre[1:2])
    torch.testing.assert_close(alone.mean[0], together.mean[1])
    torch.testing.assert_close(alone.log_variance[0], together.log_variance[1])


def test_encoding_follows_the_last_states_of_torchs_gru() -> None:
    cvae, _, genre, roll = make_cvae()
    events, window = torch.rand(8, 3), torch.arange(8) // 2
    last = cvae.encoder.gru(roll.transpose(1, 2))[1]  # (2, B, hidden)
    summary = torch.cat([last[0], last[1], cvae.event_encoder(events, window, 4), cvae.genre(genre)], dim=1)
    posterior = cvae.encode(roll, events, window, genre)
    torch.testing.assert_close(posterior.mean, cvae.mean(summary))
    torch.testing.assert_close(posterior.log_variance, cvae.log_variance(summary))


def test_log_variance_is_bounded() -> None:
    cvae, _, genre, roll = make_cvae()
    nn.init.constant_(cvae.log_variance.bias, 1000)
    posterior = cvae.encode(roll, torch.zeros(0, 3), torch.zeros(0, dtype=torch.long), genre)
    assert torch.equal(posterior.log_variance, torch.full((4, 6), 10.0))


def test_posterior_sample() -> None:
    posterior = Posterior(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, math.log(9)]]))
    torch.testing.assert_close(posterior.sample(torch.tensor([[0.5, -1.0]])), torch.tensor([[1.5, -5.0]]))
    assert torch.equal(posterior.sample(torch.zeros(1, 2)), posterior.mean)


# Losses


def test_kl_divergence_is_torchs_between_normals() -> None:
    posterior = Posterior(torch.randn(5, 3), torch.randn(5, 3))
    normal = torch.distributions.Normal(posterior.mean, (0.5 * posterior.log_variance).exp())
    expected = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl_divergence(posterior), expected)


@pytest.mark.parametrize(
    ("mean", "variance", "nats"),
    [(0.0, 1.0, 0.0), (2.0, 1.0, 2.0), (0.0, math.e, 0.5 * (math.e - 2)), (1.0, 0.25, 0.5 * (0.25 + math.log(4)))],
)
def test_kl_divergence_closed_forms(mean: float, variance: float, nats: float) -> None:
    posterior = Posterior(torch.tensor([[mean]]), torch.tensor([[math.log(variance)]]))
    assert kl_divergence(posterior).item() == pytest.approx(nats, abs=1e-6)


def test_bernoulli_nll_is_torchs_cross_entropy() -> None:
    logits, roll = 5 * torch.randn(3, 128, 8), binary_rolls(3, 8)
    each = F.binary_cross_entropy_with_logits(logits, roll, reduction="none")
    torch.testing.assert_close(bernoulli_nll(logits, roll), each.sum((1, 2)))
    # Nothing learned: a bit a cell.
    nats = bernoulli_nll(torch.zeros_like(logits), roll)[0].item()
    assert nats == pytest.approx(128 * 8 * math.log(2))


def test_bernoulli_nll_of_sure_predictions() -> None:
    roll = binary_rolls(2, 4)
    sure = 200 * (2 * roll - 1)
    assert torch.equal(bernoulli_nll(sure, roll), torch.zeros(2))
    torch.testing.assert_close(bernoulli_nll(-sure, roll), torch.full((2,), 200.0 * 128 * 4))


def test_squared_error_is_of_the_probabilities() -> None:
    logits, roll = torch.randn(3, 128, 8), binary_rolls(3, 8)
    expected = ((torch.sigmoid(logits) - roll) ** 2).flatten(1).sum(1)
    torch.testing.assert_close(squared_error(logits, roll), expected)
    torch.testing.assert_close(squared_error(torch.zeros_like(logits), roll), torch.full((3,), 0.25 * 128 * 8))


def test_elbo_terms_are_those_of_the_encoded_latent() -> None:
    cvae, _, genre, roll = make_cvae()
    batch = roll, torch.rand(8, 3), torch.arange(8) // 2, genre
    noise = torch.randn(4, 6)
    terms = elbo_terms(cvae, batch, noise, squared_error)
    posterior = cvae.encode(*batch)
    torch.testing.assert_close(terms.z, posterior.mean + (0.5 * posterior.log_variance).exp() * noise)
    torch.testing.assert_close(terms.kl, kl_divergence(posterior))
    torch.testing.assert_close(terms.reconstruction, squared_error(cvae.decode(terms.z, genre, roll), roll))


# The critic and its loss


def plain_score(critic: Critic, roll: Tensor, genre: Tensor) -> Tensor:
    """The critic as the report draws it: the genre embedding stacked on every frame, layer after layer."""
    embedded = critic.genre(genre)[:, :, None].expand(-1, -1, roll.shape[2])
    hidden = F.leaky_relu(critic.conv1(torch.cat([roll, embedded], dim=1)), 0.2)
    hidden = F.leaky_relu(critic.conv2(hidden), 0.2).flatten(1)
    return critic.linear2(F.leaky_relu(critic.linear1(hidden), 0.2))[:, 0]


def plain_critic_loss(
    critic: Critic, real: Tensor, fake: Tensor, genre: Tensor, mix: Tensor, penalty: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Algorithm 1 of Gulrajani et al. (2017), with autograd's double backward."""
    between = (mix[:, None, None] * real + (1 - mix[:, None, None]) * fake).requires_grad_()
    (gradient,) = torch.autograd.grad(plain_score(critic, between, genre).sum(), between, create_graph=True)
    norm = gradient.flatten(1).norm(dim=1)
    distance = plain_score(critic, real, genre).mean() - plain_score(critic, fake, genre).mean()
    return penalty * ((norm - 1) ** 2).mean() - distance, distance, norm.mean()


def test_critic_score_is_the_plain_networks() -> None:
    critic = Critic(N_GENRES, 32)
    roll, genre = torch.rand(4, 128, 32), torch.tensor([0, 1, 2, 1])
    torch.testing.assert_close(critic(roll, genre), plain_score(critic, roll, genre))


@pytest.mark.parametrize("seq_len", [4, 32, 64])
def test_critic_loss_is_wgan_gp_by_double_backward(seq_len: int) -> None:
    critic = Critic(N_GENRES, seq_len, hidden=12).double()
    with torch.no_grad():  # large weights: norms away from 0, so that the penalty has something to say
        for parameter in critic.parameters():
            parameter.mul_(3)
    real, fake = binary_rolls(6, seq_len).double(), torch.rand(6, 128, seq_len, dtype=torch.float64)
    genre, mix = torch.tensor([0, 1, 2, 1, 0, 0]), torch.rand(6, dtype=torch.float64)

    found = critic_loss(critic, real, fake, genre, mix, 10.0)
    wanted = plain_critic_loss(critic, real, fake, genre, mix, 10.0)
    for ours, theirs in zip(found, wanted, strict=True):
        # Scores and norms leave the model as float32, for bfloat16's sake.
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=1e-5, atol=1e-6, check_dtype=False)

    names = [name for name, _ in critic.named_parameters()]
    ours = torch.autograd.grad(found[0], list(critic.parameters()))
    theirs = torch.autograd.grad(wanted[0], list(critic.parameters()))
    for name, gradient, reference in zip(names, ours, theirs, strict=True):
        scale = max(float(reference.abs().max()), 1e-3)
        torch.testing.assert_close(gradient / scale, reference / scale, rtol=0, atol=1e-5, msg=f"gradient of {name}")
        if name != "linear2.bias":  # it shifts all scores alike
            assert reference.abs().max() > 1e-3, f"the reference gradient of {name} is 0: nothing was compared"


def test_critic_loss_takes_fakes_as_constants() -> None:
    critic, fake = Critic(N_GENRES, 32, hidden=4), torch.rand(2, 128, 32, requires_grad=True)
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), fake, torch.tensor([0, 1]), torch.rand(2), 10.0)
    loss.backward()
    assert fake.grad is None
    assert not distance.requires_grad and not norm.requires_grad


def test_a_constant_critic_has_finite_gradients() -> None:
    critic = Critic(N_GENRES, 32, hidden=4)
    for parameter in critic.parameters():
        nn.init.zeros_(parameter)
    genre = torch.tensor([0, 1])
    loss, distance, norm = critic_loss(critic, binary_rolls(2, 32), torch.rand(2, 128, 32), genre, torch.rand(2), 10.0)
    assert loss.item() == pytest.approx(10.0) and distance.item() == 0 and norm.item() < 1e-6
    loss.backward()
    assert all(parameter.grad.isfinite().all() for parameter in critic.parameters())


def test_critic_wants_windows_that_two_strides_divide() -> None:
    with pytest.raises(ValueError, match="seq_len must be a multiple of 4, but is 34"):
        Critic(N_GENRES, 34)


# Sizes


def test_values_of_the_papers_models() -> None:
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
    assert roll.shape == (5, 128, 64) and roll.min() > 0 and roll.max() < 1
    torch.testing.assert_close(torch.logit(roll), generator.logits(z, genre), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(generator(z, (genre + 1) % N_GENRES), roll)


def test_generator_starts_at_the_pitch_rates() -> None:
    generator, rate = Generator(N_GENRES, 32), torch.linspace(0, 0.5, 128)
    nn.init.zeros_(generator.roll.weight)
    generator.start_at(rate)
    expected = rate.clamp_min(1e-4)[None, :, None].expand(2, -1, 32)
    torch.testing.assert_close(generator(torch.randn(2, 32), torch.tensor([0, 1])), expected)


# Carrying over to a longer T


def test_carry_over_names_every_tensor() -> None:
    for model in (Generator, Critic):
        source, target = model(N_GENRES, 32, hidden=8), model(N_GENRES, 64, hidden=8)
        grown = {"roll.weight", "roll.bias"} if model is Generator else {"linear1.weight"}
        told = carry_over(source, target)
        assert told == {name: "grown" if name in grown else "kept" for name in target.state_dict()}
        for name, how in told.items():
            if how == "kept":
                assert torch.equal(target.state_dict()[name], source.state_dict()[name])


def test_carry_over_at_the_same_length_keeps_everything() -> None:
    for model in (Generator, Critic):
        source, target = model(N_GENRES, 32, hidden=8), model(N_GENRES, 32, hidden=8)
        assert set(carry_over(source, target).values()) == {"kept"}
        assert all(torch.equal(target.state_dict()[name], value) for name, value in source.state_dict().items())
    source, target = CVAE(N_GENRES), CVAE(N_GENRES)
    assert set(carry_over(source, target).values()) == {"kept"}


@pytest.mark.parametrize("longer", [64, 128])
def test_a_grown_generator_plays_its_window_again(longer: int) -> None:
    short, long = Generator(N_GENRES, 32), Generator(N_GENRES, longer)
    carry_over(short, long)
    z, genre = torch.randn(4, 32), torch.tensor([0, 1, 2, 0])
    torch.testing.assert_close(long(z, genre), short(z, genre).repeat(1, 1, longer // 32))


@pytest.mark.parametrize("longer", [64, 128])
def test_a_grown_critic_scores_a_tiled_roll_as_before(longer: int) -> None:
    short, long = Critic(N_GENRES, 32).double(), Critic(N_GENRES, longer).double()
    with torch.no_grad():  # a genre and a bias at conv1 would tell a part's edge, next to silence, from padding
        short.genre.weight.zero_()
        short.conv1.bias.zero_()
    carry_over(short, long)
    roll = binary_rolls(6, 32).double()
    roll[:, :, :6] = roll[:, :, -6:] = 0  # what the first and last frames of the second convolution reach beyond
    genre = torch.zeros(6, dtype=torch.long)
    tiled = roll.repeat(1, 1, longer // 32)
    torch.testing.assert_close(long(tiled, genre), short(roll, genre))


def test_a_grown_critic_ranks_tiled_rolls_as_before() -> None:
    # Without silent edges 3 of the 8 frames of the second convolution see the neighbouring part instead of padding:
    # scores move, but by less than rolls differ.
    short, long = Critic(N_GENRES, 32).double(), Critic(N_GENRES, 64).double()
    carry_over(short, long)
    share = torch.linspace(0, 0.3, 40)[:, None, None]
    roll, genre = (torch.rand(40, 128, 32) < share).double(), torch.arange(40) % N_GENRES
    before, after = short(roll, genre), long(roll.repeat(1, 1, 2), genre)
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9
    assert (after - before).abs().max() < 0.5 * (before.max() - before.min())


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (Generator(3, 32, hidden=8), Generator(3, 64, hidden=16), "cannot carry a generator over: hidden 8 and 16"),
        (Generator(3, 32, hidden=8), Generator(4, 32, hidden=8), "n_genres 3 and 4"),
        (Critic(3, 64, hidden=8), Critic(3, 32, hidden=8), "cannot carry a critic over from T=64 to T=32"),
        (Critic(3, 64, hidden=8), Critic(3, 96, hidden=8), "not a multiple"),
        (CVAE(3, latent=4), CVAE(3, latent=8), "cannot carry a cvae over: latent 4 and 8"),
    ],
)
def test_carry_over_refuses_other_models(source: nn.Module, target: nn.Module, message: str) -> None:
    before = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    with pytest.raises(ValueError, match=message):
        carry_over(source, target)
    assert all(torch.equal(tensor, before[name]) for name, tensor in target.state_dict().items())


# Weights on disk


@pytest.mark.parametrize("model", [CVAE(3, hidden=8), Generator(3, 64, hidden=8), Critic(3, 64, hidden=8)])
def test_weights_come_back_from_disk(model: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "new folder" / "weights.pth"
    save_weights(model.train(), file, genres=["a", "b", "c"], frames_per_second=16)
    assert [path.name for path in file.parent.iterdir()] == ["weights.pth"]
    checkpoint = read_checkpoint(file)
    assert checkpoint["kind"] == model.kind and checkpoint["config"] == model.config
    assert checkpoint["genres"] == ["a", "b", "c"] and checkpoint["frames_per_second"] == 16
    again = rebuild(checkpoint)
    assert type(again) is type(model) and not again.training
    assert again.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(again.state_dict()[name], value) for name, value in model.state_dict().items())


def test_rebuild_is_strict(tmp_path: Path) -> None:
    save_weights(Critic(3, 32, hidden=8), tmp_path / "weights.pth")
    checkpoint = read_checkpoint(tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="kind 'transformer'; known kinds: cvae, generator, critic"):
        rebuild({**checkpoint, "kind": "transformer"})
    with pytest.raises(RuntimeError, match=r"linear1\.weight"):
        rebuild({**checkpoint, "config": {**checkpoint["config"], "seq_len": 64}})
    del checkpoint["weights"]["linear2.bias"]
    with pytest.raises(RuntimeError, match=r"linear2\.bias"):
        rebuild(checkpoint)


def test_a_failed_write_leaves_the_old_weights(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    save_weights(Critic(3, 32, hidden=8), file, note="old")
    with pytest.raises(AttributeError):
        save_weights(Critic(3, 32, hidden=8), file, note=lambda: "nothing that can be saved")
    assert read_checkpoint(file)["note"] == "old"


def test_missing_checkpoint_names_file_and_remedy(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / "gone.pth", "run train_cvae.py first")
    assert str(caught.value) == f"{tmp_path / 'gone.pth'}: no such checkpoint; run train_cvae.py first"
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        read_checkpoint(tmp_path)


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "weights.pth"
    for content in (b"", b"not a checkpoint at all", b"PK\x03\x04 and no zip file after all"):
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            read_checkpoint(file)
    save_weights(Critic(3, 32, hidden=8), file)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        read_checkpoint(file)


@pytest.mark.parametrize("content", [{"weights": {}}, {"format_version": 999}, [1, 2], torch.zeros(3)])
def test_other_files_are_no_checkpoints(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(CheckpointError, match="not a checkpoint of format 1"):
        read_checkpoint(tmp_path / "weights.pth")


class Malicious:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.mkdir, (self.folder,)


def test_code_in_a_pickle_is_not_run(tmp_path: Path) -> None:
    file, folder = tmp_path / "weights.pth", tmp_path / "made by the pickle"
    content = {"format_version": 1, "kind": "critic", "weights": Malicious(folder)}
    for save in (torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, protocol=2))):
        save(content, file)
        with pytest.raises(CheckpointError, match="not a readable checkpoint"):
            read_checkpoint(file)
        assert not folder.exists()
    pickle.loads(file.read_bytes())  # it would have worked
    assert folder.exists()
