"""One process at a time writes into a folder of runs: a lock that the system drops when its process ends."""

from __future__ import annotations

import errno
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import BaseFileLock, FileLock, SoftFileLock, Timeout

from classicnets.errors import UsageError
from classicnets.files import cannot_write
from classicnets.text import _, command

NAME = ".lock"

# what file systems answer that have no locks
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL}


class FolderLock:
    """The right to write into a run folder, or into a folder of several runs.

    It is a lock of the operating system on the file `.lock`, so it ends with its process, however that ends. The file
    says who holds it. On a file system without locks, the existence of the file is the lock, and the file of a process
    of this machine that has ended does not count.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._lock: BaseFileLock = FileLock(self.path, thread_local=False)

    def acquire(self) -> None:
        """Take the lock; does nothing if it is taken already.

        Raises:
            UsageError: CN211, another process, or another session of this one, holds it.
            MachineError: CN401, the file cannot be written.
        """
        if self._lock.is_locked:
            return
        try:
            self._take()
        except Timeout:
            raise self._in_use() from None
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def release(self) -> None:
        """Give the lock back, and remove its file; does nothing if it is not taken."""
        if self._lock.is_locked:
            with suppress(OSError):  # Windows keeps a file that is open
                self.path.unlink()
            self._lock.release()

    @contextmanager
    def kept(self) -> Iterator[None]:
        """Take the lock for the block and for what follows; if the block fails, give it back. Raises as `acquire`."""
        self.acquire()
        try:
            yield
        except BaseException:
            self.release()
            raise

    def _take(self) -> None:
        try:
            with warnings.catch_warnings(action="ignore"):  # that it falls back to the existence of the file
                self._lock.acquire(timeout=0)
        except OSError as error:
            if isinstance(error, Timeout) or error.errno not in _NO_LOCKS:
                raise
            if self.path.stat().st_size == 0:  # what the attempt has left, not the file of another process
                self.path.unlink()
            self._lock = SoftFileLock(self.path, thread_local=False)
            self._lock.acquire(timeout=0)
        if not isinstance(self._lock, SoftFileLock):
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            self.path.write_text(f"{os.getpid()}\n{socket.gethostname()}\n{now}\n", encoding="utf-8")

    def _in_use(self) -> UsageError:
        """The error that says who holds the lock, as far as its file does."""
        text = ""
        with suppress(OSError, ValueError):
            text = self.path.read_text(encoding="utf-8")
        pid, host, since = [*text.split()[:3], "", "", ""][:3]
        facts = {"pid": pid, "host": host, "since": since or _("an unknown time")}
        what, here = _("another process is training this run"), host == socket.gethostname()
        why = _("process {pid} on {host} has been writing here since {since}", **facts)
        hint = _("{command}   # only if that process has ended", command=command("rm", self.path))
        if not pid:
            why, hint = _("its file {name} does not say which process that is", name=NAME), _("try again in a minute")
        elif here and pid == str(os.getpid()):
            what = _("another session of this process is training this run")
            hint = _("finish that session, or close its events(), before you resume the run")
        elif here:
            stop = command("kill", "-INT", pid)
            hint = _("{command}   # saves a checkpoint and stops that process", command=stop)
        return UsageError("CN211", what, where=str(self.path.parent), why=why, hint=hint)
