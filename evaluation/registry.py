"""All evaluations of trained weights, in the order in which `evaluate.py` runs them."""

from dataclasses import dataclass

from evaluation.metrics.damage import DAMAGE_TABLE
from evaluation.metrics.elbo import ELBO_TABLE, LATENTS_TABLE
from evaluation.metrics.fad import FAD_TABLE
from evaluation.metrics.genre_accuracy import GENRE_TABLE
from evaluation.metrics.music import MUSIC_TABLE
from evaluation.metrics.reconstruction import MSE_LEAKING_TABLE, MSE_TABLE
from evaluation.metrics.restyling import RESTYLING_TABLE
from evaluation.samples.latent_views import LATENT_TABLE
from evaluation.tables import ResultTable

_MUSIC = ("store", "metrics")
_WEIGHTS = ("store", "checkpoints", "metrics")
_PLAYING = ("sources", "latents", "temperature")
_SOUND = ("embedders", "ast_dir", "synth", "clips", "cache")
_CLASSIFIER = ("classifier_steps", "cache")


@dataclass(frozen=True)
class Evaluation:
    """A program with its arguments, the options of `evaluate.py` that it takes, and the tables that it writes."""

    program: str
    options: tuple[str, ...]
    tables: tuple[ResultTable, ...] = ()


def _of(*tables: ResultTable, options: tuple[str, ...]) -> Evaluation:
    return Evaluation(tables[0].program, options, tables)


EVALUATIONS = (
    _of(FAD_TABLE, options=(*_WEIGHTS, "seq_lens", *_PLAYING, *_SOUND, "generation_seeds")),
    _of(GENRE_TABLE, options=(*_WEIGHTS, "seq_lens", *_PLAYING, *_CLASSIFIER)),
    _of(ELBO_TABLE, LATENTS_TABLE, options=(*_WEIGHTS, "seq_lens")),
    _of(DAMAGE_TABLE, options=(*_MUSIC, "seq_lens", *_SOUND)),
    _of(MSE_TABLE, options=(*_WEIGHTS, "seq_lens", "temperature")),
    _of(MSE_LEAKING_TABLE, options=(*_WEIGHTS, "leaking_seq_lens")),
    _of(MUSIC_TABLE, options=(*_WEIGHTS, "seq_lens", *_PLAYING)),
    _of(RESTYLING_TABLE, options=(*_WEIGHTS, "seq_lens", "temperature", *_CLASSIFIER)),
    _of(LATENT_TABLE, options=(*_WEIGHTS, "first_seq_len", "latent_windows")),
    Evaluation("report.py", (*_WEIGHTS, "seq_lens", *_PLAYING, "runs", "synth")),
)
