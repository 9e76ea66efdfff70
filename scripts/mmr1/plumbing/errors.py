"""A person's mistake is one line on stderr and exit code 2; anything else is a bug and keeps its traceback."""

import sys
from collections.abc import Callable


class UserError(Exception):
    """A mistake that the user can fix.

    The message is one line that names the file, the row and the field where there are any, what was expected and
    what was found. Programs end with exit code 2 on it.
    """


def run(main: Callable[[], None]) -> None:
    """Call a program's `main` and turn a `UserError` into one line on stderr and exit code 2."""
    try:
        main()
    except UserError as error:
        print(f"{sys.argv[0].rsplit('/', 1)[-1]}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
