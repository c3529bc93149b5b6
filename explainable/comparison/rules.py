"""The rules that decide the study's claims from the table of trained runs alone; the claims are in `verdicts`.

A figure is the mean over seeds, with their range behind it; where sizes of z are taken together, the mean of these
means. Only runs on all tunes and transpositions count, but in the questions on the training set.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from explainable.attributes import NOTE_RANGE
from explainable.comparison.grid import COMPARED_SIZES, FOUR, IRISH, MAKAM, RECOMMENDED, TWO
from explainable.comparison.tables import INTERPRETABILITY, of_attributes
from explainable.melodies.sources import NAMED_SETS
from explainable.stages.stage import NAMED_ATTRIBUTES
from models.study.adversarial_vae import AdversarialVAE
from models.study.measure_vae import MeasureVAE

MEASURE, ADVERSARIAL = MeasureVAE.network, AdversarialVAE.network
POP = "pop"  # stands for Lakh clean
PUBLISHED_ACCURACY, PUBLISHED_INTERPRETABILITY = 0.996, 0.8
ACCURACY_MARGIN, INTERPRETABILITY_MARGIN = 0.01, 0.02
FEWEST_SETS, FEWEST_TRAINING_SETS, SIGNIFICANT = 4, 4, 0.05
N_PERMUTATIONS = 10_000
EXCEPTION = (128, NOTE_RANGE)


class Missing(Exception):
    """What has to be trained before a claim can be judged."""


@dataclass(frozen=True)
class Judgement:
    """Whether a rule holds, our figures as text, and the runs that they are from."""

    holds: bool
    figures: str
    runs: pd.DataFrame


def more_accurate(runs: pd.DataFrame, sizes: Sequence[int] = ()) -> Judgement:
    """MeasureVAE above AdversarialVAE at each of `sizes`; without these, at each that both have, a small one too."""
    rows = _of_both_models(runs, sizes)
    if not sizes and rows["latent"].min() >= min(COMPARED_SIZES):
        raise Missing(f"no runs of both models below {min(COMPARED_SIZES)}")
    accuracy = {
        size: {model: own.loc[own["model"] == model, "accuracy"] for model in (MEASURE, ADVERSARIAL)}
        for size, own in rows.groupby("latent")
    }
    holds = all(own[MEASURE].mean() > own[ADVERSARIAL].mean() for own in accuracy.values())
    return Judgement(holds, "; ".join(f"z {size}: {_listed(own)}" for size, own in accuracy.items()), rows)


def near_published(runs: pd.DataFrame) -> Judgement:
    """Validation accuracy of MeasureVAE at 256 at most a point below the published one."""
    rows = _whole(runs, data=IRISH, controls=FOUR, model=MEASURE, latent=(256,)).dropna(subset=["val_accuracy"])
    _require(rows["latent"], (256,), f"{MEASURE} at")
    accuracy = rows["val_accuracy"]
    return Judgement(bool(accuracy.mean() >= PUBLISHED_ACCURACY - ACCURACY_MARGIN), _told(accuracy), rows)


def interpretable_on_irish(runs: pd.DataFrame) -> Judgement:
    """Each of four attributes above the published bound at 128 and at 256."""
    rows = _whole(runs, model=MEASURE, controls=FOUR, data=IRISH, latent=COMPARED_SIZES)
    _require(rows["latent"], COMPARED_SIZES, f"{MEASURE} at")
    return _interpretable(rows)


def interpretable_everywhere(runs: pd.DataFrame) -> Judgement:
    """Each controlled attribute above the published bound on each set of the study and at each size."""
    rows = _whole(runs, model=MEASURE, controls=(TWO, FOUR), data=NAMED_SETS)
    for controls in (TWO, FOUR):
        own = rows[rows["controls"] == controls]
        _require(own["data"], NAMED_SETS, f"{MEASURE} with {controls} attributes on")
    return _interpretable(rows)


def _interpretable(rows: pd.DataFrame) -> Judgement:
    long = of_attributes(rows)
    means = long.groupby(["data", "controls", "latent", "attribute"])[INTERPRETABILITY].mean()
    below = means[~(means > PUBLISHED_INTERPRETABILITY)]
    told = [f"{name} on {data} with {number} at z {size}" for data, number, size, name in below.index]
    figures = _listed({name: own[INTERPRETABILITY] for name, own in long.groupby("attribute", sort=False)})
    return Judgement(not told, f"{figures}; not above: {', '.join(told) or 'none'}", rows)


def more_independent(runs: pd.DataFrame, metric: str) -> Judgement:
    """`metric` of AdversarialVAE above MeasureVAE's for each attribute and size, but `EXCEPTION`.

    A size at which each dimension is a control has no leakage to compare.
    """
    rows = _of_both_models(runs, COMPARED_SIZES, others=True)
    long = of_attributes(rows)
    means = long.pivot_table(index=["latent", "attribute"], columns="model", values=metric).dropna()
    if EXCEPTION not in means.index:
        raise Missing("no figure of note range at 128")
    better = means[ADVERSARIAL] > means[MEASURE]
    others = better.drop(EXCEPTION)
    worse = ", ".join(f"{name} at z {size}" for size, name in others[~others].index) or "none"
    compared = long[long["latent"].isin(COMPARED_SIZES)]
    told = [f"z {size} {name} {_listed({model: own[metric] for model, own in part.groupby('model')})}"
            for (size, name), part in compared.groupby(["latent", "attribute"], sort=False)]  # fmt: skip
    summary = f"better in {others.sum()} of {len(others)}; not: {worse}"
    exception = f"note range at 128 {'better' if better[EXCEPTION] else 'not better, as published'}"
    return Judgement(bool(others.all()), f"{summary}; {exception}; {'; '.join(told)}", rows)


def pop_is_best(runs: pd.DataFrame) -> Judgement:
    """With 2 and with 4 attributes pop is the most accurate of the study's sets, and that of the lowest loss."""
    sets, judgement = _of_sets(runs)
    holds = all(own["accuracy"].idxmax() == POP and own["val_loss"].idxmin() == POP for own in sets.values())
    return replace(judgement, holds=holds)


def makam_is_hardest(runs: pd.DataFrame) -> Judgement:
    """With 2 and with 4 attributes Turkish makam is the least accurate of the study's sets."""
    sets, judgement = _of_sets(runs)
    return replace(judgement, holds=all(own["accuracy"].idxmin() == MAKAM for own in sets.values()))


def _of_sets(runs: pd.DataFrame) -> tuple[dict[str, pd.DataFrame], Judgement]:
    """Accuracy and loss of each set by the number of attributes, and a judgement that is to be made of them."""
    sets, used = {}, []
    for controls in (TWO, FOUR):
        rows = _whole(runs, model=MEASURE, controls=controls, data=NAMED_SETS)
        _require(rows["data"], NAMED_SETS, f"{MEASURE} with {controls} attributes on")
        rows = rows[rows["latent"].isin(_common(rows, "data", NAMED_SETS))]
        sets[controls] = _over_sizes(rows, ["data"], ["accuracy", "val_loss"])
        used.append(rows)
    told = [f"{controls} attributes: {_in_order(own)}" for controls, own in sets.items()]
    return sets, Judgement(False, "; ".join(told), pd.concat(used))


def _in_order(sets: pd.DataFrame) -> str:
    ordered = sets.sort_values("accuracy", ascending=False)
    return ", ".join(f"{name} {row['accuracy']:.3f} (loss {row['val_loss']:.3f})" for name, row in ordered.iterrows())


def knee_of(rows: pd.DataFrame) -> int | None:
    """The smallest size within a point of the best accuracy and 0.02 of the best interpretability; None without one."""
    sizes = rows.groupby("latent")[["accuracy", "control_interpretability"]].mean()
    behind = sizes.max() - sizes
    good = (behind["accuracy"] <= ACCURACY_MARGIN) & (behind["control_interpretability"] <= INTERPRETABILITY_MARGIN)
    return int(good.idxmax()) if good.any() else None


def knees(runs: pd.DataFrame, controls: str, sizes: Sequence[int], names: Sequence[str]) -> Judgement:
    """The knee of each of the sets `names` is one of `sizes`, of which all were trained, and others on both sides."""
    rows = _whole(runs, model=MEASURE, controls=controls, data=names)
    of_set = {name: rows[rows["data"] == name] for name in names}
    for name, own in of_set.items():
        _require(own["latent"], sizes, f"{name} with {controls} attributes at")
        if not _are_around(own["latent"], sizes):
            raise Missing(f"no runs of {name} with {controls} attributes on both sides of {', '.join(map(str, sizes))}")
    found = {name: knee_of(own) for name, own in of_set.items()}
    told = ", ".join(f"{name} {knee or 'none'}" for name, knee in found.items())
    return Judgement(all(knee in sizes for knee in found.values()), f"knee: {told}", rows)


def knees_of_new_sets(runs: pd.DataFrame) -> Judgement:
    """The same on sets that the study did not have, for the sizes that it recommends."""
    rows = _whole(runs, model=MEASURE, controls=FOUR)
    new = rows[~rows["data"].isin(list(NAMED_SETS))].groupby("data")["latent"]
    if not len(new):
        raise Missing("no runs on a set that the study did not have")
    complete = [name for name, there in new if _are_around(there, RECOMMENDED)]
    return knees(runs, FOUR, RECOMMENDED, complete or list(new.groups))


