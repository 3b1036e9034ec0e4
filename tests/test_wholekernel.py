"""Whole-kernel exploration: preemptions from a list, a search through them, and faults that must be found by it."""

import os
import re
import signal
import subprocess
from types import SimpleNamespace

import pytest
from cli import wholekernel
from cli.schedule import MEETING, Access, Explored, Point, Ran, Stood, failure_of
from cli.wholekernel import Found, Search, Tried, bound, candidates
from conftest import ensure_built
from host.paths import OUT, TOP, CannotRun
from machine.emulators import Machine, qemu_version
from machine.process import Outcome, Run

# What is broken on purpose: the function in which one preemption shows it.
BROKEN = {"look_then_count": "UseDeviceAfterALook", "no_lock": "CountUnderNothing", "look_then_sleep": "SleepInTwoSteps",
          "find_then_reference": "KiReleaseSpinLockFromDpcLevel"}
RIGHT = ("race_remove_lock", "race_sleeper", "race_handle")
MOST_RUNS = 40                              # until a fault of one preemption is found


def need_the_plugin():
    if qemu_version() >= wholekernel.TOO_NEW:
        pytest.skip("this QEMU ends by SIGABRT with the plugin")


@pytest.fixture
def explore(tmp_path):
    """explore(words...) runs the command; the build is shared, what it writes is not."""
    need_the_plugin()
    ensure_built("checked")
    (tmp_path / "checked").symlink_to(OUT / "checked")
    environment = dict(os.environ, OUT=str(tmp_path), COLUMNS="80")
    return lambda *words: subprocess.run([TOP / "tools/bugcheck", "explore", *words], capture_output=True, text=True, timeout=240,
                                         stdin=subprocess.DEVNULL, env=environment)


@pytest.fixture
def explored(tmp_path, monkeypatch):
    """explored(test) is that test, ready to be run under schedules."""
    ensure_built("checked")
    monkeypatch.setattr(wholekernel, "FOLDER", tmp_path)
    return lambda test: wholekernel.Known("checked", 2).explored(test)


@pytest.mark.parametrize("name", BROKEN)
def test_a_planted_fault_is_found_shown_and_repeated(explore, name):
    """By few runs, with one preemption, at the place; the command that it prints shows it again."""
    done = explore(f"race_broken_{name}", "--seconds", "120")
    found = re.search(r"BROKEN, found by run (\d+) ", done.stdout)
    assert done.returncode == 1 and found and int(found[1]) <= MOST_RUNS, done.stdout + done.stderr
    assert re.findall(r"is preempted in (\w+)", done.stdout) == [BROKEN[name]], done.stdout
    table = done.stdout[done.stdout.index("CPU 0  "):done.stdout.index("\nThe same")]
    assert max(map(len, table.splitlines())) <= 80 and re.search(r"^ +\| +\d+  \w", table, re.M), table
    again = re.search(r"^The same again: tools/bugcheck explore (\S+) --schedule '(.*)'$", done.stdout, re.M)
    once = explore(again[1], "--schedule", again[2])
    assert once.returncode == 1 and ": BROKEN: " in once.stdout and table in once.stdout, once.stdout + once.stderr


@pytest.mark.spare                              # it takes long
def test_right_ones_hold_behind_every_single_preemption(explore):
    done = explore(*RIGHT, "--preemptions", "1", "--seconds", "120")
    assert done.returncode == 0, done.stdout + done.stderr
    counts = re.findall(r"^(\w+): holds in (\d+) of (\d+) single preemptions \(\d+ runs a minute\)", done.stdout, re.M)
    assert [name for name, _, _ in counts] == list(RIGHT) and all(tried == of and int(of) > 9 for _, tried, of in counts), done.stdout


def test_the_debugger_stops_at_the_preemption(explore):
    done = explore("race_broken_no_lock", "--schedule", "0@ktest!CountUnderNothing#1", "--gdb", "-c", "k")
    assert done.returncode == 0 and "ktest!CountUnderNothing+0x" in done.stdout.splitlines()[2], done.stdout + done.stderr


def test_a_search_that_was_broken_off_goes_on(explore, tmp_path):
    done = explore("race_remove_lock", "--preemptions", "1", "--seconds", "120")
    kept = tmp_path / "explore/race_remove_lock.checked.2/tried"
    rows = kept.read_text().splitlines()
    assert done.returncode == 0 and len(rows) > 9, done.stdout + done.stderr
    kept.write_text("\n".join(rows[:5]) + '\n["0@half a li')        # killed in the middle of a line
    done = explore("race_remove_lock", "--preemptions", "1", "--seconds", "120")
    assert done.returncode == 0 and "goes on from 4 schedules that are known" in done.stderr, done.stdout + done.stderr
    assert {row.split('"')[1] for row in rows[1:]} == {row.split('"')[1] for row in kept.read_text().splitlines()[1:]}


