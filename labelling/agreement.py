"""Agreement of sources that label the same files: a measurement of the noise of labels."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import cohen_kappa_score

from evaluation.tables import LABEL, OURS, columns

COLUMNS = (
    *columns(LABEL, one="one source", other="another"),
    *columns(OURS, files="files", agreement="agree", kappa="Cohen's kappa"),
)


def agreement_of_pairs(genres: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Compare every two columns of `genres` (rows: files; "": no genre) that share a file: one row for each pair."""
    rows = []
    for one, other in combinations(genres.columns, 2):
        both = genres[(genres[one] != "") & (genres[other] != "")]
        if len(both):
            rows.append({"one": one, "other": other, **agreement(both[one], both[other], classes)})
    return pd.DataFrame(rows, columns=["one", "other", "files", "agreement", "kappa", *classes])


def agreement(one: Sequence[str], other: Sequence[str], classes: Sequence[str]) -> dict[str, Any]:
    """Compare two labellings of the same files.

    Returns the number of files, the share with equal genres, Cohen's kappa (NaN if there is only one genre) and, for
    each class, the share of files with that genre in both among those with it in either.
    """
    one, other = np.array(one, object), np.array(other, object)
    same = one == other
    kappa = cohen_kappa_score(one, other) if len(set(one) | set(other)) > 1 else float("nan")
    shares = {}
    for name in classes:
        either = (one == name) | (other == name)
        shares[name] = float(same[either].mean()) if either.any() else float("nan")
    return {"files": len(one), "agreement": float(same.mean()), "kappa": float(kappa), **shares}
