"""The study's models: published sizes, and decoders against step-by-step references."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.study.adversarial_vae import AdversarialVAE, probability_of_truth
from models.study.attribute_vae import AttributeVAE
from models.study.measure_vae import MeasureVAE

TOKENS = torch.randint(9, (6, 24), generator=torch.Generator().manual_seed(0))
ATTRIBUTES = torch.randn(6, 2, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def measures() -> MeasureVAE:
    return MeasureVAE(9, latent=4, hidden=12, embedding=3, relu_logits=False)


@pytest.fixture
def adversarial() -> AdversarialVAE:
    return AdversarialVAE(9, n_attributes=2, start=8, latent=4, hidden=12)


@pytest.mark.parametrize(("latent", "millions"), [(4, 16.93), (256, 17.70)])
def test_measure_vae_has_the_published_size(latent: int, millions: float) -> None:
    with torch.device("meta"):
        model = MeasureVAE(116, latent)
    assert sum(parameter.numel() for parameter in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("training", [False, True])
def test_free_running_tokens_are_the_most_likely_ones(measures: MeasureVAE, training: bool) -> None:
    """In training both passes have the same dropout."""
    measures.train(training)
    logits, tokens = measures.decode_free(measures.encode(TOKENS).mean)
    assert logits.shape == (6, 24, 9) and torch.equal(logits.argmax(2), tokens) and len(tokens.unique()) > 1


@pytest.mark.parametrize("name", ["measures", "adversarial"])
def test_free_running_has_the_gradients_of_teacher_forcing_on_its_tokens(
    name: str, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name).eval()
    more = (ATTRIBUTES,) if name == "adversarial" else ()
    z = model.encode(TOKENS).mean.detach()
    logits, tokens = model.decode_free(z, *more, *((24,) if more else ()))
    again = model.decode(z, *more, tokens)
    torch.testing.assert_close(logits, again)
    parameters = [p for n, p in model.named_parameters() if any(w in n for w in ("tick", "lower", "upper", "played"))]
    losses = [F.cross_entropy(made.flatten(0, 1), TOKENS.flatten()) for made in (logits, again)]
    found, wanted = (torch.autograd.grad(loss, parameters) for loss in losses)
    assert any(gradient.abs().max() > 1e-4 for gradient in wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


def library_step(cells: list[nn.GRUCell], inputs: Tensor, states: list[Tensor]) -> None:
    for layer, cell in enumerate(cells):
        states[layer] = cell(inputs, states[layer])
        inputs = states[layer]


def cell_of(gru: nn.GRU) -> nn.GRUCell:
    cell = nn.GRUCell(gru.input_size, gru.hidden_size)
    cell.load_state_dict({name.removesuffix("_l0"): tensor for name, tensor in gru.state_dict().items()})
    return cell


def test_measure_vae_decodes_as_torchs_gru_cells(measures: MeasureVAE) -> None:
    """Beat by beat and tick by tick, as published."""
    measures.eval()
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    beats, ticks = ([cell_of(gru.gru) for gru in grus] for grus in (measures.beat_gru, measures.tick_gru))
    states = list(F.selu(measures.beat_start(z)).chunk(2, dim=1))
    before, logits, chosen = measures.first.expand(6, -1), [], []
    for _ in range(4):
        library_step(beats, measures.beat_input.expand(6, 1), states)
        own = list(F.selu(measures.tick_start(states[1])).chunk(2, dim=1))
        for _ in range(6):
            library_step(ticks, torch.cat([before, F.selu(measures.tick_input(states[1]))], dim=1), own)
            logits.append(measures.output(own[1]))
            chosen.append(logits[-1].argmax(1))
            before = measures.played(chosen[-1])
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            ours, tokens = measures.decode_free(z)
        assert torch.equal(tokens, torch.stack(chosen, dim=1))
        torch.testing.assert_close(ours, torch.stack(logits, dim=1))
    measures.relu_logits = True
    torch.testing.assert_close(measures.decode(z, tokens), torch.stack(logits, dim=1).relu())


def test_adversarial_vae_decodes_as_torchs_gru_cells(adversarial: AdversarialVAE) -> None:
    """With one-hot vectors; every third token is the true one (scheduled sampling)."""
    z = torch.randn(6, 4, generator=torch.Generator().manual_seed(2))
    is_true = torch.arange(24) % 3 == 0
    cells = [cell_of(adversarial.lower.gru), cell_of(adversarial.upper.gru)]
    token, logits = torch.full((6,), 8), []
    low, high = torch.tanh(adversarial.first_state(z)), None
    for step in range(24):
        low = cells[0](torch.cat([F.one_hot(token, 9).float(), z, ATTRIBUTES], dim=1), low)
        high = cells[1](low, low if high is None else high)
        logits.append(adversarial.output(high))
        token = TOKENS[:, step] if is_true[step] else logits[-1].argmax(1)
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            ours, _ = adversarial.decode_free(z, ATTRIBUTES, 24, TOKENS, is_true)
        torch.testing.assert_close(ours, torch.stack(logits, dim=1))


def test_the_schedule_of_true_tokens() -> None:
    """Values from the source of the schedule."""
    found = [probability_of_truth(iteration) for iteration in (2_000, 5_000, 7_000, 10_000, 10_000_000)]
    assert found == pytest.approx([0.99, 0.87, 0.48, 0.04, 0], abs=0.006)


def test_an_attribute_vae_gives_the_scores_to_its_decoder() -> None:
    vae = AttributeVAE(9, n_attributes=2, latent=4, hidden=12, embedding=3).eval()
    posterior = vae.encode(TOKENS, ATTRIBUTES)
    torch.testing.assert_close(posterior.sample(torch.randn(6, 4))[:, :2], ATTRIBUTES)
    torch.testing.assert_close(posterior.mean[:, 2:], MeasureVAE.encode(vae, TOKENS).mean)
    with pytest.raises(ValueError, match="2 numbers of z hold no more than 2 attributes"):
        AttributeVAE(9, n_attributes=2, latent=2)
