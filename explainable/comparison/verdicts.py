"""The study's claims and the questions that it leaves open, and what our runs say to each.

A verdict is of these trainings, whose schedules stand beside it: "not confirmed" after few epochs of a narrow network
does not refute the study. Runs that are all no better than saying "hold" always test no claim.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pandas as pd

from evaluation.tables import ResultTable
from explainable.comparison import rules
from explainable.comparison.grid import COMPARED_SIZES, FOUR, IRISH, RECOMMENDED, TWO
from explainable.comparison.tables import CROSS_TALK, LEAKAGE, LEAKAGE_BESIDE_CONTROLS, SETTING, told_schedules
from explainable.melodies.sources import NAMED_SETS

CONFIRMED, NOT_CONFIRMED, NOT_TESTED = "confirmed", "not confirmed", "not tested"
VERDICT_TABLE = ResultTable("explainable_verdicts.csv", "-m programs.study_compare", ())
RESULTS, ABSTRACT, OPEN = "the study's results, quoted by others", "the study's abstract", "open question"
FURTHER = "the study's results, taken further"


@dataclass(frozen=True)
class Claim:
    """`judge` decides by `rule`, which says the same in words, from the rows of `runs_with_controls`."""

    claim: str
    source: str
    rule: str
    judge: Callable[[pd.DataFrame], rules.Judgement]


CLAIMS = (
    Claim(
        "MeasureVAE reconstructs better than AdversarialVAE at 128 and 256", RESULTS,
        "Irish folk, 4 attributes: its mean test accuracy is higher at both",
        partial(rules.more_accurate, sizes=COMPARED_SIZES),
    ),
    Claim(
        "MeasureVAE reconstructs better than AdversarialVAE at every size", FURTHER,
        "Irish folk, 4 attributes: its mean test accuracy is higher at each size that both have, one below 128 among "
        "them",
        rules.more_accurate,
    ),
    Claim(
        "MeasureVAE at 256 reaches 99.6 % of the validation tokens", RESULTS,
        "Irish folk, 4 attributes: mean validation accuracy at least 98.6 %",
        rules.near_published,
    ),
    Claim(
        "MeasureVAE: interpretability above 0.8 for each attribute", RESULTS,
        "Irish folk, 4 attributes: the mean of each is above 0.8 at 128 and at 256",
        rules.interpretable_on_irish,
    ),
    Claim(
        "MeasureVAE: interpretability above 0.8 for each attribute on each set", FURTHER,
        "the mean of each controlled attribute is above 0.8 at each size that was trained, with 2 and with 4 "
        "attributes, on all four sets",
        rules.interpretable_everywhere,
    ),
    Claim(
        "AdversarialVAE: attributes more independent (leakage in z), but note range at 128", RESULTS,
        "Irish folk, 4 attributes, each size that both have, 128 and 256 among them: 1 - R² of predicting an attribute "
        "from z without its own control (latent_independence_nonlinear) has a higher mean for each attribute; note "
        "range at 128 is told, not judged",
        partial(rules.more_independent, metric=LEAKAGE),
    ),
    Claim(
        "AdversarialVAE: attributes more independent (leakage beside all controls), but note range at 128", RESULTS,
        "the same from z without any control (free_independence_nonlinear): MeasureVAE has the other attributes in z "
        "by design, and attributes go along with one another",
        partial(rules.more_independent, metric=LEAKAGE_BESIDE_CONTROLS),
    ),
    Claim(
        "AdversarialVAE: attributes more independent (cross-talk in the output), but note range at 128", RESULTS,
        "the same of output_independence: how much more a control moves its own attribute than the others",
        partial(rules.more_independent, metric=CROSS_TALK),
    ),
    Claim(
        "Lakh clean (here pop, POP909, in its place) has the highest accuracy and the lowest loss", RESULTS,
        "MeasureVAE, over the sizes that all four sets have: so with 2 and with 4 attributes (test accuracy, "
        "validation loss)",
        rules.pop_is_best,
    ),
    Claim(
        "Turkish makam is harder", FURTHER,
        "MeasureVAE, over the sizes that all four sets have: the lowest test accuracy with 2 and with 4 attributes",
        rules.makam_is_hardest,
    ),
    Claim(
        "32 or 64 dimensions are best for 4 attributes across genres", ABSTRACT,
        "MeasureVAE, each of the four sets: the smallest size within 1 point of the best accuracy and 0.02 of the best "
        "interpretability is 32 or 64; smaller and larger ones were trained",
        partial(rules.knees, controls=FOUR, sizes=RECOMMENDED, names=tuple(NAMED_SETS)),
    ),
    Claim(
        "8 or 16 dimensions are best for 2 attributes on Irish folk", RESULTS,
        "by the same rule, it is 8 or 16",
        partial(rules.knees, controls=TWO, sizes=(8, 16), names=(IRISH,)),
    ),
    Claim(
        "interpretability of 2 attributes on Irish folk is best at 8 dimensions", RESULTS,
        "of all trained sizes, 4, 8 and 16 among them, 8 has the highest mean",
        rules.best_at_eight,
    ),
    Claim(
        "attributes of a data set do not go along with interpretability", RESULTS,
        "MeasureVAE, 4 attributes, over the sizes that all sets have, at least 4 sets: Spearman's rho of an "
        "attribute's mean, and of its variance, in training with its interpretability has p of 0.05 at least; a point "
        "a set and attribute, less the attribute's mean over sets, since units differ; p of 10,000 permutations of the "
        "sets within each attribute",
        rules.uncorrelated,
    ),
    Claim(
        "the recommended 32 or 64 dimensions suit a genre that the study did not have", OPEN,
        "by the rule for 4 attributes above, on each such set that has these sizes",
        rules.knees_of_new_sets,
    ),
    Claim(
        "transposed copies help on the small Turkish makam set", OPEN,
        "MeasureVAE, 4 attributes: more accurate with them than without, at each size that has both",
        rules.transpositions_help,
    ),
    Claim(
        "4 controlled attributes are as good as 2 on every genre", OPEN,
        "MeasureVAE, all four sets and others, over the sizes that have both: less than 1 point of accuracy is lost, "
        "and less than 0.02 of the interpretability of rhythmic complexity and note density",
        rules.four_cost_little,
    ),
    Claim(
        "a larger training set of one genre reconstructs better", OPEN,
        "MeasureVAE at 32, 4 attributes, Irish folk: accuracy rises with every larger one; at least 4 of them",
        rules.more_measures_help,
    ),
    Claim(
        "pop is easiest and makam hardest apart from the sizes of their sets", OPEN,
        "MeasureVAE at 32, 4 attributes, as many training measures of each of the four sets: the highest and the "
        "lowest accuracy",
        rules.order_at_equal_size,
    ),
)  # fmt: skip


def judge_claims(runs: pd.DataFrame) -> pd.DataFrame:
    """A row a claim, from the rows of `runs_with_controls`; those that could be tested come first."""
    rows = [_row(claim, runs) for claim in CLAIMS]
    return pd.DataFrame(sorted(rows, key=lambda row: row["verdict"] == NOT_TESTED))


def _row(claim: Claim, runs: pd.DataFrame) -> dict[str, str]:
    told = {"claim": claim.claim, "source": claim.source, "rule": claim.rule}
    try:
        judgement = claim.judge(runs)
    except rules.Missing as missing:
        return {**told, "figures": str(missing), "seeds": "", "trained_with": "", "verdict": NOT_TESTED}
    told["seeds"] = _seeds(judgement.runs)
    by_model = judgement.runs.groupby("model")["trained_with"].agg(told_schedules)
    told["trained_with"] = ". ".join(f"{model}: {schedules}" for model, schedules in by_model.items())
    n_idle = int((judgement.runs["accuracy"] <= judgement.runs["floor"]).sum())
    if n_idle == len(judgement.runs):
        return {**told, "figures": f"no run is above always hold: {judgement.figures}", "verdict": NOT_TESTED}
    idle = f"; {n_idle} of {len(judgement.runs)} runs are not above always hold" if n_idle else ""
    verdict = CONFIRMED if judgement.holds else NOT_CONFIRMED
    return {**told, "figures": f"{judgement.figures}{idle}", "verdict": verdict}


def _seeds(runs: pd.DataFrame) -> str:
    """How many trainings each compared setting has, from the fewest to the most."""
    number = runs.groupby([*SETTING, "training_measures", "transposed"], dropna=False).size()
    fewest, most = number.min(), number.max()
    return f"{fewest}" if fewest == most else f"{fewest} to {most}"
