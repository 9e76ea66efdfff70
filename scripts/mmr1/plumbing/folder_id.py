"""Which results folder is which: an id that goes where a folder is moved to, and that no copy of it shares.

Several people show their results in one MLflow, often by one recipe. What a folder has shown there is known by its id.
"""

import getpass
import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import as_text, read_json, temporary_beside

FILE = "id.json"


def folder_id(results: Path) -> str:
    """The id of a results folder, eight hexadecimal digits; it is made where there is none.

    The file says where it lies, as path, host and inode. One that lies elsewhere now was moved, unless the place that
    it names still has it, or cannot be seen from here: then this is a copy, and gets an id of its own. Raises UserError
    for a file that is none.
    """
    file = results / FILE
    known = read_json(file) if file.exists() else None
    if known is None:
        return _made(file, secrets.token_hex(4))
    try:
        name, path, host, inode = str(known["id"]), Path(known["path"]), known["host"], known["inode"]
    except (KeyError, TypeError):
        raise UserError(f"{file}: expected id, path, host and inode; remove it: the results get another id") from None
    here, same_file = results.resolve(), file.stat().st_ino == inode
    if path == here and same_file:
        return name
    before = path / FILE
    is_copy = before.exists() and not before.samefile(file)
    return _made(file, name if not is_copy and (same_file or host == socket.gethostname()) else secrets.token_hex(4))


def _made(file: Path, name: str) -> str:
    """Write the file and return the id that holds: of several that begin at once, the first one's."""
    first = not file.exists()
    with temporary_beside(file) as folder:
        new = folder / FILE
        new.touch()
        place = {"path": str(file.parent.resolve()), "host": socket.gethostname(), "inode": new.stat().st_ino}
        new.write_text(as_text({"id": name, **place, "user": getpass.getuser()}))
        with suppress(FileExistsError):
            os.link(new, file) if first else os.replace(new, file)
    return str(read_json(file)["id"])
