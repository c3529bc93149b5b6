"""Does generated music obey the genre asked for? A genre classifier's answers on real and on generated clips.

A clip in which nothing sounds has no genre: its answer is silence, which is never right, and its probabilities are
those of a guess, 1 / n_genres each.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from evaluation.measures.genre_classifier import GenreClassifier, TrainedClassifier
from evaluation.samples.clips import ClipSource
from evaluation.tables import ALL_ID, ALL_NAME, Row

SILENCE = "silence"
_BATCH = 512


class Answers(NamedTuple):
    """Of n clips of one genre: float64 (n, n_genres) and int64 (n,), n_genres where nothing sounds."""

    probability: Tensor
    predicted: Tensor

    def shares(self) -> Tensor:
        """Share of each answer, silence last, float64 (n_genres + 1,)."""
        count = torch.bincount(self.predicted, minlength=self.probability.shape[1] + 1)
        return count.double() / len(self.predicted)


@torch.no_grad()
def classify(model: GenreClassifier, batches: Iterable[np.ndarray]) -> Answers:
    """What the classifier says to clips of one genre, bool (B, 128, T) a batch."""
    probabilities, predictions = [], []
    for rolls in batches:
        probability = model(torch.from_numpy(rolls).float()).double().softmax(1)
        predicted = probability.argmax(1)
        silent = torch.from_numpy(~rolls.any(axis=(1, 2)))
        n_genres = probability.shape[1]
        probability[silent], predicted[silent] = 1 / n_genres, n_genres
        probabilities.append(probability)
        predictions.append(predicted)
    return Answers(torch.cat(probabilities), torch.cat(predictions))


def inception_score(probability: Tensor) -> float:
    """exp E KL(p(y|x) || p(y)) of p(y|x) (n, n_genres), p(y) being its mean (Salimans et al. 2016).

    Between 1 (the answers do not depend on the clip) and n_genres (sure answers, all as frequent).
    """
    marginal = probability.mean(0)
    divergence = torch.xlogy(probability, probability) - torch.xlogy(probability, marginal)
    return float(divergence.sum(1).mean().exp())


def measure_genres(
    source: ClipSource, classifier: TrainedClassifier, clips: int, *, progress: bool = True
) -> list[Row]:
    """One row for each genre that the real clips have and one for all, over all real clips and `clips` generated ones.

    accuracy_*: share of a genre's clips that are told right; for all, the mean over genres. accuracy_sounding: of the
    generated clips in which something sounds; None where a genre has none. real_as_*, generated_as_*: the confusion
    table, what share of the genre's clips is told to be what; for all, the mean over genres. windows_*: every window
    counting alike, beside the answer that is always the commonest genre of the real clips. inception_*: of all genres,
    with the same number `n_inception` of each.
    """
    orders = {genre_id: source.real_order(genre_id) for genre_id in range(len(source.genres))}
    orders = {genre_id: order for genre_id, order in orders.items() if len(order)}
    bar = tqdm(orders, f"T={source.seq_len} clips", unit=" genres", disable=not progress)
    real, generated = {}, {}
    for genre_id in bar:
        real[genre_id] = classify(classifier.model, map(source.real, orders[genre_id].split(_BATCH)))
        parts = ((first, min(_BATCH, clips - first)) for first in range(0, clips, _BATCH))
        made = (source.generated(genre_id, first, count) for first, count in parts)
        generated[genre_id] = classify(classifier.model, made)
    commonest = max(orders, key=lambda genre_id: len(orders[genre_id]))
    facts = {**classifier.facts, **source.facts}
    rows = [
        {"genre_id": genre_id, "genre_name": source.genres[genre_id]}
        | _row({genre_id: real[genre_id]}, {genre_id: generated[genre_id]}, source.genres, commonest)
        | {"inception_real": None, "inception_generated": None, "n_inception": None}
        for genre_id in orders
    ]
    every = _row(real, generated, source.genres, commonest) | _inception(real, generated)
    rows.append({"genre_id": ALL_ID, "genre_name": ALL_NAME, **every})
    return [row | {"chance": 1 / len(orders)} | facts for row in rows]


def _row(real: dict[int, Answers], generated: dict[int, Answers], genres: list[str], commonest: int) -> Row:
    """The row of one or more genres, by their answers."""
    n_real = sum(len(answers.predicted) for answers in real.values())
    right = sum(int((answers.predicted == genre_id).sum()) for genre_id, answers in real.items())
    answers = [*genres, SILENCE]
    return {
        "accuracy_real": _accuracy(real),
        "accuracy_generated": _accuracy(generated),
        "accuracy_sounding": _accuracy_sounding(generated),
        "n_real": n_real,
        "n_generated": sum(len(answers.predicted) for answers in generated.values()),
        "n_empty_real": _count_silent(real),
        "n_empty": _count_silent(generated),
        "windows_accuracy_real": right / n_real,
        "windows_majority": len(real[commonest].predicted) / n_real if commonest in real else 0.0,
        **{f"real_as_{name}": share for name, share in zip(answers, _shares(real), strict=True)},
        **{f"generated_as_{name}": share for name, share in zip(answers, _shares(generated), strict=True)},
    }


def _accuracy(by_genre: dict[int, Answers]) -> float:
    return sum(float(answers.shares()[genre_id]) for genre_id, answers in by_genre.items()) / len(by_genre)


def _accuracy_sounding(by_genre: dict[int, Answers]) -> float | None:
    shares = [(genre_id, answers.shares()) for genre_id, answers in by_genre.items()]
    if any(share[-1] == 1 for _, share in shares):
        return None
    return sum(float(share[genre_id] / (1 - share[-1])) for genre_id, share in shares) / len(shares)


def _shares(by_genre: dict[int, Answers]) -> list[float]:
    return torch.stack([answers.shares() for answers in by_genre.values()]).mean(0).tolist()


def _count_silent(by_genre: dict[int, Answers]) -> int:
    return sum(int((answers.predicted == answers.probability.shape[1]).sum()) for answers in by_genre.values())


def _inception(real: dict[int, Answers], generated: dict[int, Answers]) -> Row:
    n = min(len(answers.predicted) for answers in [*real.values(), *generated.values()])
    scores = (
        inception_score(torch.cat([answers.probability[:n] for answers in by_genre.values()]))
        for by_genre in (real, generated)
    )
    return {**dict(zip(("inception_real", "inception_generated"), scores, strict=True)), "n_inception": n}
