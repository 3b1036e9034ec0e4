"""The last seeded run that crashed, noted so that `tools/bugcheck rewind` can make it again.

OUT/last-crash.json has the machine, how it ended, and the checksums of what it ran: a seed repeats a run only with the
very same kernel, drivers and volume.
"""

import hashlib
import json
import time
from dataclasses import asdict
from pathlib import Path

from host.paths import OUT, CannotRun
from machine.emulators import Machine

KEPT = OUT / "last-crash.json"
LOST = "run it again, and rewind then"


def checksum(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def files_of(machine):
    """The settings that decide the run besides the machine itself."""
    files = [machine.files() / "kernel.elf", machine.archive or machine.files() / "boot.cpio"]
    return files + ([machine.files() / "c.img"] if machine.volume is True else [])


def remember(machine, verdict, path=KEPT):
    """Notes a run down if it can be repeated and ended in a bugcheck; of one without a seed only that there was one."""
    if machine.seed is None:
        Path(path).with_suffix(".unseeded").write_text(machine.cmdline + "\n")
    if machine.seed is None or machine.way != "pvh" or (verdict or {}).get("end") != "bugcheck":
        return
    noted = {"machine": asdict(machine), "verdict": verdict,
             "files": {str(path): checksum(path) for path in files_of(machine)}}
    Path(path).write_text(json.dumps(noted, default=str, indent=1) + "\n")


def told(machine, path=KEPT):
    """Lines on which run is made again, and that it is not the last one where that had no seed."""
    path, later = Path(path), Path(path).with_suffix(".unseeded")
    when = path.stat().st_mtime
    what = machine.cmdline.replace("scenario=", "")
    made = time.strftime("%H:%M:%S on %Y-%m-%d", time.localtime(when))
    lines = [f"making the run of {made} again: {what}, seed {machine.seed}, {machine.cpus} CPUs"]
    if later.exists() and later.stat().st_mtime > when:
        lines.append(f"a later run, {later.read_text().strip().replace('scenario=', '')}, had no seed and cannot be made again; "
                     "with --pvh --seed 1 it can")
    return lines


def recall(path=KEPT):
    """(machine, verdict) of that run; CannotRun says why it cannot be repeated."""
    try:
        noted = json.loads(Path(path).read_text())
        fields = noted["machine"]
        machine = Machine(**{**fields, "extra": tuple(fields["extra"]),
                             "archive": fields["archive"] and Path(fields["archive"])})
    except FileNotFoundError:
        raise CannotRun("no seeded run has crashed yet; make one: tools/bugcheck run paged --pvh --seed 1 --headless") \
            from None
    except (ValueError, KeyError, TypeError):
        raise CannotRun(f"{path} is damaged: {LOST}") from None
    if machine.volume not in (True, False):
        raise CannotRun(f"the run wrote to its own volume {machine.volume}: there is no way back to what that was")
    for path, sum_ in noted["files"].items():
        if not Path(path).exists() or checksum(path) != sum_:
            raise CannotRun(f"{path} is not what crashed then: {LOST}")
    return machine, noted["verdict"]
