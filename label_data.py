"""Label a folder of MIDI files with genres from catalogues, tags or folder names; writes a CSV for prepare_data.py.

    python label_data.py --midi-dir lmd/clean_midi --msd-h5 lmd_matched_h5 --match-scores match_scores.json
    python label_data.py --midi-dir midi --folders                                      # folders named after genres
    python label_data.py --files clean_midi.txt --midi-genre-map midi_genre_map.json    # a list, without the files
    python label_data.py --midi-dir lmd/clean_midi --metadata metadata.csv --llm gpt-4o-mini    # a model for the others

All sources are local files; only --llm uses a server (any with OpenAI's interface: set OPENAI_BASE_URL and
OPENAI_API_KEY). The first source in --order that gives a file a genre decides. A table of words maps tags to genres:
labelling/genres.toml, or a changed copy of it. Writes labels.csv (path, genre, genre_id, artist, title, source,
confidence, agree, disagree, tags), unlabelled.csv with the reasons, and labels.json with the sources and their
agreement on files that several of them label.
"""

from typing import TYPE_CHECKING

from common.errors import run_command
from common.options import parse_options
from labelling.options import Options

if TYPE_CHECKING:
    import pandas as pd


def label_data(options: Options) -> "pd.DataFrame":
    """Write the labels, print a summary, and return them. Raises `UserError` for unusable files, or without a label."""
    from labelling.all_sources import label_files

    return label_files(options)


def print_plan(options: Options) -> None:
    """Print the requests to a language model, for --dry-run."""
    if options.llm:
        from labelling.all_sources import requests

        print(requests(options))


if __name__ == "__main__":
    run_command(lambda: label_data(parse_options(Options, __doc__, dry_run=print_plan)))
