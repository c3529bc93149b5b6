"""The tables and pictures that `programs.study_evaluate` and `programs.study_compare` write, and their columns."""

from evaluation.tables import BASELINE, LABEL, Column, ResultTable

_COMPARE = "-m programs.study_compare"


def _with_range(name: str, heading: str) -> tuple[Column, ...]:
    """A mean over seeds with its lowest and highest value."""
    return Column(name, heading), Column(f"{name}_lowest", "lowest"), Column(f"{name}_highest", "highest")


_SETTING = (
    Column("data", "data", LABEL),
    Column("model", "model", LABEL),
    Column("controls", "controls", LABEL),
    Column("latent", "z", alone=True),
)
_ACCURACY = (*_with_range("accuracy", "accuracy"), Column("floor", "always hold", BASELINE))
_TRAININGS = (Column("trainings", "trainings"), Column("trained_with", "trained with", LABEL))

RUNS_TABLE = ResultTable(
    "explainable.csv",
    "-m programs.study_evaluate",
    (
        Column("run", "run", LABEL),
        Column("data", "data", LABEL),
        Column("latent", "z", alone=True),
        Column("accuracy", "accuracy"),
        Column("floor", "always hold", BASELINE),
        Column("accuracy_onsets", "onsets"),
        Column("accuracy_measures", "measures"),
        Column("interpretability", "interpretability"),
        Column("latent_independence_nonlinear", "not elsewhere in z"),
        Column("data_independence_nonlinear", "in the data", BASELINE),
        Column("free_independence_nonlinear", "not outside all controls"),
        Column("output_independence", "independence of controls"),
        Column("data_output_independence", "in the data", BASELINE),
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
        Column("output_independence", "independence of controls"),
        Column("data_output_independence", "in the data", BASELINE),
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
        Column("training_rows_untransposed", "training rows"),
        Column("training_rows", "with transpositions"),
        Column("transposed", "transposed", LABEL),
        *_ACCURACY,
        *_with_range("control_interpretability", "interpretability"),
        *_TRAININGS,
    ),
)
ACCURACY_PLOT = "explainable_accuracy.png"
INTERPRETABILITY_PLOT = "explainable_interpretability.png"
INDEPENDENCE_PLOT = "explainable_independence.png"
