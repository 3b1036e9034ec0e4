"""The lock of a folder: of two runs that would write the same files, one waits.

    with alone_in(OUT / "run"):
        ...

The lock is the host kernel's (flock), so a run that is killed leaves none behind.
"""

import contextlib
import fcntl
import time

from host.paths import CannotRun, shown

POLL_SECONDS = 0.1


@contextlib.contextmanager
def alone_in(folder, seconds=0, say=None):
    """Keeps other runs out of the folder, and waits up to so many seconds for one that is in it.

    say(text) announces a wait. CannotRun when the other run is still there at the end. The lock is beside the folder,
    which may be deleted and made anew.
    """
    with lock_of(folder).open("w") as lock:
        if not try_lock(lock):
            wait_for(lock, shown(folder), seconds, say)
        yield


def lock_of(folder):
    """The path of the folder's lock; its own folder is there and can be written."""
    lock = folder.with_name(folder.name + ".lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        lock.touch()
    except OSError as problem:
        raise CannotRun(f"{shown(folder.parent)} cannot be written: {problem.strerror}; set OUT to a folder of yours") from None
    return lock


def wait_for(lock, name, seconds, say):
    if seconds:
        say(f"another run uses {name}: waiting for its end")
    end = time.monotonic() + seconds
    while not try_lock(lock):
        if time.monotonic() >= end:
            raise CannotRun(f"another run still uses {name} after {seconds} s: end it, or set OUT to another folder"
                            if seconds else f"another run uses {name}: wait for its end, or set OUT to another folder")
        time.sleep(POLL_SECONDS)


def try_lock(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
