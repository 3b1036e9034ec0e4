"""Going back: a seeded run that crashed is stopped at an earlier event, bit for bit the same each time."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

import pytest

from cli import rewind
from conftest import ensure_built
from corefile import symbols
from host.folderlock import alone_in
from host.paths import OUT, TOP
from machine import lastcrash
from machine.emulators import Machine, qemu_version
from machine.process import Run

LIMIT = 240
PATTERN = 0x2A                                  # what secret.c stores
LOW_MEMORY = 1 << 20                            # below it QEMU's small firmware leaves bytes of QEMU's own stack


def stop(machine, folder, watch):
    """Stops a machine by the plugin; returns the checksum of its RAM from 1 MiB on, and the registers of all its CPUs."""
    log, ram = folder / "stores.log", folder / "ram"
    folder.mkdir()
    machine = Machine(**{**vars(machine), "extra": ("-plugin", f"{rewind.build_plugin()},log={log},watch={watch}")})
    with Run(machine, folder) as run:
        deadline = time.monotonic() + LIMIT
        while not (log.exists() and log.read_text().endswith("stopped\n")):
            assert run.process.poll() is None and time.monotonic() < deadline, run.outcome("left").stderr
            time.sleep(0.01)
        run.qmp("pmemsave", val=0, size=machine.mem << 20, filename=str(ram))
        registers = run.monitor("info registers -a")
        assert run.qmp("query-status")["status"] == "paused"
    digest = hashlib.sha256(ram.read_bytes()[LOW_MEMORY:]).hexdigest()
    ram.unlink()
    return digest, registers


@pytest.mark.parametrize("cpus", [2, 4])
def test_the_state_at_a_stop_is_the_same_each_time(cpus, tmp_path):
    ensure_built("checked")
    machine = Machine(cmdline="scenario=paged", cpus=cpus, mem=32, seed=5)
    watch = f"{symbols(OUT / 'checked/kernel.elf')['KiBugCheckData']:#x}:8:1"
    first, second = (stop(machine, tmp_path / name, watch) for name in ("first", "second"))
    assert first == second
    other = stop(Machine(**{**vars(machine), "seed": 6}), tmp_path / "other", watch)
    assert other[0] != first[0], "another seed is the same run: this test compares nothing"


@pytest.fixture(scope="module")
def crash(tmp_path_factory):
    """(the file that notes a run down, its verdict): the paged scenario under a seed."""
    folder = tmp_path_factory.mktemp("crash")
    ensure_built("checked")
    with Run(Machine(cmdline="scenario=paged", cpus=2, mem=32, seed=3), folder) as run:
        outcome = run.wait(LIMIT)
    lastcrash.remember(outcome.machine, outcome.verdict, folder / "last.json")
    return folder / "last.json", outcome.verdict


def go(note, *words, status=0):
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.rewind", "--run", note, *words], capture_output=True, text=True,
                          timeout=LIMIT, stdin=subprocess.DEVNULL, env=dict(os.environ, OUT=str(OUT)))
    text = done.stdout + done.stderr
    assert "Traceback" not in text and "internal error" not in text, text
    assert done.returncode == status, text
    return text


def test_the_goals_are_what_the_crash_is_about(crash):
    """Each goal in one session: who did it, and to which address, as COM1's report has it."""
    note, verdict = crash
    fatal = int(verdict["p"][0], 16)
    text = go(note, "--to", "trim", "-c", f"!pte {fatal:x}; to allocate; k; to acquire; to raise; back; forward; to bugcheck; r cr8")
    events = re.findall(r"^event (\d+):(\d+)  tsc (\d+)  (.*)$", text, re.M)
    words = [event[3] for event in events]
    page = f"{fatal & ~0xFFF:016x}"
    assert words[0].startswith(f"trim: page {page[:8]}`{page[8:]} leaves the working set"), text
    assert re.match(rf"allocate \S+{fatal & 0xFFF:03x}, \d+ bytes of paged pool, .* by secret!SecretCreate", words[1]), text
    assert re.match(r"lock secret!SecretLock acquired by .*, IRQL 2, by secret!SecretStore", words[2]), text
    assert re.match(r"IRQL raised 0 -> 2, by secret!SecretStore", words[3]), text
    trimmed, allocated, acquired, raised, before, again = (int(event[2]) for event in events[:6])
    assert allocated < trimmed < raised < acquired and before <= raised
    assert words[5] == words[3], "forward undoes back"
    assert f"{verdict['code']} is written down" in text
    assert re.search(r"cr8\s*=\s*(0x)?0*f\b", text), text


