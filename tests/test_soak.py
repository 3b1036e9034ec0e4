"""Soak: a few boots pass; an unexpected end, a hang and a difference are found; a soak that was broken off goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest

from cli import soak
from host.paths import OUT, TOP
from machine.emulators import QEMU
from machine.process import keep_to_one_cpu


@pytest.fixture
def command(build, tmp_path):
    """command(words...) soaks: the build is shared, the state is the test's own; the words of the environment go to it too."""
    (tmp_path / "checked").symlink_to(OUT / "checked")

    def run(*words, **environment):
        return subprocess.run([TOP / "tools/bugcheck", "soak", *words], capture_output=True, text=True, timeout=240,
                              stdin=subprocess.DEVNULL, env=dict(os.environ, OUT=str(tmp_path), **environment))
    run.state = tmp_path / "soak/runs.jsonl"
    run.environment = dict(os.environ, OUT=str(tmp_path))
    return run


def entries(state):
    return [json.loads(line) for line in state.read_text().splitlines()[1:]]


def fake_qemu(folder, more="", before=""):
    """A PATH on which QEMU is a script with more behind a run of the real one, or before it; $serial is the file of COM1."""
    folder.mkdir()
    real = shutil.which(QEMU)
    script = folder / QEMU
    script.write_text(f"""#!/bin/sh
case " $* " in *" -serial "*) ;; *) exec {real} "$@" ;; esac
serial=$(echo " $*" | sed 's/.* -serial file:\\([^ ]*serial.log\\).*/\\1/')
{before}
{real} "$@"
status=$?
{more}
exit $status
""")
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_few_boots_pass(command):
    """One of each scenario and a second number of CPUs; the first is made twice. The state has a line for each."""
    done = command("--runs", "4", "--jobs", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^4 of 4 runs, 1 of them twice: no anomalies; with 95 % confidence their rate is below 52\.71%$", done.stdout, re.M)
    assert {(entry["name"], entry["cpus"], entry["seed"], entry["twice"], entry["wrong"]) for entry in entries(command.state)} == {
        ("story", 1, 1, True, ""), ("pressure", 1, 1, False, ""), ("files", 1, 1, False, ""), ("story", 2, 1, False, "")}
    assert sorted(path.name for path in command.state.parent.iterdir()) == ["runs.jsonl"]


def test_an_unexpected_end_is_reported(command):
    """A machine with too little memory: exit 1, the command that repeats it, its folder with its logs."""
    done = command("story", "--runs", "1", "--mem", "4")
    assert done.returncode == 1 and "1 of 1 runs, 0 of them twice: 1 anomaly" in done.stdout, done.stdout + done.stderr
    entry = entries(command.state)[0]
    assert entry["wrong"] and f"run 0: story, 1 CPUs, seed 1: {entry['wrong']}" in done.stdout
    assert "    again: tools/bugcheck run story --headless --pvh --cpus 1 --mem 4 --seed 1" in done.stdout
    kept = command.state.parent / "run0"
    assert str(kept) in done.stdout and (kept / "first/serial.log").exists() and "--seed 1" in (kept / "repeat").read_text()


def test_a_difference_is_reported(command, tmp_path):
    """An emulator that adds a byte to COM1 of every second run."""
    path = fake_qemu(tmp_path / "bin", 'case $serial in */second/*) printf x >>"$serial" ;; esac')
    done = command("story", "--runs", "1", PATH=path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"run 0: story, .*: the same seed gave other bytes, from byte \d+ of COM1 on", done.stdout), done.stdout
    assert {"first", "second", "repeat"} <= {path.name for path in (command.state.parent / "run0").iterdir()}


def test_a_soak_that_was_broken_off_goes_on(command, tmp_path):
    """Ctrl-C in the second run, which never ends: no machine is left, and --resume makes the others only. Without a choice it
    is refused."""
    path = fake_qemu(tmp_path / "bin", before=f"[ ! -e {tmp_path}/first ] || {{ echo $$ >{tmp_path}/second; exec sleep 600; }}; "
                                              f"touch {tmp_path}/first")
    process = subprocess.Popen([TOP / "tools/bugcheck", "soak", "story", "--runs", "4", "--jobs", "1", "--twice", "0"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL,
                               env=command.environment | {"PATH": path}, start_new_session=True)
    try:
        deadline = time.monotonic() + 60
        while not (tmp_path / "second").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130 and "tools/bugcheck soak --resume goes on" in err, out + err
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "second").read_text()), 0)
    before = entries(command.state)
    assert len(before) == 1 and "1 of 4 runs" in out
    refused = command("story", "--runs", "4")
    assert refused.returncode == 2 and "--resume goes on with them, --anew forgets them" in refused.stderr
    with open(command.state, "a") as state:
        state.write('{"run": 3, "na')           # killed in the middle of a line
    done = command("--resume")
    assert done.returncode == 0 and "4 of 4 runs" in done.stdout, done.stdout + done.stderr
    assert entries(command.state)[:1] == before and sorted(entry["run"] for entry in entries(command.state)) == [0, 1, 2, 3]


