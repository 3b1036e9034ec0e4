"""Repairs of drivers: NAME.fix is a diff beside NAME.c and means NAME_fixed.

A .fix begins with prose: what the repair does, in a sentence, and how the repaired driver ends (the keys of driverheads.py).
A unified diff of the source follows, which patch(1) applies. The repaired source is in build/repaired/, with the prose as its head.

    path = source_of("lock_leak_fast.fix")      # build/repaired/lock_leak_fast_fixed.c; CannotRun
"""
import os
import re
import subprocess
from pathlib import Path

from host.paths import OUT, CannotRun

SUFFIX = ".fix"
FOLDER = OUT / "repaired"
ANY_BYTES = {"encoding": "utf-8", "errors": "surrogateescape"}       # a source may be in any encoding
DIFF = re.compile(r"^--- (\S+)(?:\t.*)?\n\+\+\+ (\S+)(?:\t.*)?\n@@ ", re.M)      # behind the tab: when the files were written
HEAD = re.compile(r"\s*(?:/\*(.*?)\*/|((?://[^\n]*\n)+))\n?", re.S)        # what a source begins with


def is_repair(path):
    return Path(path).suffix == SUFFIX


def read(path):
    """(prose, the Path of the source that it repairs, the name of the repaired source); CannotRun."""
    try:
        text = Path(path).read_text(**ANY_BYTES)
    except FileNotFoundError:
        raise CannotRun(f"there is no file '{path}'") from None
    except OSError as error:
        raise CannotRun(f"cannot read '{path}': {error}") from None
    found = DIFF.search(text)
    if not found:
        raise CannotRun(f"'{path}' is no repair: it has no unified diff (--- NAME.c, +++ NAME_fixed.c, @@) in it")
    if os.path.basename(found[2]) != found[2]:
        raise CannotRun(f"'{path}': the repaired source is named '{found[2]}', which must be a name without a folder")
    return text[:found.start()].strip(), Path(path).parent / found[1], found[2]


def patched(path, source):
    """The text of a source with the diff applied, exactly; CannotRun where it does not fit."""
    try:
        done = subprocess.run(["patch", "--quiet", "--fuzz=0", "--force", "--reject-file=-", "--output=-", source, path],
                              capture_output=True, check=False, **ANY_BYTES)
    except FileNotFoundError:
        raise CannotRun("patch is missing, which applies a repair; install it with: apt-get install patch") from None
    if done.returncode != 0:
        what = next((line for line in done.stderr.splitlines() if line.strip()), "patch failed")
        raise CannotRun(f"'{path}' does not fit {source.name}: {what}")
    return done.stdout


def comment(name, prose):
    """The head of the repaired source."""
    lines = f"{name}: {prose}".splitlines()
    return "\n".join(["/* " + lines[0], *((" * " + line).rstrip() for line in lines[1:]), " */", ""])


def source_of(path):
    """The repaired source of a .fix, written anew; any other path stays what it is."""
    if not is_repair(path):
        return path
    prose, source, name = read(path)
    if not source.is_file():
        raise CannotRun(f"'{path}' repairs {source.name}, which is not beside it")
    text = patched(path, source)
    head = HEAD.match(text)
    FOLDER.mkdir(parents=True, exist_ok=True)
    target = FOLDER / name
    fresh = target.with_name(f".{name}.{os.getpid()}")
    fresh.write_text(comment(name, prose) + text[head.end() if head else 0:], **ANY_BYTES)
    os.replace(fresh, target)
    return target