def test_from_a_snapshot_it_is_the_same_run(crash):
    """The moment at which the lock was taken, once from power-on and once from a snapshot."""
    note, _ = crash
    look = "to acquire; r; kb; !trace 0 8"
    # The record of the event before is falsified: then the machine's run is another one.
    other = "python from kd.target.session import session; python past, event = session.past, session.past.here; " \
        "python past.events[event.processor, event.index - 1] = event; " \
        r"python exec('try:\n past.arrive(event, None)\nexcept Exception as problem:\n print(problem)')"
    plain = go(note, "--to", "allocate", "-c", f"{look}; {other}").split("lock secret!SecretLock", 1)[1]
    plain, found, _ = plain.partition("this is another run than the one that crashed: event ")
    assert found, plain
    kept = go(note, "--to", "allocate", "-c", f"snapshot; back; {look}")
    assert re.search(r"^kept: event \d+:\d+, as moment0$", kept, re.M), kept
    assert qemu_version() >= (8, 0) or "is not used" not in kept, kept      # a newer one may make another run from a snapshot
    assert kept.split("lock secret!SecretLock", 1)[1].partition("bugcheck: ")[0] == plain


def test_why_an_address_holds_what_it_holds(crash):
    note, verdict = crash
    text = go(note, "--to", "-1", "-c", f"events 2; forward 2; why {verdict['p'][0]} 8; continue; r cr8; g", status=1)
    last = re.match(r"event .*", text[text.index("event "):])[0]
    assert re.search(rf"^  event .*\n> {re.escape(last)}$", text, re.M), text
    assert re.search(r"no event is known there: \d+ before this moment and 1 behind it", text), text
    assert "kd: g: here the run ends" in text
    ended = text.partition("this is the bugcheck, where the run ends")[2]
    assert re.search(r"cr8\s*=\s*(0x)?0*f\b", ended), text         # `continue` came back, and what was typed behind it was read
    text = text.partition("Continuing.")[0]
    stores = re.findall(r"^ +\d+  CPU \d+  \d+ bytes to \S+  by (\S+)$", text, re.M)
    assert stores and stores[-1].startswith("secret!SecretStore"), text
    assert re.search(rf"behind store {len(stores)} to .*: it is {PATTERN:#x} now", text), text


def test_unless_told_it_is_the_last_event_of_the_cpu_that_crashed(tmp_path):
    """Seen where another CPU wrote one after it, as the zero-page thread does under most seeds."""
    ensure_built("checked")
    for seed in range(1, 9):
        with Run(Machine(cmdline="scenario=double-free", cpus=4, mem=64, seed=seed), tmp_path / str(seed)) as run:
            outcome = run.wait(LIMIT)
        lastcrash.remember(outcome.machine, outcome.verdict, tmp_path / "last.json")
        text = go(tmp_path / "last.json", "-c", "to bugcheck; to -1")
        dying = re.search(r"^the bugcheck, on CPU (\d+): ", text, re.M)[1]
        first, last = re.findall(r"^event (\d+):\d+ ", text, re.M)
        assert first == dying, text
        if last != dying:
            return
    pytest.fail("under no seed did another CPU write the last event: this test compares nothing")


