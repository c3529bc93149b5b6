"""The tables and pictures that `programs.study_evaluate` and `programs.study_compare` write, and their columns."""

from evaluation.tables import BASELINE, LABEL, OURS, Column, ResultTable, columns

_COMPARE = "-m programs.study_compare"


def _with_range(name: str, heading: str) -> list[Column]:
    """A mean over seeds with its lowest and highest value."""
    return columns(OURS, **{name: heading, f"{name}_lowest": "lowest", f"{name}_highest": "highest"})


_LATENT = Column("latent", "z", alone=True)
_SETTING = (*columns(LABEL, data="data", model="model", controls="controls"), _LATENT)
_ACCURACY = (*_with_range("accuracy", "accuracy"), Column("floor", "always hold", BASELINE))
_INDEPENDENCE = (
    Column("output_independence", "independence of controls"),
    Column("data_output_independence", "in the data", BASELINE),
)
_TRAININGS = (Column("trainings", "trainings"), Column("trained_with", "trained with", LABEL))

RUNS_TABLE = ResultTable(
    "explainable.csv",
    "-m programs.study_evaluate",
    (
        *columns(LABEL, run="run", data="data"),
        _LATENT,
        Column("accuracy", "accuracy"),
        Column("floor", "always hold", BASELINE),
        *columns(OURS, accuracy_onsets="onsets", accuracy_measures="measures", interpretability="interpretability"),
        Column("latent_independence_nonlinear", "not elsewhere in z"),
        Column("data_independence_nonlinear", "in the data", BASELINE),
        Column("free_independence_nonlinear", "not outside all controls"),
        *_INDEPENDENCE,
    ),
    key=("data", "run"),
)
BY_SIZE_TABLE = ResultTable(
    "explainable_by_size.csv",
    _COMPARE,
    (
        *_SETTING,
        *_ACCURACY,
        *_with_range("control_interpretability", "interpretability"),
        Column("control_leakage", "not elsewhere in z"),
        Column("data_leakage", "in the data", BASELINE),
        Column("control_leakage_beside_controls", "not outside all controls"),
        *_INDEPENDENCE,
        *_TRAININGS,
    ),
)
BY_ATTRIBUTE_TABLE = ResultTable(
    "explainable_by_attribute.csv",
    _COMPARE,
    (
        *_SETTING,
        Column("attribute", "attribute", LABEL),
        *_with_range("interpretability", "interpretability"),
        *_with_range("latent_independence_nonlinear", "not elsewhere in z"),
        Column("data_independence_nonlinear", "in the data", BASELINE),
        *_with_range("free_independence_nonlinear", "not outside all controls"),
        *_with_range("output_independence", "independence of the control"),
    ),
)
BY_TRAINING_SET_TABLE = ResultTable(
    "explainable_by_training_set.csv",
    _COMPARE,
    (
        *_SETTING,
        *columns(OURS, training_rows_untransposed="training rows", training_rows="with transpositions"),
        Column("transposed", "transposed", LABEL),
        *_ACCURACY,
        *_with_range("control_interpretability", "interpretability"),
        *_TRAININGS,
    ),
)
SWEEPS_FILE = "explainable_sweeps.json"  # of programs.study_sweeps
ACCURACY_PLOT = "explainable_accuracy.png"
INTERPRETABILITY_PLOT = "explainable_interpretability.png"
INDEPENDENCE_PLOT = "explainable_independence.png"
