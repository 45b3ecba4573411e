"""Data directories that live no longer than their process: made, found again and swept.

A process that is killed cannot clean up after itself, so the next one does. It must never touch
a folder that a living process holds, or one that another user made.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from payment_server.store.embedded.data_directory import DataDirectory
from payment_server.store.embedded.errors import DataDirectoryInUse

_PREFIX: Final = "payment-ephemeral-"


def new_ephemeral() -> DataDirectory:
    """A name of its own among the temporary files; nothing is made yet."""
    return DataDirectory(_root() / f"{_PREFIX}{os.geteuid()}-{secrets.token_hex(4)}")


def sweep_ephemerals() -> None:
    """Removes the folders whose processes were killed before they could do it."""
    for path in _root().glob(f"{_PREFIX}{os.geteuid()}-*"):
        with contextlib.suppress(OSError, DataDirectoryInUse):
            if _was_ever_held(path):
                _remove_if_free(DataDirectory(path))


def _was_ever_held(path: Path) -> bool:
    # Another user's folder may be a trap. A lock file without a pid is about to be locked.
    is_ours = path.lstat().st_uid == os.geteuid() and not path.is_symlink()
    return is_ours and (path / "service.lock").stat().st_size > 0


def _remove_if_free(directory: DataDirectory) -> None:
    service_lock = directory.hold()
    postgres_lock = directory.hold_for_postgres()
    if postgres_lock is not None:
        directory.remove()
        os.close(postgres_lock)
    os.close(service_lock)


def _root() -> Path:
    return Path(tempfile.gettempdir()).resolve()
