"""The row of a trained model: reconstruction, latent space, controls and efficiency, on the test tunes of its data."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from common.files import hash_of_file
from common.options import as_plain
from common.randomness import rng_at
from explainable.attributes import ATTRIBUTES, attributes
from explainable.measures import MeasureSet, SplitRows
from explainable.metrics.correlation import spearman
from explainable.metrics.disentanglement import latent_metrics
from explainable.metrics.independence import output_independence, sweep_correlations
from explainable.metrics.reconstruction import reconstruction_efficiency, reconstruction_scores
from explainable.options import TRAININGS, RunMetricsOptions
from explainable.stages import STAGES
from explainable.trained import TrainedVAE
from models.weight_files import STUDY

SWEEP_VALUES = 11
# Options that describe every training, and those with their own columns.
_MAIN_OPTIONS = ("hidden", "epochs", "batch_size", "learning_rate")
_OF_THE_RUN = frozenset(("latent", "attributes", "seed", "training_measures", "transposed"))


def measure_run(trained: TrainedVAE, measures: MeasureSet, options: RunMetricsOptions) -> dict[str, Any]:
    """The row of a run: training facts, then metrics of reconstruction, latent space, controls and efficiency.

    Raises `CheckpointError` if it was trained on other data.
    """
    trained.require_data(measures)
    test, form = measures.split("test"), trained.form
    posterior = trained.encode(test.tokens)
    noise = torch.randn(posterior.mean.shape, generator=rng_at("evaluation", options.seed))
    z, own = posterior.sample(noise), test.attributes[:, trained.columns]
    tokens = {"hold": form.hold, "rest": form.rest, "pad": form.padding}
    scores = reconstruction_scores(trained.decode(z, own), test.tokens, **tokens)
    of_mean = reconstruction_scores(trained.decode(posterior.mean, own), test.tokens, **tokens)
    in_z = trained.attributes if trained.in_latent else []
    designated = [in_z.index(name) if name in in_z else None for name in ATTRIBUTES]
    latent = z.shape[1]
    return {
        "run": trained.run,
        "data": measures.name,
        "model": trained.model.network,
        "latent": latent,
        "attributes": ",".join(trained.attributes),
        "controls_in_z": trained.in_latent,
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "rows": len(test),
        **training_facts(trained, measures),
        **scores,
        **{f"{name}_of_mean": value for name, value in of_mean.items() if name.startswith("accuracy")},
        **latent_metrics(z.numpy(), test.attributes, ATTRIBUTES, designated, seed=options.seed),
        **controls(trained, measures, test, z, options),
        **reconstruction_efficiency(_log(trained, options), latent, measures.hold_share("val")),
        "measures_content": measures.content_hash,
        "checkpoint_sha256": hash_of_file(trained.path),
        "sweep_measures": options.sweep_measures,
        "seed": options.seed,
    }


def training_facts(trained: TrainedVAE, measures: MeasureSet) -> dict[str, Any]:
    """How a model was trained: options, numbers of rows, validation, and the attributes of the training tunes.

    val_NAME: a part of the validation loss. data_mean_NAME, data_variance_NAME: of an attribute.
    """
    facts, options = trained.facts, trained.facts["options"]
    row = {"training_seed": options["seed"], "epoch": facts["epoch"], "hidden": options["hidden"]}
    row["trained_with"] = describe_options(trained.model.network, options)
    row |= {name: facts[name] for name in ("training_rows", "training_rows_untransposed")}
    row |= {name: options[name] for name in ("training_measures", "transposed")} | facts["metrics"]
    training = measures.split("train", transposed=False).attributes
    for name, values in zip(ATTRIBUTES, training.T, strict=True):
        row |= {f"data_mean_{name}": float(values.mean()), f"data_variance_{name}": float(values.var())}
    return row


def describe_options(network: str, options: Mapping[str, Any]) -> str:
    """The options of a training as text: the main ones, and others that differ from the published recipe."""
    kind, stage = TRAININGS[network], STAGES[network]
    usual, passed = as_plain(kind()), {*_MAIN_OPTIONS, *_OF_THE_RUN, *stage.free_options}
    shown = [name for name, value in options.items() if name not in passed and value != usual.get(name)]

    def in_words(name: str, value: Any) -> str:
        if value is None or isinstance(value, bool):
            return name if value else f"no {name}"
        return f"{name} {value}"

    return ", ".join(in_words(name.replace("_", " "), options[name]) for name in (*_MAIN_OPTIONS, *shown))


def controls(
    trained: TrainedVAE, measures: MeasureSet, test: SplitRows, z: torch.Tensor, options: RunMetricsOptions
) -> dict[str, float]:
    """How much more each control moves its own attribute than the others in decoded measures.

    A control moves over its range (`TrainedVAE.control_range`), mean plus or minus 3 standard deviations.
    """
    chosen = np.sort(np.random.default_rng(options.seed).permutation(len(test))[: options.sweep_measures])
    latents, own = z[torch.from_numpy(chosen)], test.attributes[chosen][:, trained.columns]
    training = measures.split("train", transposed=False).attributes[:, trained.columns]
    values, decoded = [], []
    for k in range(len(trained.attributes)):
        values.append(np.linspace(*trained.control_range(k, z, training), SWEEP_VALUES))
        rows = [trained.decode(*trained.set_control(latents, own, k, value)) for value in values[-1]]
        decoded.append([attributes(tokens, trained.form) for tokens in rows])
    correlations = sweep_correlations(np.array(values), np.array(decoded))
    ours = output_independence(correlations, trained.columns)
    data = output_independence(spearman(test.attributes, test.attributes)[trained.columns], trained.columns)
    row = {"output_independence": float(ours.mean()), "data_output_independence": float(data.mean())}
    return row | {f"output_independence_{name}": float(v) for name, v in zip(trained.attributes, ours, strict=True)}


def _log(trained: TrainedVAE, options: RunMetricsOptions) -> pd.DataFrame:
    """Training steps, seconds and free-running accuracy at each validation; no rows without a log."""
    path = options.runs / STUDY / options.data.name / trained.path.parent.name / "epochs.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    epochs = [json.loads(line) for line in lines]
    batch = trained.facts["options"]["batch_size"]
    return pd.DataFrame(
        {
            "step": np.cumsum([-(-epoch["examples"] // batch) for epoch in epochs]),
            "seconds": np.cumsum([epoch["seconds"] for epoch in epochs]),
            "accuracy": [epoch["val"]["val_accuracy"] for epoch in epochs],
        }
    )
