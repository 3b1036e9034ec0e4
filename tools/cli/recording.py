"""Goes backwards on one CPU: records a run, replays it to the bugcheck, opens the debugger.

`tools/bugcheck rewind --reverse [SCENARIO]` does so with QEMU's record/replay: `reverse-stepi`, `reverse-continue` and
`reverse-finish` work.

QEMU records one CPU only, with each disk behind blkreplay, snapshots in a qcow2 image, and without the APIC's vapic page.
"""

import os
from pathlib import Path

from cli import kd
from cli.options import say, scenarios
from host.folderlock import alone_in
from host.make import build
from host.paths import OUT, CannotRun
from machine.emulators import Machine, make_snapshots
from machine.process import Run

LIMIT = 120                                     # seconds of the host for the recording
STOPS = ("KiBugCheckFromTrap", "KeBugCheckEx")
DISKS = {"snapshots": "16M", "pagefile": "64M"}


def machine_of(scenario, mode, folder, extra=()):
    """The machine that records or replays; both have the same parts."""
    replay = ("-global", "apic-common.vapic=off",
              "-icount", f"shift=7,rr={mode},rrfile={folder}/record.bin,rrsnapshot=start",
              "-drive", f"if=none,id=snapshots,format=qcow2,file={folder}/snapshots.qcow2",
              "-drive", f"if=none,id=image,format=qcow2,file={folder}/pagefile.qcow2",
              "-drive", "if=none,id=pagefile,driver=blkreplay,image=image",
              "-device", "virtio-blk-pci,drive=pagefile,disable-legacy=on")
    return Machine(way="pvh", build="checked", cmdline=f"scenario={scenario}", cpus=1, disk=False, extra=replay + tuple(extra))


def make_images(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in DISKS.items():
        make_snapshots(folder / f"{name}.qcow2", size)


def record(scenario, folder):
    """Records the run; CannotRun if it does not end in a bugcheck."""
    with Run(machine_of(scenario, "record", folder), folder) as run:
        outcome = run.wait(LIMIT)
    if not outcome.verdict or outcome.verdict["end"] != "bugcheck":
        ended = outcome.verdict["end"] if outcome.verdict else f"nothing ({outcome.stderr.strip() or outcome.ended})"
        raise CannotRun(f"there is no crash to go back from: {scenario} on one CPU ended with {ended}")
    say(f"recorded {scenario}: bugcheck {outcome.verdict['code']} {outcome.verdict['name']}")


def debug(scenario, commands):
    """Records, replays, and opens the debugger at the bugcheck; returns its status."""
    if scenario not in scenarios():
        raise CannotRun(f"unknown scenario '{scenario}'; the scenarios are: {', '.join(scenarios())}")
    build("checked", "kernel", "archive")
    folder = OUT / "reverse"
    with alone_in(folder):
        make_images(folder)
        record(scenario, folder)
        return replay(scenario, folder, commands)


def replay(scenario, folder, commands):
    """Opens the debugger on what was recorded."""
    link = Path(os.path.relpath(folder / "gdb.sock"))
    link.unlink(missing_ok=True)
    machine = machine_of(scenario, "replay", folder,
                         ("-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb"))
    with Run(machine, folder) as run:
        run.wait_for_debugger(link)
        files = machine.files()
        settings = {"kind": "live", "target": str(link), "kernels": [str(files / "kernel.elf")], "dump": None,
                    "folders": [str(files / "drivers")], "commands": commands, "stops": STOPS}
        return kd.debug(settings, "reversestart")
