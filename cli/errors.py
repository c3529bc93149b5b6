"""How a command ends when something the user gave is wrong: one line, exit code 2, no traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend. The message is one sentence that names the file or option and the remedy."""


def run_command(main: Callable[[], None], *also: type[Exception]) -> None:
    """Call `main`; a `UserError`, or one of `also`, becomes one line on standard error and exit code 2.

    Ctrl-C ends with exit code 130.
    """
    try:
        main()
    except (UserError, *also) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
