"""The study of explainable latent spaces on the page: its plots, the means over seeds, and each run."""

from explainable.result_tables import (
    ACCURACY_PLOT,
    BY_ATTRIBUTE_TABLE,
    BY_SIZE_TABLE,
    BY_TRAINING_SET_TABLE,
    INDEPENDENCE_PLOT,
    INTERPRETABILITY_PLOT,
    RUNS_TABLE,
)
from page.result_folder import AbsentFile, Part, ResultFolder
from page.tables import show_table

PICTURES = {
    ACCURACY_PLOT: "Accuracy against the size of z, by data set, for each model and number of controls",
    INTERPRETABILITY_PLOT: "Interpretability of each attribute against the size of z, by data set",
    INDEPENDENCE_PLOT: "Three kinds of independence of each attribute against the size of z, by data set",
}
CAPTIONS = {
    "By size of z": BY_SIZE_TABLE,
    "By attribute. AttributeVAE's controls are given, so its interpretability only shows how linear they are":
        BY_ATTRIBUTE_TABLE,
    "By training set": BY_TRAINING_SET_TABLE,
    "Runs": RUNS_TABLE,
}  # fmt: skip


def explainable_parts(folder: ResultFolder) -> list[Part]:
    """Return the plots and tables of the comparison that exist, or the missing table of runs.

    Raises `UserError` if a table lacks a column.
    """
    metrics, command = folder.options.metrics, folder.command(BY_SIZE_TABLE.program, "metrics", "runs")
    if not RUNS_TABLE.path(metrics).exists():
        return [AbsentFile(RUNS_TABLE.file, command)]
    pictures = [
        folder.picture(name, f"Line plots. {about}. The tables below hold the numbers.", command)
        for name, about in PICTURES.items()
        if (metrics / name).exists()
    ]
    tables = [
        show_table(caption, table.file, frame, table.columns)
        for caption, table in CAPTIONS.items()
        if (frame := table.read(metrics)) is not None
    ]
    return [*pictures, *tables]