@pytest.mark.parametrize("words,complaint", [
    (("race_nonsense",), "no test inside the kernel is called 'race_nonsense'; those made for this are: race_remove_lock, "),
    (("--test", "nonsense"), "is called 'nonsense'"), (("race_mutex", "race_handle", "--schedule", "0@x#1"), "name the one test"),
    (("race_mutex", "--schedule", "A,5"), "'A' is no preemption: CPU@FUNCTION+OFFSET#N"),
    (("race_mutex", "--schedule", "0@KeNonsense#1"), "no function of this kernel, or more than one, is called 'KeNonsense'"),
    (("race_mutex", "--gdb"), "--gdb: with which --schedule?"), (("race_mutex", "--seconds", "0"), "0"),
])
def test_wrong_words_are_answered_in_one_line(explore, words, complaint):
    done = explore(*words)
    assert done.returncode == 2 and complaint in done.stderr and len(done.stderr.splitlines()) == 1, done.stdout + done.stderr


# ---- The plugin ----

def texts(machine, folder):
    with Run(machine, folder) as run:
        outcome = run.wait(60)
    return outcome.serial, outcome.channel


def test_an_empty_list_changes_nothing(explored, tmp_path):
    """The times on COM1 and the order of the CPUs on COM2 are those of a machine without the plugin; a preemption changes them."""
    need_the_plugin()
    test = explored("schedule_is_drawn_from_the_seed")
    machine = test.machine(tmp_path / "log", ())
    expected = texts(Machine(**{**vars(machine), "extra": ()}), tmp_path / "without")
    assert re.search(r"^# schedule \w+\nok 1 ", expected[1], re.M)
    assert texts(machine, tmp_path / "with") == expected
    assert texts(test.machine(tmp_path / "log", (), record=True), tmp_path / "recorded") == expected
    point = next(point for point in candidates(test.run(record=True)) if test.names.step(point.address)[2] == "Append")
    assert texts(test.machine(tmp_path / "log", [point]), tmp_path / "preempted") != expected


def test_a_preemption_comes_right_behind_its_access(explored):
    """To load, add and store are three instructions of one block; the other CPU's increment is lost in between."""
    test = explored("race_broken_no_lock")
    ran = test.run([Point(0, test.names.address("ktest!CountUnderNothing"), 1)], record=True)
    assert ran.failure and [stood.rounds > 0 for stood in ran.stood] == [True]
    inside = [(access.cpu, access.is_store) for access in ran.accesses
              if access.window == 0 and test.names.step(access.address)[2] == "CountUnderNothing"]
    assert inside == [(0, False), (1, False), (1, True), (0, True)]


def test_a_second_preemption_lets_the_first_cpu_go_on(explored):
    """CPU 0 stands while CPU 1 looks, then counts while CPU 1 stands: each increment is lost in its turn."""
    test = explored("race_broken_no_lock")
    points = [Point(0, test.names.address("ktest!KtMeetingBegins"), 1), Point(1, test.names.address("ktest!CountUnderNothing"), 1)]
    ran = test.run(points, record=True)
    assert ran.failure and {stood.point for stood in ran.stood} == set(points) and all(stood.rounds for stood in ran.stood)
    assert not test.run(points[:1]).failure and not test.run(points[1:]).failure


def test_priorities_find_it_too(explored, tmp_path):
    """As often as the bound promises; what was drawn becomes a list that fails as well, and is shrunk to one preemption."""
    test = explored("race_broken_no_lock")
    test.folder.mkdir(parents=True)
    search = Search(test, Tried(test.folder / "tried", "here"), 120)
    base = test.run(record=True)
    with pytest.raises(Found) as found:
        search.pct(base, len(base.accesses), test.folder / "events")
    points, failure = search.shrink(found.value.points, found.value.failure)
    assert failure and len(points) == 1 and test.run(points).failure


