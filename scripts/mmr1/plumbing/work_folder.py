"""The folder, or the file, in which a program keeps what it goes on from after a kill: for one program at a time."""

import errno
import fcntl
import os
import socket
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from mmr1.plumbing.errors import UserError
from mmr1.plumbing.files import remove_leftovers
from mmr1.plumbing.progress import log
from mmr1.plumbing.states import remove


class WorkFolder:
    """A work folder, and the file beside it that says who holds it: `.NAME.lock`.

    The lock is the operating system's and ends with the process, however it ends. It is of the POSIX kind, which a
    program on another node sees over NFS, and which no child process keeps when this one is killed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.lock = folder.with_name(f".{folder.name}.lock")
        self._held: int | None = None  # a descriptor, which stays open when this object is forgotten

    def hold(self, apart_from: Iterable[Path | Sequence[Path] | None] = ()) -> None:
        """Keep other programs out of the folder until this one ends.

        Raises UserError, saying who, if one is in it already; and if it holds one of the paths `apart_from`, which are
        to outlive it.
        """
        own = self.folder.resolve()
        for paths in apart_from:
            for path in [paths] if isinstance(paths, Path) else paths or ():
                if path.resolve().is_relative_to(own):
                    raise UserError(f"--work {self.folder}: expected a folder of its own, found {path} in it")
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        while self._held is None:
            file = os.open(self.lock, os.O_RDWR | os.O_CREAT, 0o666)
            if not self._locked(file) or self._is_current(file):
                self._held = file
            else:  # its holder removed it between the two
                os.close(file)
        for leftover in remove_leftovers(self.folder):
            log(f"warning: {leftover}: left by a removal that was cut off; removed")
        holder = f"process {os.getpid()} on {socket.gethostname()} since {datetime.now(UTC):%F %T} UTC\n"
        os.ftruncate(self._held, 0)
        os.pwrite(self._held, holder.encode(), 0)

    def let_go(self) -> None:
        """Let other programs in."""
        if self._held is not None:
            self.lock.unlink(missing_ok=True)
            os.close(self._held)
            self._held = None

    def remove(self) -> None:
        """Remove the folder, and let go of it: what cannot be removed is named, for the work is done."""
        if self.folder.exists():
            try:
                remove(self.folder)
            except UserError as error:
                log(f"warning: {error}")
        self.let_go()

    def leave(self) -> None:
        """Let go of the folder if nothing was saved in it: a program that ends early leaves nothing behind."""
        if not self.folder.exists():
            self.let_go()

    def _locked(self, file: int) -> bool:
        """Lock the file; false where the file system has no locks. Raises UserError if another process has done so."""
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                log(f"warning: {self.lock}: {error.strerror}; a second program in {self.folder} would not be noticed")
                return False
            holder = os.pread(file, 1000, 0).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise UserError(f"{self.folder}: expected no other program there, found {holder}") from None
        return True

    def _is_current(self, file: int) -> bool:
        try:
            return os.path.samestat(os.fstat(file), self.lock.stat())
        except FileNotFoundError:
            return False
