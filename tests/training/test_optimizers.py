"""Muon on a CPU against the library's."""

import pytest
import torch

from training.optimizers import Muon


@pytest.mark.parametrize("shape", [(6, 24), (24, 6), (8, 8)])
def test_muon_is_the_librarys_but_for_bfloat16(shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    start = torch.randn(shape)
    weights = [start.clone().requires_grad_() for _ in range(2)]
    options = {"weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "original"}
    ours, library = Muon([weights[0]], 0.05, **options), torch.optim.Muon([weights[1]], 0.05, **options)
    for _ in range(3):
        gradient = torch.randn(shape)
        for weight, optimizer in zip(weights, (ours, library), strict=True):
            weight.grad = gradient.clone()
            optimizer.step()
    found, expected = ((weight - start).detach() for weight in weights)
    assert expected.norm() > 0.3
    torch.testing.assert_close(found, expected, rtol=0, atol=0.02 * expected.abs().max().item())
    state, wanted = (each.state_dict()["state"][0] for each in (ours, library))
    assert state.keys() == wanted.keys()
    torch.testing.assert_close(state["momentum_buffer"], wanted["momentum_buffer"])