def test_another_kernel_is_not_gone_on_with(command):
    state = soak.State(command.state)
    state.begin({"names": ["story"], "first": 1, "twice": 0, "build": "checked", "mem": 64, "runs": 2, "kernel": "another"})
    done = command("--resume")
    assert done.returncode == 2 and "the kernel is another one" in done.stderr and done.stderr.count("\n") == 1


def test_a_hang_is_found_by_the_machines_own_clock(build, tmp_path, monkeypatch):
    """A machine that holds after its end never leaves; its idle clock runs fast, whatever the load of the host."""
    monkeypatch.setattr(soak, "LOOK", 1)
    clock, seen = soak.guest_seconds, []

    def look(run):
        assert not [seconds for seconds in seen if seconds and seconds > soak.GUEST_LIMIT], "the limit was over already"
        seen.append(clock(run))
        return seen[-1]
    monkeypatch.setattr(soak, "guest_seconds", look)
    said, wrong = soak.boot(soak.Machine(cmdline="scenario=paged hold", cpus=2, mem=64, seed=1), tmp_path, 0)
    assert re.match(r"hangs: no end after \d+ s of its own time; the last line on COM1 was: ", wrong), wrong
    assert (tmp_path / "hang").read_text().count("CPU ") >= 2


TESTS = "1..2\nok 1 - files_a\nok 2 - files_b\n"


@pytest.mark.parametrize("verdict,channel,said", [
    ({"end": "bugcheck", "expected": True, "code": "0x000000D1"}, "", ""),
    ({"end": "bugcheck", "expected": False, "code": "0x0000000A", "name": "IRQL_NOT_LESS_OR_EQUAL"}, "",
     "ended with bugcheck 0x0000000A IRQL_NOT_LESS_OR_EQUAL, which is not expected"),
    ({"end": "completed", "expected": False}, "", "ended with completed, which is not expected"),
    ({"end": "tests", "expected": True}, TESTS, ""), ({"end": "tests", "expected": True}, TESTS[:-16], "1 tests passed of 2"),
    ({"end": "tests", "expected": True}, "", "0 tests passed of none"),
    ({"end": "tests", "expected": True}, TESTS + "not ok 3 - files_c\n", "2 tests passed of 2")])
def test_an_end_is_judged(verdict, channel, said):
    assert soak.complaint(SimpleNamespace(verdict=verdict, channel=channel)) == said


def test_each_job_has_a_cpu_of_its_own(monkeypatch):
    """Not that of the process, which all jobs share."""
    chosen = []
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 7})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: chosen.extend(cpus))
    monkeypatch.setattr(os, "sched_setscheduler", lambda *_: None)
    for job in range(4):
        keep_to_one_cpu(0, job)
    assert chosen == [3, 5, 7, 3]


@pytest.mark.parametrize("number,kind,cpus,seed", [(0, "story", 1, 5), (1, "pressure", 1, 5), (3, "story", 2, 5), (11, "files", 16, 5),
                                                   (12, "story", 1, 6), (9_999, "story", 2, 838)])
def test_a_run_follows_from_its_number(number, kind, cpus, seed):
    machine = soak.machine_of(number, {"names": list(soak.KINDS), "build": "free", "mem": 64, "first": 5})
    assert (soak.name_of(machine), machine.cpus, machine.seed, machine.build) == (kind, cpus, seed, "free")


def test_the_bound_is_that_of_clopper_and_pearson():
    """By tables: none, one and three of a hundred; none of ten thousand; all."""
    for found, runs, bound in ((0, 100, 0.02951), (1, 100, 0.04656), (3, 100, 0.07571), (0, 10_000, 0.00029953)):
        assert soak.upper_bound(runs, found) == pytest.approx(bound, rel=1e-3)
    assert soak.upper_bound(3, 3) == 1


@pytest.mark.parametrize("one,other,said", [
    (b"ab\0cd", b"ab\0cd", ""), (b"ab\0cd", b"aX\0cd", "from byte 1 of COM1 on"), (b"ab\0cd", b"ab\0ce", "from byte 1 of COM2 on"),
    (b"ab\0cd", b"ab\0c", "from byte 1 of COM2 on"), (b"ab\0cd", b"abX\0cd", "from byte 2 of COM1 on")])
def test_where_two_runs_differ_is_told(one, other, said):
    assert soak.first_difference(one, other).endswith(said) and bool(soak.first_difference(one, other)) == bool(said)


@pytest.mark.parametrize("words,complaint", [
    (("nonsense",), "nothing to soak is called 'nonsense'; there are: story, pressure, files"),
    (("--runs", "0"), "'0' is not a whole number"),
    (("--resume", "--anew"), "not allowed with"), (("--resume",), "has no soak to go on with"), (("--wrong",), "the options are: --anew")])
def test_wrong_words_are_told(command, words, complaint):
    """One line, exit 2."""
    done = command(*words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr
