"""How far sources that label the same files agree: how noisy labels are, as a number."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from evaluation.tables import LABEL, Column

COLUMNS = (
    Column("one", "one source", LABEL),
    Column("other", "another", LABEL),
    Column("files", "files"),
    Column("agreement", "agree"),
    Column("kappa", "Cohen's kappa"),
)


def agreement_of_pairs(genres: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """A row for each two columns of `genres` (files in rows, "" where a source says nothing) that share a file.

    Share of the common files with the same genre, Cohen's kappa (not a number where both know one genre alone), and of
    the files to which either gives a genre the share to which both do.
    """
    rows = []
    for one, other in combinations(genres.columns, 2):
        both = genres[(genres[one] != "") & (genres[other] != "")]
        if len(both):
            rows.append({"one": one, "other": other, **agreement(both[one], both[other], classes)})
    columns = ["one", "other", "files", "agreement", "kappa", *classes]
    return pd.DataFrame(rows, columns=columns)


def agreement(one: Sequence[str], other: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Of two labellings of the same files: how many, share alike, kappa, and for each class that of either's files."""
    one, other = np.array(one, object), np.array(other, object)
    same = one == other
    distinct = set(one) | set(other)
    kappa = cohen_kappa_score(one, other) if len(distinct) > 1 else float("nan")
    of_class = {}
    for name in classes:
        either = (one == name) | (other == name)
        of_class[name] = float(same[either].mean()) if either.any() else float("nan")
    return {"files": len(one), "agreement": float(same.mean()), "kappa": float(kappa), **of_class}
