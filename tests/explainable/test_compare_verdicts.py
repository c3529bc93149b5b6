"""The study's claims on made-up tables: one where all hold, and for each where it does not, or lacks runs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from evaluation.tables import read_csv
from explainable.attributes import ATTRIBUTES, NOTE_RANGE
from explainable.comparison import rules
from explainable.comparison.grid import FOUR, IRISH, MAKAM, SIZES, TWO
from explainable.comparison.rules import ADVERSARIAL, MEASURE, POP, knee_of
from explainable.comparison.tables import by_attribute, by_size, by_training_set, runs_with_controls
from explainable.comparison.verdicts import CLAIMS, CONFIRMED, NOT_CONFIRMED, NOT_TESTED, VERDICT_TABLE, judge_claims
from explainable.stages.stage import NAMED_ATTRIBUTES

BEST = {IRISH: 0.99, MAKAM: 0.95, "bach": 0.98, POP: 0.995, "jazz": 0.97}
# How far a size is behind the best: knees at 32 and at 8.
BEHIND = {FOUR: {4: 0.02, 8: 0.02, 16: 0.015}, TWO: {4: 0.02}}
SMALLEST = 4000  # training rows of the smallest set, bach


def row(model: str, data: str, controls: str, latent: int, seed: int, **known: object) -> dict[str, object]:
    """A run as `programs.study_evaluate` tells it, with the figures of a study that is right."""
    accuracy = known.get("accuracy", BEST[data] - BEHIND[controls].get(latent, 0)) - 0.001 * seed
    kinds = [(name, attribute) for name in BEST for attribute in ATTRIBUTES]
    mean, variance, ease = (np.random.default_rng(place).permutation(len(kinds)) for place in (0, 1, 2))
    bonus = 0.001 if (controls, latent) == (TWO, 8) else 0
    figures = {"output_independence": 0.5, "data_output_independence": 0.3}
    for attribute in ATTRIBUTES:
        place = kinds.index((data, attribute))
        figures |= {
            f"interpretability_{attribute}": 0.95 + 0.0002 * ease[place] + bonus,
            f"data_mean_{attribute}": float(mean[place]),
            f"data_variance_{attribute}": float(variance[place]),
            f"latent_independence_nonlinear_{attribute}": 0.6 if model == MEASURE else 0.8,
            f"free_independence_nonlinear_{attribute}": 0.7 if model == MEASURE else 0.9,
            f"output_independence_{attribute}": 0.5 if model == MEASURE else 0.6,
        }
        figures |= {f"{name}_{attribute}": 0.9 for name in ("r_squared_designated", "data_independence_nonlinear")}
    if model == ADVERSARIAL and latent == 128:
        kinds_of_independence = ("latent_independence_nonlinear", "free_independence_nonlinear", "output_independence")
        figures |= {f"{name}_{NOTE_RANGE}": 0.1 for name in kinds_of_independence}
    schedule = {"trained_with": "hidden 512, epochs 30, batch size 256, learning rate 0.0001"}
    rows = SMALLEST if data == "bach" else 4 * SMALLEST
    training = {"training_measures": np.nan, "transposed": True, "training_rows": 9 * rows}
    return {
        "model": model, "data": data, "attributes": ",".join(NAMED_ATTRIBUTES[controls]), "latent": latent,
        "controls_in_z": model == MEASURE, "floor": 0.66, "interpretability": 0.9, **figures, **schedule, **training,
        "training_rows_untransposed": known.get("training_measures", rows), "accuracy_onsets": 0.5,
        "accuracy_measures": 0.5, **known, "accuracy": accuracy, "val_accuracy": accuracy, "val_loss": 1 - accuracy,
    }  # fmt: skip


def table() -> pd.DataFrame:
    """Runs with which every claim holds."""
    rows = []
    for seed in (0, 1):
        for size in SIZES:
            rows += [row(MEASURE, data, controls, size, seed) for data in BEST for controls in (TWO, FOUR)]
            rows.append(row(ADVERSARIAL, IRISH, FOUR, size, seed, accuracy=0.8))
        rows += [row(MEASURE, MAKAM, FOUR, size, seed, accuracy=0.9, transposed=False) for size in (32, 64)]
        parts = (IRISH, 2000, 0.9), (IRISH, SMALLEST, 0.93), (IRISH, 8000, 0.96), (POP, SMALLEST, 0.985)
        for data, measures, accuracy in (*parts, (MAKAM, SMALLEST, 0.85)):
            rows.append(row(MEASURE, data, FOUR, 32, seed, accuracy=accuracy, training_measures=measures))
    return pd.DataFrame(rows)


def verdicts(frame: pd.DataFrame) -> dict[str, str]:
    return judge_claims(runs_with_controls(frame)).set_index("claim")["verdict"].to_dict()


def changed(column: str, value: float, **where: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Another value in the rows that have what is wanted."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[chosen(frame, where), column] = value
        return frame

    return change


def without(**where: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame[~chosen(frame, where)]


def chosen(frame: pd.DataFrame, where: dict[str, object]) -> pd.Series:
    found = pd.Series(True, frame.index)
    for column, value in where.items():
        found &= frame[column].isna() if value is None else frame[column].isin(np.atleast_1d(value))
    return found


IRISH_FOUR = {"data": IRISH, "attributes": ",".join(NAMED_ATTRIBUTES[FOUR]), "training_measures": None}
IRISH_TWO = {"data": IRISH, "attributes": ",".join(NAMED_ATTRIBUTES[TWO])}


def correlated(frame: pd.DataFrame) -> pd.DataFrame:
    """Attributes with a higher variance are controlled better."""
    for attribute in ATTRIBUTES:
        frame[f"interpretability_{attribute}"] = 0.9 + 0.001 * frame[f"data_variance_{attribute}"]
    return frame


# For each claim: where it does not hold, and where it cannot be tested. In the order of CLAIMS.
CASES = [
    (changed("accuracy", 0.999, model=ADVERSARIAL, latent=128), without(model=ADVERSARIAL, latent=256)),
    (changed("accuracy", 0.999, model=ADVERSARIAL, latent=8), without(model=ADVERSARIAL, latent=[4, 8, 16, 32, 64])),
    (changed("val_accuracy", 0.98, latent=256), without(**IRISH_FOUR, latent=256)),
    (changed(f"interpretability_{NOTE_RANGE}", 0.8, **IRISH_FOUR, latent=256), without(**IRISH_FOUR, latent=128)),
    (changed("interpretability_note_density", 0.5, data=POP, latent=4), without(data=POP)),
    *(
        (changed(f"{leakage}_note_density", 0.1, model=ADVERSARIAL, latent=64), without(model=ADVERSARIAL))
        for leakage in ("latent_independence_nonlinear", "free_independence_nonlinear")
    ),
    (changed("output_independence_note_density", 0.1, model=ADVERSARIAL, latent=64), without(model=MEASURE)),
    (changed("val_loss", 0.9, data=POP), without(data=POP)),
    (changed("accuracy", 0.94, data="bach"), without(data="bach")),
    (changed("accuracy", 0.7, data=POP, latent=[32, 64]), without(data=MAKAM, latent=[128, 256])),
    (changed("accuracy", 0.7, **IRISH_TWO, latent=[8, 16]), without(**IRISH_TWO, latent=4)),
    (changed("interpretability_note_density", 0.99, **IRISH_TWO, latent=64), without(**IRISH_TWO, latent=8)),
    (correlated, without(data=[POP, "bach"])),
    (changed("accuracy", 0.7, data="jazz", latent=[32, 64]), without(data="jazz")),
    (changed("accuracy", 0.96, transposed=False), without(transposed=False)),
    (changed("interpretability_note_density", 0.7, **IRISH_FOUR), without(**IRISH_TWO)),
    (changed("accuracy", 0.92, training_measures=8000), without(training_measures=[2000, 8000])),
    (changed("accuracy", 0.99, data=MAKAM, training_measures=SMALLEST), without(data=POP, training_measures=SMALLEST)),
]


def test_every_claim_holds_where_the_study_is_right() -> None:
    assert set(verdicts(table()).values()) == {CONFIRMED}
    assert len(verdicts(table())) == len(CLAIMS)


@pytest.mark.parametrize("place", range(len(CLAIMS)), ids=[claim.claim[:50] for claim in CLAIMS])
def test_a_claim_is_refuted_or_not_tested(place: int) -> None:
    claim, (refuted, untested) = CLAIMS[place].claim, CASES[place]
    assert verdicts(refuted(table()))[claim] == NOT_CONFIRMED
    assert verdicts(untested(table()))[claim] == NOT_TESTED


@pytest.mark.parametrize("controls", [TWO, FOUR])
def test_each_set_has_to_be_there_with_each_number_of_attributes(controls: str) -> None:
    claim = CLAIMS[4].claim
    assert CLAIMS[4].judge is rules.interpretable_everywhere
    own = {"model": MEASURE, "attributes": ",".join(NAMED_ATTRIBUTES[controls])}
    for absent in ({"data": "bach"}, {}):
        assert verdicts(without(**own, **absent)(table()))[claim] == NOT_TESTED


def test_figures_have_their_range_and_schedule() -> None:
    first = judge_claims(runs_with_controls(table())).iloc[0]
    assert first["seeds"] == "2"
    assert first["figures"].startswith("z 128: measure_vae 0.990 (0.989 to 0.990), adversarial_vae 0.800 (0.799 to")
    assert "measure_vae: hidden 512, epochs 30, batch size 256, learning rate 0.0001" in first["trained_with"]


def test_the_exception_is_told_and_not_judged() -> None:
    column = f"latent_independence_nonlinear_{NOTE_RANGE}"
    better = judge_claims(runs_with_controls(changed(column, 0.99, model=ADVERSARIAL)(table()))).iloc[5]
    usual = judge_claims(runs_with_controls(table())).iloc[5]
    assert better["verdict"] == usual["verdict"] == CONFIRMED
    assert "note range at 128 better" in better["figures"]
    assert "note range at 128 not better, as published" in usual["figures"]


def test_models_that_learnt_nothing_test_no_claim() -> None:
    frame = changed("floor", 1.0)(table())
    assert set(verdicts(frame).values()) == {NOT_TESTED}
    some = judge_claims(runs_with_controls(changed("floor", 0.85, model=ADVERSARIAL)(table()))).iloc[0]
    assert some["verdict"] == CONFIRMED and some["figures"].endswith("; 4 of 8 runs are not above always hold")


def test_only_differences_between_sets_of_one_attribute_count_as_going_along() -> None:
    claim = next(claim.claim for claim in CLAIMS if claim.judge is rules.uncorrelated)
    frame = table()
    for place, attribute in enumerate(ATTRIBUTES):
        frame[f"interpretability_{attribute}"] += 0.01 * place
        frame[f"data_mean_{attribute}"] += 100 * place
    assert verdicts(frame)[claim] == CONFIRMED, "units and how easy an attribute is"


def test_a_new_set_that_lacks_sizes_does_not_keep_others_from_being_judged() -> None:
    claim = next(claim.claim for claim in CLAIMS if claim.judge is rules.knees_of_new_sets)
    rock = table().query("data == 'jazz' and latent == 32").assign(data="rock")
    assert verdicts(pd.concat([table(), rock]))[claim] == CONFIRMED


def test_parts_of_the_training_set_do_not_count_elsewhere() -> None:
    frame = table()
    whole = frame["training_measures"].isna() & frame["transposed"]
    frame.loc[~whole, ["accuracy", *(f"interpretability_{name}" for name in ATTRIBUTES)]] = 0.1
    on_training_sets = (rules.transpositions_help, rules.more_measures_help, rules.order_at_equal_size)
    others = [claim.claim for claim in CLAIMS if claim.judge not in on_training_sets]
    found = verdicts(frame)
    assert len(others) == len(CLAIMS) - 3 and {found[claim] for claim in others} == {CONFIRMED}


def test_the_knee_is_the_smallest_good_size() -> None:
    sizes = pd.DataFrame({"latent": [8, 16, 32, 64], "accuracy": [0.7, 0.9, 0.905, 0.9]})
    assert knee_of(sizes.assign(control_interpretability=[0.9, 0.9, 0.9, 0.9])) == 16
    assert knee_of(sizes.assign(control_interpretability=[0.9, 0.8, 0.89, 0.9])) == 32
    assert knee_of(sizes.assign(control_interpretability=[0.9, 0.5, 0.5, 0.5])) is None


def test_summaries() -> None:
    runs = runs_with_controls(table())
    sizes = by_size(runs).set_index(["data", "model", "controls", "latent"])
    one = sizes.loc[(IRISH, MEASURE, FOUR, 32)]
    assert one[["accuracy", "accuracy_lowest", "accuracy_highest"]].tolist() == pytest.approx([0.9895, 0.989, 0.99])
    assert one["trainings"] == 2 and len(sizes) == len(SIZES) * (2 * len(BEST) + 1)
    assert one["control_interpretability"] == pytest.approx(
        np.mean([runs[f"interpretability_{name}"].iloc[1] for name in ATTRIBUTES]), abs=0.005
    )
    # No dimension of z is a control of AdversarialVAE.
    assert np.isnan(sizes.loc[(IRISH, ADVERSARIAL, FOUR, 32), "control_interpretability"])
    attributes = by_attribute(runs).groupby("controls")["attribute"].agg(set)
    assert attributes[TWO] == set(NAMED_ATTRIBUTES[TWO]) and attributes[FOUR] == set(ATTRIBUTES)
    sets = by_training_set(runs)
    irish = sets[sets["data"] == IRISH].sort_values("training_rows_untransposed")
    assert irish["training_rows_untransposed"].tolist() == [2000, 4000, 8000, 16000] and (irish["latent"] == 32).all()
    assert sorted(sets.loc[sets["data"] == MAKAM, "transposed"]) == [False, False, True, True, True]


def test_verdicts_as_a_file(tmp_path: Path) -> None:
    runs = runs_with_controls(table())
    VERDICT_TABLE.write(judge_claims(runs), tmp_path)
    assert read_csv(tmp_path / "explainable_verdicts.csv")["verdict"].tolist() == [CONFIRMED] * len(CLAIMS)


def test_a_table_of_another_version_is_refused() -> None:
    with pytest.raises(UserError, match="has no column transposed; make it again"):
        runs_with_controls(table().drop(columns="transposed"))
