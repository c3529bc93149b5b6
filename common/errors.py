"""How a command ends when something the user gave is wrong: one line, exit code 2, no traceback."""

import os
import sys
from collections.abc import Callable


class UserError(Exception):
    """Something the user can mend. The message is one sentence that names the file or option and the remedy."""


def run_command(main: Callable[[], object], *also: type[Exception]) -> None:
    """Call `main`; a `UserError`, one of `also` or a file that cannot be used becomes one line and exit code 2.

    Ctrl-C ends with exit code 130.
    """
    try:
        main()
    except BrokenPipeError:  # whoever read the output, as in `| head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except (UserError, *also) as error:
        message = str(error)
    except OSError as error:
        if not error.filename:
            raise
        message = f"{error.filename}: {error.strerror}; name another place, or mend this one"
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    else:
        return
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
