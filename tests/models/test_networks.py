"""The networks against closed forms and plain references."""

import math

import pytest
import torch
from networks import N_GENRES, binary_rolls, make_cvae
from torch import Tensor, nn
from torch.nn import functional as F

from models import CVAE, Critic, Generator, Posterior, carry_over
from models.gru import FrameGRU, _Recurrence
from models.playing import FEEDBACK, PROBABILITIES, SAMPLED, THRESHOLDED, Playing
from models.rolls.cvae import EventEncoder


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


@pytest.mark.parametrize("bidirectional", [False, True])
def test_the_last_states_are_torchs(bidirectional: bool) -> None:
    """And the gradient through them alone."""
    gru = FrameGRU(3, 0, 4, bidirectional=bidirectional).double()
    frames = torch.randn(5, 7, 3, dtype=torch.float64)
    last, expected = gru.run(frames)[1], gru.gru(frames)[1]
    torch.testing.assert_close(last, expected)
    weighting = torch.randn_like(expected)
    found = torch.autograd.grad((last * weighting).sum(), list(gru.parameters()))
    wanted = torch.autograd.grad((expected * weighting).sum(), list(gru.parameters()))
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("half_products", [False, True])
def test_products_with_the_state_are_in_half_precision_where_that_is_allowed(half_products: bool) -> None:
    torch.manual_seed(0)
    gru = FrameGRU(3, 0, 16, half_products=half_products)
    gates, start = torch.randn(7, 1, 48, 5, requires_grad=True), torch.zeros(1, 16, 5)
    weight, bias = gru.recurrent_weights()
    exact = _Recurrence.apply(gates, start, weight, bias, torch.float32)[0]
    with torch.autocast("cpu", torch.bfloat16):
        products = gru.product_type(weight)
        states = _Recurrence.apply(gates, start, weight, bias, products)[0]
        found = torch.autograd.grad(states.square().sum(), gates, retain_graph=True)[0]
    assert products == (torch.bfloat16 if half_products else torch.float32) and states.dtype == torch.float32
    assert torch.equal(states, exact) != half_products
    torch.testing.assert_close(states, exact, atol=0.02, rtol=0)
    wanted = torch.autograd.grad(exact.square().sum(), gates)[0]
    torch.testing.assert_close(found, wanted, atol=0.05 if half_products else 0, rtol=0)


# CVAE


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


@pytest.mark.parametrize("feedback", FEEDBACK)
def test_decoding_freely_is_teacher_forcing_on_what_was_played(feedback: str) -> None:
    cvae, z, genre, _ = make_cvae()
    nn.init.normal_(cvae.frame.bias)  # some cells sound, some do not
    uniform = torch.rand(4, 128, 12)
    probability, roll = cvae.decode_free(z, genre, 12, uniform, Playing(0.6, feedback))
    assert probability.shape == roll.shape == (4, 128, 12) and roll.dtype == torch.bool
    assert torch.equal(roll, probability > (uniform if feedback == SAMPLED else 0.6))
    assert 0.1 < roll.float().mean() < 0.9
    heard = probability if feedback == PROBABILITIES else roll.float()
    torch.testing.assert_close(torch.sigmoid(cvae.decode(z, genre, heard)), probability)
    # Step by step: each frame is the last of a forced decoding of what was played so far.
    so_far = torch.zeros(4, 128, 0)
    for t in range(12):
        forced = torch.sigmoid(cvae.decode(z, genre, F.pad(so_far, (0, 1)))[:, :, -1:])
        torch.testing.assert_close(forced, probability[:, :, t : t + 1])
        so_far = heard[:, :, : t + 1]


def test_decoding_freely_thresholds_unless_told_otherwise() -> None:
    cvae, z, genre, _ = make_cvae()
    nn.init.normal_(cvae.frame.bias)
    by_default = cvae.decode_free(z, genre, seq_len=12)
    thresholded, probable = (Playing(feedback=feedback) for feedback in (THRESHOLDED, PROBABILITIES))
    assert torch.equal(by_default.roll, cvae.decode_free(z, genre, 12, playing=thresholded).roll)
    assert not torch.equal(by_default.roll, cvae.decode_free(z, genre, 12, playing=probable).roll)


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
    torch.testing.assert_close(cvae.decode_free(z, genre, seq_len=3).probability, expected)


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
