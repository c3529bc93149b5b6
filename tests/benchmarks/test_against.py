"""The comparison of two revisions' training steps."""

from pathlib import Path
from typing import Any

import pytest

from benchmarks.against import CASES, Case, Side, compare, difference
from benchmarks.compare_runs import REPOSITORY
from benchmarks.training_steps import CHECKED, MULTIPLIES


def test_the_largest_difference_of_any_loss_and_step_counts_relative_to_losses_above_1() -> None:
    before = [{"loss": 4.0, "kl": 1.0}, {"loss": -2.0, "kl": 0.25}]
    assert difference(before, before) == 0
    assert difference(before, [{"loss": 4.0, "kl": 1.5}, {"loss": -1.5, "kl": 0.25}]) == 0.5
    assert difference(before, [{"loss": 5.0, "kl": 1.0}, {"loss": -2.0, "kl": 0.125}]) == 0.25


@pytest.mark.parametrize("case", [Case.of_stage(3, "paper", 64, batch_size=4), Case.of_stage(3, "large-demo", 32)])
def test_a_process_takes_steps_of_a_stage(case: Case, tiny_store: Path, tmp_path: Path) -> None:
    (tmp_path / "store").symlink_to(tiny_store)
    side = Side(REPOSITORY, case, tmp_path, "cpu")
    answer, another = side.steps(2), side.steps(1)
    assert side.products() > 0
    side.close()
    assert answer["windows"] == 2 * another["windows"] > 0
    assert answer["seconds"] > 0 and another["megabytes"] >= answer["megabytes"] > 1
    assert [losses["kl"] > 0 for losses in answer["losses"]] == [True, True]
    assert answer["losses"][0] != answer["losses"][1]


class FakeSide:
    """A side whose turns have given rates, and whose steps of a turn are counted."""

    def __init__(self, rates: list[float], loss: float) -> None:
        self.given, self.loss, self.rates, self.megabytes, self.numbers = rates, loss, [], 1234.4, []

    def steps(self, number: int) -> dict[str, Any]:
        return {"seconds": 0.5 * number, "losses": [{"loss": self.loss}] * number, "windows": 6 * number}

    def products(self) -> float:
        return 0.25

    def measure(self, number: int) -> None:
        self.numbers.append(number)
        self.rates.append(self.given[len(self.rates)])


def test_a_row_has_medians_ratios_of_rounds_memory_and_difference_of_losses() -> None:
    sides = FakeSide([10.0, 20.0, 10.0], 1.0), FakeSide([15.0, 60.0, 20.0], 1.001)
    row = compare(CASES["paper-1-32"], sides, 3, 4.0, "cpu")
    assert row == ["stage 1 paper, T = 32", "10", "20", "2.00 (1.50 to 3.00)", "2.40", "1,234", "1,234", "1e-03"]
    assert sides[0].numbers == sides[1].numbers == [8, 8, 8] and CHECKED == 3


def test_products_are_told_from_other_operations() -> None:
    products = ("aten::mm", "aten::addmm_", "aten::bmm", "aten::mkldnn_convolution", "aten::convolution_backward",
                "aten::_scaled_dot_product_flash_attention_for_cpu_backward")  # fmt: skip
    assert all(MULTIPLIES.fullmatch(name) for name in products)
    assert not any(MULTIPLIES.fullmatch(name) for name in ("aten::mul", "aten::addcmul_", "aten::copy_"))
