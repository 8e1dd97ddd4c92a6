"""The files in which the processes of one web or one worker count, for Prometheus' own client to add up.

The client maps them into memory. On a full disk a write to such a file would end the process (SIGBUS)
wherever its blocks are not there yet: so they are taken before anything is counted, or nothing is.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

#: What the client goes by. It must be set before the client is imported.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"

#: Bytes of each file: more than all that can be counted takes (a test adds it up), so that none grows.
SIZE = 64 * 1024

#: Kinds of metrics that are counted, each in a file of its own. There is no gauge among them.
KINDS = ("counter", "histogram")

ENDED = "ended"


def make_folder(parent: Path, process: str) -> Path:
    """Make the folder of this process and its children, empty. What ended processes left goes.

    Raises:
        OSError: it can't be made, or there is no room in it.
    """
    folders = parent / "metrics"
    folders.mkdir(parents=True, exist_ok=True)
    for folder in folders.iterdir():
        pid = folder.name.rpartition("-")[2]
        if not pid.isdigit() or int(pid) == os.getpid() or not is_alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)
    folder = folders / f"{process}-{os.getpid()}"
    folder.mkdir(mode=0o700)
    reserve(folder)
    return folder


def reserve(folder: Path) -> None:
    """Take the room that this process needs to count, unless it has it.

    Raises:
        OSError: there is none.
    """
    for kind in KINDS:
        _reserve(folder / f"{kind}_{os.getpid()}.db")


@contextmanager
def added_up(folder: Path) -> Iterator[None]:
    """Keep the files as they are for the block, and those of ended processes as one.

    Else a worker that runs for months, and whose children are killed now and then, would have more and
    more of them. Only one process at a time can be in here.

    Raises:
        OSError: the folder is gone, or there is no room in it.
    """
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for kind in KINDS:
            for file in folder.glob(f"{kind}_[0-9]*.db"):
                if not is_alive(int(file.stem.rpartition("_")[2])):
                    _add(file, folder / f"{kind}_{ENDED}.db")
        yield


def is_alive(pid: int) -> bool:
    """Return whether there is a process of this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is another's
        return True
    return True


def _add(file: Path, total: Path) -> None:
    _reserve(total)
    values = MmapedDict(str(total))
    try:
        for key, value, _timestamp, _position in MmapedDict.read_all_values_from_file(str(file)):
            values.write_value(key, values.read_value(key)[0] + value, 0.0)
    finally:
        values.close()
    file.unlink()


def _reserve(file: Path) -> None:
    with file.open("ab") as opened:
        if os.fstat(opened.fileno()).st_size >= SIZE:
            return
        try:
            os.posix_fallocate(opened.fileno(), 0, SIZE)
        except OSError:
            file.unlink(missing_ok=True)
            raise
