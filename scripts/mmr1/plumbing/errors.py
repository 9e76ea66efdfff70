"""A person's mistake is one line on stderr and exit code 2; anything else is a bug and keeps its traceback."""

import os
import sys
import traceback
from collections.abc import Callable


class UserError(Exception):
    """A mistake that the user can fix.

    The message is one line that names the file, the row and the field where there are any, what was expected and
    what was found. Programs end with exit code 2 on it.
    """


class SharedError(UserError):
    """One that all ranks of a job raise together: the first one says it for all."""


def run(main: Callable[[], None]) -> None:
    """Call a program's `main` and turn a `UserError`, or a full disk, into one line on stderr and exit code 2.

    Secrets reach neither the line nor a traceback.
    """
    from mmr1.plumbing.disk import explained  # these two raise errors of this module
    from mmr1.plumbing.secrets import blotted

    try:
        main()
    except Exception as error:
        told = explained(error, [])
        if not isinstance(told, UserError):
            sys.stderr.write(blotted(traceback.format_exc()))
            sys.exit(1)
        if isinstance(told, SharedError) and int(os.environ.get("RANK", 0)):
            sys.exit(2)
        print(f"{sys.argv[0].rsplit('/', 1)[-1]}: error: {blotted(' '.join(str(told).split()))}", file=sys.stderr)
        sys.exit(2)
