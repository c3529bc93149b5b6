"""The table of programs.damage: distances of damaged real clips to other real clips."""

from evaluation.tables import LABEL, Column, ResultTable

DAMAGE_TABLE = ResultTable(
    "fad_sanity.csv",
    "-m programs.damage",
    (
        Column("T", "T", LABEL),
        Column("damage", "damage", LABEL),
        Column("n", "clips"),
        Column("n_empty", "empty"),
        Column("FAD", "FAD"),
        Column("FAD_over_floor", "FAD / floor"),
        Column("KAD", "KAD"),
    ),
)