def best_at_eight(runs: pd.DataFrame) -> Judgement:
    """Of all sizes, 8 has the highest interpretability."""
    rows = _whole(runs, model=MEASURE, controls=TWO, data=IRISH)
    _require(rows["latent"], (4, 8, 16), f"{IRISH} with {TWO} attributes at")
    sizes = {size: own["control_interpretability"] for size, own in rows.groupby("latent")}
    best = max(sizes, key=lambda size: sizes[size].mean())
    return Judgement(best == 8, _listed({f"z {size}": own for size, own in sizes.items()}), rows)


def uncorrelated(runs: pd.DataFrame) -> Judgement:
    """Neither mean nor variance of an attribute goes along with its interpretability, over sets and attributes."""
    rows = _whole(runs, model=MEASURE, controls=FOUR)
    names = sorted(set(rows["data"]))
    if len(names) < FEWEST_SETS:
        raise Missing(f"{MEASURE} with {FOUR} attributes on {len(names)} sets, fewer than {FEWEST_SETS}")
    rows = rows[rows["latent"].isin(_common(rows, "data", names))]
    columns = [INTERPRETABILITY, "data_mean", "data_variance"]
    points = _over_sizes(of_attributes(rows), ["attribute", "data"], columns)
    # Units and how easy an attribute is tie the two as well; without its mean, what is left is between sets.
    between = points - points.groupby("attribute").transform("mean")
    ranks = {column: between[column].rank().unstack("data").to_numpy() for column in columns}
    told, holds = [], True
    for column, name in (("data_mean", "mean"), ("data_variance", "variance")):
        rho, p = _permuted_correlation(ranks[column], ranks[INTERPRETABILITY])
        pooled, _ = spearmanr(points[column], points[INTERPRETABILITY])
        told.append(f"{name} rho {rho:.2f}, p {p:.2g} (units and all {pooled:.2f})")
        holds &= bool(p >= SIGNIFICANT)
    return Judgement(holds, f"{len(points)} points: {'; '.join(told)}", rows)