def test_a_crash_without_a_lock_has_no_moment_of_taking_it(tmp_path):
    ensure_built("checked")
    with Run(Machine(cmdline="test=crash_7E_division_by_zero", cpus=2, mem=32, seed=3), tmp_path) as run:
        outcome = run.wait(LIMIT)
    lastcrash.remember(outcome.machine, outcome.verdict, tmp_path / "last.json")
    assert "held no spin lock at the crash" in go(tmp_path / "last.json", "--to", "acquire", status=2)


def test_what_cannot_be_gone_back_to(crash, tmp_path):
    note, _ = crash
    assert "'sideways' is no event: trim, allocate" in go(note, "--to", "sideways", status=2)
    assert "only the last" in go(note, "--to", "-100000000", status=2)
    assert "no seeded run has crashed yet" in go(tmp_path / "none.json", status=2)
    damaged = tmp_path / "damaged.json"
    damaged.write_text(note.read_text()[:-200])
    assert "is damaged" in go(damaged, status=2)
    with alone_in(note.parent / "rewind"):
        assert "another run uses" in go(note, status=2)
    changed = tmp_path / "changed.json"
    changed.write_text(re.sub(r'(kernel.elf": ")....', r"\g<1>0000", note.read_text()))
    assert "is not what crashed then" in go(changed, status=2)
    assert "unrecognized arguments" in go(note, "--sideways", status=2)


def test_without_qemu_img_one_line_names_its_package(crash, tmp_path):
    """Both ways back need it, and neither ends in a traceback with status 0."""
    rewind.build_plugin()
    path = tmp_path / "bin"
    path.mkdir()
    for name in ("qemu-system-x86_64", "gdb", "make", "setpriv", "readelf", "sh", "cat", "tr", "awk", "dirname"):
        (path / name).symlink_to(shutil.which(name))
    for words in (("--to", "trim"), ("--reverse",)):
        done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.rewind", "--run", crash[0], *words, "-c", "k"], text=True,
                              capture_output=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                              env=dict(os.environ, OUT=str(OUT), PATH=str(path)))
        text = done.stdout + done.stderr
        assert done.returncode == 2 and "no qemu-img: Debian package qemu-utils is not installed" in text, text
        assert "Traceback" not in text and len(text.splitlines()) <= 2, text


def test_the_run_that_is_made_again_is_named(crash):
    """Which one, and that a later one without a seed is not it."""
    note, _ = crash
    machine, _ = lastcrash.recall(note)
    later = note.with_suffix(".unseeded")
    later.unlink(missing_ok=True)
    [line] = lastcrash.told(machine, note)
    when = r"\d\d:\d\d:\d\d on \d{4}-\d\d-\d\d"
    assert re.fullmatch(rf"making the run of {when} again: paged, seed {machine.seed}, {machine.cpus} CPUs", line)
    lastcrash.remember(Machine(cmdline="scenario=mutex"), {"end": "completed"}, note)
    os.utime(later, (note.stat().st_mtime + 1,) * 2)
    assert lastcrash.told(machine, note)[1].startswith("a later run, mutex, had no seed and cannot be made again")
    os.utime(later, (note.stat().st_mtime - 1,) * 2)
    assert len(lastcrash.told(machine, note)) == 1


def test_backwards_on_one_cpu(tmp_path):
    """Record and replay: the instruction before the bugcheck's first, and the last time the lock was taken."""
    ensure_built("checked")
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.rewind", "--reverse", "paged", "-c",
                           "r rip; reverse-stepi; r rip; gdb hbreak KeAcquireSpinLockRaiseToDpc; reverse-continue; k"],
                          capture_output=True, text=True, timeout=LIMIT, stdin=subprocess.DEVNULL,
                          env=dict(os.environ, OUT=str(OUT)))
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    places = [int(place, 16) for place in re.findall(r"rip=?\s*(?:0x)?([0-9a-f`]{16,17})", text.replace("`", ""))]
    assert places[0] == symbols(OUT / "checked/kernel.elf")["KiBugCheckFromTrap"] and places[1] != places[0], text
    assert re.search(r"secret!SecretStore", text.split("reverse")[-1]), text
