"""Fixtures for tests of the debugger: dumps made once for all workers, live machines, and what kd says to them.

    from kdhelp import dump, kd, live       # noqa: F401

    def test_pool(dump, kd):
        text = kd(dump("story", cpus=2), "!pool @rax", ".bugcheck")

A dump is a core file beside the COM1 of the same crash (serial_of), its verdict (verdict_of) and the kernel.elf of the
machine. The dying kernel wrote it; where `by` is "qmp", QEMU did, of the machine that had died: other registers, the same
memory.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ensure_built
from host.paths import OUT, TOP
from machine.dumpdisk import keep_dump
from machine.emulators import Machine
from machine.process import Run, hang_report

KD_LIMIT = 120                              # seconds for one call of kd, on a host as busy as may be
MACHINE_LIMIT = 120


def shared_folder(factory):
    """A folder that all workers of one session share."""
    base = factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


def verdict_of(path):
    """The verdict of the run that a dump was made in."""
    return json.loads((Path(path).parent / "verdict.json").read_text())


def serial_of(path):
    """COM1 of the run that a dump was made in."""
    return (Path(path).parent / "serial.log").read_text("utf-8", "replace")


def make_dump(machine, folder, by):
    """Runs a machine until it has died; leaves crash.elf, verdict.json, kernel.elf and the drivers' symbols in folder."""
    ensure_built(machine.build)
    for path in [machine.files() / "kernel.elf", *(machine.files() / "drivers").glob("*.dbg")]:
        shutil.copy(path, folder)
    path = folder / "crash.elf"
    with Run(machine, folder) as run:
        outcome = run.wait(MACHINE_LIMIT)
        if outcome.verdict is None:
            pytest.fail("\n".join(hang_report(run, MACHINE_LIMIT)), pytrace=False)
        if by == "qmp":
            run.qmp("dump-guest-memory", paging=True, protocol=f"file:{path}")
    (folder / "verdict.json").write_text(json.dumps(outcome.verdict))
    if by == "kernel" and keep_dump(folder) is None:
        pytest.fail(f"the kernel wrote no dump:\n{outcome.serial[-2000:]}", pytrace=False)
    return path


def dump_of(root, machine, by):
    """The path of a machine's dump; the first who asks makes it, the others wait."""
    key = hashlib.sha256(repr((machine, by)).encode()).hexdigest()[:16]
    folder = root / "dumps" / key
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            make_dump(machine, folder, by)
            (folder / "made").write_text("")
    return folder / "crash.elf"


@pytest.fixture(scope="session")
def dump(tmp_path_factory):
    """dump(scenario, test=, append=, by=, level=, **of Machine) -> the path of the core of that crash."""
    root = shared_folder(tmp_path_factory)

    def dumper(scenario=None, *, test=None, append="", by="kernel", level="full", cpus=2, mem=64, **settings):
        words = [f"scenario={scenario}"] if scenario else []
        words += [f"test={test}"] if test else []
        machine = Machine(cmdline=" ".join(words + [append]).strip(), cpus=cpus, mem=mem, leave=by != "qmp",
                          dump=level if by == "kernel" else None, **settings)
        return dump_of(root, machine, by)

    return dumper


def run_kd(words, status=0, stdin="", limit=KD_LIMIT):
    """Runs tools/cli/kd.py; returns what it printed, errors too. No traceback and no internal error, ever."""
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.kd", *map(str, words)], input=stdin, capture_output=True,
                          text=True, errors="replace", timeout=limit, env=dict(os.environ, OUT=str(OUT)))
    text = done.stdout + done.stderr
    assert "Traceback" not in text and "internal error" not in text and "cannot be loaded" not in text, text
    assert status is None or done.returncode == status, f"kd left with {done.returncode}, not {status}:\n{text}"
    return text


@pytest.fixture(scope="session")
def kd():
    """kd(path, *commands, status=0) -> the text that these commands print on a dump."""
    def ask(path, *commands, status=0):
        return run_kd([path, "-c", ";".join(commands)], status)
    return ask


@pytest.fixture
def live(request, tmp_path):
    """live(scenario, **of Machine) -> (Run, socket): a machine at its first instruction, for --live."""
    runs = request.node.runs = []

    def starter(scenario=None, *, append="", cpus=2, mem=64, **settings):
        folder = tmp_path / f"live{len(runs)}"
        machine = Machine(cmdline=f"{f'scenario={scenario}' if scenario else ''} {append}".strip(), cpus=cpus, mem=mem, **settings)
        ensure_built(machine.build)
        run = Run(machine, folder)
        socket = f"{run.sockets}/gdb"
        machine.extra += ("-S", "-chardev", f"socket,path={socket},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")
        runs.append(run)
        run.__enter__()
        run.wait_for_debugger(Path(socket))
        return run, socket

    yield starter
    for run in runs:
        run.end()