def _permuted_correlation(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The correlation of x and y, (attributes, sets) each, and its p where the sets of each attribute are exchanged."""
    others = np.random.default_rng(0).permuted(np.broadcast_to(y, (N_PERMUTATIONS, *y.shape)), axis=2)
    centred, every = x - x.mean(), np.concatenate([y[None], others]) - y.mean()
    rho = (centred * every).sum((1, 2)) / np.sqrt(np.square(centred).sum() * np.square(every).sum((1, 2)))
    return float(rho[0]), float((np.abs(rho) >= abs(rho[0]) - 1e-9).mean())


def four_cost_little(runs: pd.DataFrame) -> Judgement:
    """On each set 4 attributes cost under a point of accuracy, and 0.02 of interpretability of the two in both.

    The study's sets are among them.
    """
    rows = _whole(runs, model=MEASURE, controls=(TWO, FOUR))
    long = of_attributes(rows)
    costs, used = {}, []
    for name, own in long[long["attribute"].isin(NAMED_ATTRIBUTES[TWO])].groupby("data"):
        sizes = set.intersection(*(set(own.loc[own["controls"] == number, "latent"]) for number in (TWO, FOUR)))
        if sizes:
            own = own[own["latent"].isin(sizes)]
            means = _over_sizes(own, ["controls"], ["accuracy", INTERPRETABILITY])
            costs[name] = means.loc[TWO] - means.loc[FOUR]
            used.append(rows[(rows["data"] == name) & rows["latent"].isin(sizes)])
    _require(costs, NAMED_SETS, f"{MEASURE} with {TWO} and with {FOUR} attributes at the same size on")
    little = (cost["accuracy"] < ACCURACY_MARGIN and cost[INTERPRETABILITY] < INTERPRETABILITY_MARGIN
              for cost in costs.values())  # fmt: skip
    told = [f"{name} {cost['accuracy']:+.3f} and {cost[INTERPRETABILITY]:+.3f}" for name, cost in costs.items()]
    return Judgement(all(little), f"cost in accuracy and interpretability: {', '.join(told)}", pd.concat(used))


def transpositions_help(runs: pd.DataFrame) -> Judgement:
    """Makam with transpositions is more accurate than without, at each size that has both."""
    rows = runs[(runs["data"] == MAKAM) & (runs["model"] == MEASURE) & (runs["controls"] == FOUR)]
    rows = rows[rows["training_measures"].isna()]
    rows = rows[rows["latent"].isin(_common(rows, "transposed", (True, False)))]
    told, holds = [], True
    for size, own in rows.groupby("latent"):
        kinds = {("with", "without")[not kind]: part for kind, part in own.groupby("transposed")}
        holds &= bool(kinds["with"]["accuracy"].mean() > kinds["without"]["accuracy"].mean())
        for value in ("accuracy", "control_interpretability"):
            told.append(f"z {size} {value} {_listed({name: part[value] for name, part in kinds.items()})}")
    return Judgement(holds, "; ".join(told), rows)


def more_measures_help(runs: pd.DataFrame) -> Judgement:
    """Every larger training set of Irish folk gives a higher accuracy."""
    rows = _at_recommended(runs, (IRISH,))
    sizes = rows.groupby("training_measures", dropna=False)[["training_rows_untransposed", "accuracy"]].mean()
    sizes = sizes.sort_values("training_rows_untransposed")
    if len(sizes) < FEWEST_TRAINING_SETS:
        raise Missing(f"{len(sizes)} training sets of {IRISH} at z {RECOMMENDED[0]}, fewer than {FEWEST_TRAINING_SETS}")
    told = ", ".join(f"{row.training_rows_untransposed:.0f} rows {row.accuracy:.3f}" for row in sizes.itertuples())
    return Judgement(bool((sizes["accuracy"].diff().iloc[1:] > 0).all()), told, rows)


def order_at_equal_size(runs: pd.DataFrame) -> Judgement:
    """On as many measures of each set, pop is the most and makam the least accurate. The smallest set is whole."""
    rows = _at_recommended(runs, tuple(NAMED_SETS))
    asked = sorted(rows["training_measures"].dropna().unique())
    for most in asked:
        is_small = rows["whole"] & (rows["training_rows_untransposed"] <= most)
        equal = rows[is_small | (rows["training_measures"] == most)]
        if set(equal["data"]) == set(NAMED_SETS):
            sets = _over_sizes(equal, ["data"], ["accuracy", "val_loss"])
            holds = sets["accuracy"].idxmax() == POP and sets["accuracy"].idxmin() == MAKAM
            return Judgement(holds, f"{most:.0f} measures: {_in_order(sets)}", equal)
    raise Missing(f"no number of measures with runs of each of {', '.join(NAMED_SETS)} at z {RECOMMENDED[0]}")


# Choosing rows, and telling numbers of them


def _whole(runs: pd.DataFrame, **wanted: str | Collection[str] | Collection[int]) -> pd.DataFrame:
    """Rows on all training tunes whose columns have the wanted value, or one of the values."""
    return _where(runs[runs["whole"]], **wanted)


def _where(runs: pd.DataFrame, **wanted: str | Collection[str] | Collection[int]) -> pd.DataFrame:
    for column, value in wanted.items():
        runs = runs[runs[column].isin([value] if isinstance(value, str) else list(value))]
    return runs


def _at_recommended(runs: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Rows on part or all of the training tunes of the sets `names`."""
    return _where(runs[runs["transposed"]], model=MEASURE, controls=FOUR, latent=RECOMMENDED[:1], data=names)


def _of_both_models(runs: pd.DataFrame, sizes: Sequence[int], *, others: bool = False) -> pd.DataFrame:
    """Rows of both models at `sizes`; at all sizes that both have where these are none, or with `others`."""
    rows = _whole(runs, data=IRISH, controls=FOUR, model=(MEASURE, ADVERSARIAL))
    both = _common(rows, "model", (MEASURE, ADVERSARIAL))
    _require(both, sizes, "both models at")
    return rows[rows["latent"].isin(both if others or not sizes else sizes)]


def _common(rows: pd.DataFrame, column: str, wanted: Collection[str | bool]) -> list[int]:
    """The sizes of z that there are for each of the `wanted` values of a column; at least one."""
    found = set.intersection(*(set(rows.loc[rows[column] == value, "latent"]) for value in wanted))
    if not found:
        raise Missing(f"no size of z with runs of {column} {' and '.join(map(str, wanted))}")
    return sorted(found)


def _require(there: Collection[object], wanted: Collection[object], what: str) -> None:
    absent = [str(value) for value in wanted if value not in set(there)]
    if absent:
        raise Missing(f"no runs of {what} {', '.join(absent)}")


def _are_around(there: pd.Series, sizes: Sequence[int]) -> bool:
    """Whether all `sizes` of z are there, and a smaller and a larger one."""
    return set(sizes) <= set(there) and there.min() < min(sizes) and there.max() > max(sizes)


def _over_sizes(rows: pd.DataFrame, by: list[str], columns: list[str]) -> pd.DataFrame:
    """Means over sizes of the means over seeds, so that each size counts alike."""
    return rows.groupby([*by, "latent"])[columns].mean().groupby(by).mean()


def _told(values: pd.Series) -> str:
    ends = f" ({values.min():.3f} to {values.max():.3f})" if len(values) > 1 else ""
    return f"{values.mean():.3f}{ends}"


def _listed(groups: Mapping[str, pd.Series]) -> str:
    return ", ".join(f"{name} {_told(values)}" for name, values in groups.items())
