"""Serve a local web page: generate music, change MIDI files, score them, and play with attributes of melodies.

    python app.py                                                   # http://127.0.0.1:7860
    python app.py --port 8000 --checkpoints checkpoints/large

The page listens on this computer only, and fetches nothing. It needs Gradio: pip install -r requirements-app.txt.
A page of equal settings gives the same files as generate.py, score.py and programs.study_generate, and shows the
command. docs/app.md describes the tabs.
"""

import os
from importlib.util import find_spec
from tempfile import TemporaryDirectory

from common.errors import UserError, run_command
from common.options import parse_options
from models.errors import CheckpointError
from playground.options import Options

HOST = "127.0.0.1"


def serve(options: Options) -> None:
    """Serve the page until Ctrl-C. Raises `UserError` or `CheckpointError` for unusable options or weights."""
    if find_spec("gradio") is None:
        raise UserError("the page needs Gradio; install it with: pip install -r requirements-app.txt")
    with TemporaryDirectory() as folder:
        # Read when they are imported. The folder has uploads, and the files that the page offers.
        os.environ |= {"GRADIO_TEMP_DIR": folder, "GRADIO_ANALYTICS_ENABLED": "False", "TQDM_DISABLE": "1"}
        from data.smf import MAX_BYTES
        from playground.page import CSS, THEME, build_page
        from playground.studio import Studio

        studio = Studio(options)
        studio.warm()
        page = build_page(studio)
        try:
            page.launch(
                server_name=HOST, server_port=options.port, share=False, ssr_mode=False, mcp_server=False, pwa=False,
                enable_monitoring=False, quiet=True, prevent_thread_lock=True, theme=THEME, css=CSS, footer_links=[],
                max_file_size=MAX_BYTES,
            )  # fmt: skip
        except OSError as error:
            raise UserError(f"{HOST}:{options.port} is in use; name another --port") from error
        print(f"http://{HOST}:{options.port} (Ctrl-C ends it)", flush=True)
        page.block_thread()


if __name__ == "__main__":
    run_command(lambda: serve(parse_options(Options, __doc__)), CheckpointError)
