"""FrameGRU and TokenGRU against torch.nn.GRU."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from models.gru import FrameGRU, _Recurrence
from models.prior import Autoregressive
from models.rolls.keys import sounding
from models.rolls.roll_gru import RollGRU
from models.study.token_gru import TokenGRU


@pytest.mark.parametrize("with_hidden", [False, True])
@pytest.mark.parametrize("with_constant", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_frame_gru_has_the_states_and_gradients_of_torchs_gru(
    bidirectional: bool, with_constant: bool, with_hidden: bool
) -> None:
    if bidirectional and with_hidden:
        return  # an initial state is for one direction only
    size = 3 if with_constant else 0
    gru = FrameGRU(6, size, 4, bidirectional=bidirectional).double()
    frames = torch.randn(5, 7, 6, dtype=torch.float64, requires_grad=True)
    constant = torch.randn(5, 3, dtype=torch.float64, requires_grad=True) if with_constant else None
    hidden = torch.randn(5, 4, dtype=torch.float64, requires_grad=True) if with_hidden else None

    inputs = frames
    if with_constant:
        inputs = torch.cat([frames, constant[:, None].expand(-1, 7, -1)], dim=2)
    expected = gru.gru(inputs, None if hidden is None else hidden[None])
    found = gru.run(frames, constant, hidden)
    assert torch.equal(gru(frames, constant, hidden), found[0])
    if constant is None and hidden is None:
        assert torch.equal(gru.last_states(frames), found[1])
    leaves = [tensor for tensor in (frames, constant, hidden, *gru.parameters()) if tensor is not None]
    for ours, theirs in zip(found, expected, strict=True):  # all states, the last states
        torch.testing.assert_close(ours, theirs)
        weighting = torch.randn_like(theirs)
        gradients = (torch.autograd.grad((x * weighting).sum(), leaves, retain_graph=True) for x in (ours, theirs))
        for our_gradient, their_gradient in zip(*gradients, strict=True):
            torch.testing.assert_close(our_gradient, their_gradient)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("with_constant", [False, True])
def test_roll_gru_is_torchs_gru_without_the_silent_keys(with_constant: bool, bidirectional: bool) -> None:
    frames = torch.zeros(5, 7, 6, dtype=torch.float64)
    assert sounding(frames) == slice(0, 1)
    frames[2, 3, 1], frames[4, 0, 3] = 1.0, 0.5
    assert sounding(frames) == slice(1, 4)
    gru = RollGRU(6, 3 if with_constant else 0, 4, bidirectional=bidirectional).double()
    constant = torch.randn(5, 3, dtype=torch.float64, requires_grad=True) if with_constant else None
    inputs = frames if constant is None else torch.cat([frames, constant[:, None].expand(-1, 7, -1)], dim=2)
    leaves = [tensor for tensor in (constant, *gru.parameters()) if tensor is not None]
    for found, expected in zip(gru.run(frames, constant), gru.gru(inputs), strict=True):
        torch.testing.assert_close(found, expected)
        weighting = torch.randn_like(expected)
        gradients = (torch.autograd.grad((x * weighting).sum(), leaves, retain_graph=True) for x in (found, expected))
        for ours, theirs in zip(*gradients, strict=True):
            torch.testing.assert_close(ours, theirs)


def test_gradients_of_the_last_states_are_those_of_torchs_gru() -> None:
    gru = FrameGRU(6, 0, 4, bidirectional=True).double()
    frames, weighting = torch.randn(5, 7, 6, dtype=torch.float64), torch.randn(2, 5, 4, dtype=torch.float64)
    ours, theirs = (
        torch.autograd.grad((last * weighting).sum(), list(gru.parameters()))
        for last in (gru.last_states(frames), gru.gru(frames)[1])
    )
    for our_gradient, their_gradient in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our_gradient, their_gradient)


@pytest.mark.parametrize("half_products", [False, True])
def test_under_autocast_products_with_the_state_are_in_half_precision_only_if_allowed(half_products: bool) -> None:
    gru = FrameGRU(3, 0, 16, half_products=half_products)
    gates, start = torch.randn(7, 1, 48, 5, requires_grad=True), torch.zeros(1, 16, 5)
    weight, bias = gru.recurrent_weights()
    exact = _Recurrence.apply(gates.clone(), start, weight, bias, torch.float32)[0]
    with torch.autocast("cpu", torch.bfloat16):
        products = gru.product_type(weight)
        states = _Recurrence.apply(gates.clone(), start, weight, bias, products)[0]
        found = torch.autograd.grad(states.square().sum(), gates, retain_graph=True)[0]
    assert products == (torch.bfloat16 if half_products else torch.float32) and states.dtype == torch.float32
    assert torch.equal(states, exact) != half_products
    torch.testing.assert_close(states, exact, atol=0.02, rtol=0)
    wanted = torch.autograd.grad(exact.square().sum(), gates)[0]
    torch.testing.assert_close(found, wanted, atol=0.05 if half_products else 0, rtol=0)


@pytest.mark.parametrize("half_products", [False, True])
def test_the_library_computes_in_float32_under_autocast(half_products: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On CUDA it would compute in float16, without a scaled loss, if autocast were on for its call."""
    gru, prior = FrameGRU(3, 2, 4, half_products=half_products), Autoregressive(2, 3)
    frames, constant, genre, calls = torch.randn(5, 7, 3), torch.randn(5, 2), torch.tensor([0, 2]), []
    forward = nn.GRU.forward

    def noted(gru: nn.GRU, inputs: torch.Tensor, state: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        calls.append((torch.is_autocast_enabled("cpu"), inputs.dtype))
        return forward(gru, inputs, state)

    monkeypatch.setattr(nn.GRU, "forward", noted)
    with torch.autocast("cpu", torch.bfloat16):
        states, last = gru._run_library(frames.bfloat16(), constant, None)
        z = prior.sample(torch.randn(2, 4), genre)
        prior.moments_given(z, genre)
    assert calls == [(False, torch.float32)] * 4
    assert states.dtype == last.dtype == z.dtype == torch.float32


@pytest.mark.parametrize("bidirectional", [False, True])
def test_token_gru_is_a_gru_over_one_hot_vectors(bidirectional: bool) -> None:
    tokens, constant = torch.randint(9, (6, 24)), None if bidirectional else torch.randn(6, 2)
    gru = TokenGRU(9, 0 if bidirectional else 2, 5, bidirectional=bidirectional)
    inputs = F.one_hot(tokens, 9).float()
    if constant is not None:
        inputs = torch.cat([inputs, constant[:, None].expand(-1, 24, -1)], dim=2)
    expected = gru.gru(inputs)
    # On the CPU, and as on other devices.
    for found in (gru.run(tokens, constant), gru._run_library(tokens, constant, None)):
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs)
