"""Form of generated pieces of several minutes, minute by minute, beside real songs that are at least as long.

    python -m programs.form --store store --checkpoints released/large --source cvae --temperature .8
    python -m programs.form --embedders MTT_musicnn --split val --minutes 3 --pieces 12

Of several T the longest that has weights plays. Onsets a second, silence, keys at once and pitch classes of each
minute; FAD of its windows of 8 s against those of the same minute of real songs; and how alike the windows of a piece
are, with windows of different pieces as a baseline.

Writes metrics/form.csv, a row for each genre and minute, genre_id -1 for all.
"""

from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import parse_options
from common.torchrun import run_divided
from evaluation.options import FormOptions
from models.errors import CheckpointError

if TYPE_CHECKING:
    import pandas as pd

    from evaluation.samples.clips import ClipSource

LEGEND = """\
T = {T}, {checkpoint}, {split} split. all: means over genres; FAD of the windows of all genres. floor: real songs
against others. self-similarity: mean cosine of pitch classes by quarter second, of two windows of one piece; shuffled:
of two pieces of the genre."""


def eval_form(options: FormOptions) -> "pd.DataFrame":
    """Measure, print and write the table; returns it, empty if no song is long enough or no source plays pieces.

    Raises `UserError` or `CheckpointError`.
    """
    import pandas as pd

    from data.store import RollStore
    from evaluation.metrics.form import FORM_TABLE, long_songs, measure_form
    from evaluation.samples.clip_embeddings import open_clip_embedder
    from evaluation.samples.clips import open_clip_sources, sources_of_pieces
    from evaluation.tables import format_table, run_table

    store = RollStore.open(options.store)
    songs = long_songs(store, options)
    short = [name for genre_id, name in enumerate(store.genres) if not songs.order(genre_id)]
    if short:
        print(f"{store.folder}: no {options.split} song of {options.minutes} minutes: {', '.join(short)}")
    if len(short) == len(store.genres):
        return pd.DataFrame()
    sources = sources_of_pieces(open_clip_sources(options))
    if not sources:
        print("latents of the encoder are of single windows and play no pieces; take --latents prior")
        return pd.DataFrame()
    embedder = open_clip_embedder(options, store.frames_per_second)

    def measure(source: "ClipSource") -> "pd.DataFrame":
        return measure_form(source, songs, options, embedder)

    def show(rows: "pd.DataFrame") -> list[str]:
        tables = [f"\n{name}\n{format_table(part, FORM_TABLE.columns)}" for name, part in rows.groupby("embedder")]
        return [*tables, LEGEND.format(**rows.iloc[0])]

    return run_table(FORM_TABLE, sources, measure, options.metrics, options.seq_lens, show)


if __name__ == "__main__":
    run_command(lambda: run_divided(lambda: eval_form(parse_options(FormOptions, __doc__))), CheckpointError)