def test_a_machine_without_jitter_has_one_schedule(boot):
    """jitter=0 makes all seeds the same; without it they differ."""
    found = {}
    for seed, more in ((1, ""), (2, ""), (1, "jitter=0"), (2, "jitter=0")):
        channel = boot(test="schedule_is", append=more, seed=seed, cpus=2, mem=64).channel
        found[seed, more] = re.search(r"^# schedule (\w+)", channel, re.M)[1]
    assert found[1, "jitter=0"] == found[2, "jitter=0"] and found[1, ""] != found[2, ""]


# ---- The search, without a machine ----

class Fake:
    """A test that fails when all of some points are preempted."""

    def __init__(self, fatal):
        self.fatal, self.runs = set(fatal), 0
        self.names = SimpleNamespace(text=lambda points: ",".join(f"{point.cpu}@{point.address}#{point.count}" for point in points))

    def run(self, points=(), slot=0, **_):
        assert slot in range(wholekernel.SLOTS)
        self.runs += 1
        return Ran("it fails" if self.fatal <= set(points) else None, [Stood(point, 1) for point in points], [], 0, 0.0)


@pytest.mark.parametrize("fatal", [(), (3,), (0, 8), (2, 5, 7)])
def test_a_schedule_is_shrunk_to_what_it_needs(tmp_path, fatal):
    points = [Point(0, address, 1) for address in range(9)]
    fake = Fake([points[index] for index in fatal])
    shrunk, failure = Search(fake, Tried(tmp_path / "tried", "here"), 60).shrink(points, "it fails")
    assert shrunk == [points[index] for index in fatal] and failure == "it fails" and fake.runs < 40


def test_only_places_where_the_cpus_meet_are_tried():
    """Not memory of one CPU, not the last look, not the first half of a read-modify-write, not a look at the same again."""
    rows = [(0, 0x10, 1, 8, False, True), (0, 0x10, 2, 8, True, True),      # one instruction reads and writes
            (0, 0x20, 1, 16, True, False),                                  # nothing comes to it later
            (1, 0x30, 1, 8, False, True), (1, 0x30, 2, 8, False, True),     # spins
            (0, 0x10, 3, 8, True, True), (1, 0x30, 3, 8, False, True)]      # and sees something new
    ran = Ran(None, [], [Access(*row, 0) for row in rows], 0, 0.0)
    assert candidates(ran) == [Point(0, 0x10, 2), Point(1, 0x30, 1), Point(0, 0x10, 3), Point(1, 0x30, 3)]
    assert candidates(ran, Point(1, 0x30, 1)) == [Point(0, 0x10, 3), Point(1, 0x30, 3)]


def test_the_bound_is_that_of_pct():
    """1/(n k^(d-1))."""
    assert "of depth 3 shows in a run with a probability of at least 1/20,000: in all 20,000 with 0.63" in bound(2, 100, 3, 20000)


def test_what_was_tried_in_another_kernel_is_forgotten(tmp_path):
    tried = Tried(tmp_path / "tried", "one kernel")
    tried.add("0@f#1", None, [3])
    assert "0@f#1" in Tried(tmp_path / "tried", "one kernel") and "0@f#1" not in Tried(tmp_path / "tried", "another")


def test_names_are_read_back(explored):
    """Every function's name leads to its address, of the kernel and of the tests' module."""
    test = explored("race_mutex")
    assert isinstance(test, Explored) and test.marks == [test.names.address(name) for name in MEETING]
    for name in ("KeSetEvent", "ktest!KtRunRace", "ktest!UseDeviceAfterALook+0x5"):
        assert test.names.text(test.names.points(f"1@{name}#7")) == f"1@{name}#7"
    kernel = test.names.kernel
    assert kernel.ambiguous, "no two functions have one name: this test compares half"
    for offset in kernel.functions[0][0]:
        point = Point(1, kernel.lines.base + offset, 7)
        assert test.names.points(test.names.text([point])) == [point]


def test_an_emulator_that_ends_by_itself_breaks_no_rule(tmp_path):
    outcome = Outcome(Machine(), tmp_path, "left", -signal.SIGABRT, 1.0, "", "KTAP version 1\n", None, "")
    with pytest.raises(CannotRun, match="QEMU itself was ended by SIGABRT"):
        failure_of(outcome)


def test_a_qemu_that_the_plugin_ends_is_refused(monkeypatch):
    """In one line: that it ends is no fault of the kernel's."""
    monkeypatch.setattr(wholekernel, "qemu_version", lambda: (10, 0))
    with pytest.raises(CannotRun, match="under QEMU 7.2 and 8: with the plugin QEMU 10 ends by SIGABRT"):
        wholekernel.main(["race_remove_lock"])
