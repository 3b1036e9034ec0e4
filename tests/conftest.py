"""Fixtures for every test: builds made once, machines that boot and are always ended, reports that say how to repeat.

    def test_paged_crashes(boot):
        outcome = boot("paged", cpus=2, mem=64)
        outcome.assert_bugcheck(0xD1, p2=2, p3=1)

    def test_locks(boot):
        boot(test="KeSpinLock", seed=7).assert_ktap()

A machine that exceeds its limit fails the test with each CPU's whereabouts. A failure shows the end of COM1 and
the one command that repeats the run.
"""

import fcntl
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "tools"))

import ktap                                                                             # noqa: E402
from host.make import make_command, told_if_long                                        # noqa: E402
from host.paths import OUT                                                              # noqa: E402
from machine.emulators import Machine, repeat_command                                   # noqa: E402
from machine.process import Outcome, Run, hang_report                                   # noqa: E402
import seeds                                                                            # noqa: E402
import timing                                                                           # noqa: E402
from timing import (pytest_addoption, pytest_collection_modifyitems, pytest_runtest_protocol,  # noqa: E402, F401
                    pytest_xdist_make_scheduler)

TAIL_LINES = 40


class Booted(Outcome):
    """An outcome with the questions that tests ask of it."""

    @property
    def ktap(self):
        """The report of the in-kernel tests."""
        return ktap.parse(self.channel)

    @property
    def screen(self):
        """The screenshot of a run that was asked for one."""
        return self.folder / "screen.png"

    @property
    def parameters(self):
        """The four parameters of the bugcheck, as numbers."""
        return [int(text, 16) for text in self.verdict["p"]]

    def assert_ktap(self):
        """Every in-kernel test was run, passed, and the report is whole."""
        wrong = self.ktap.explain()
        assert not wrong, wrong
        return self

    def assert_completed(self):
        """The scenario came to its end without a bugcheck, and that is what it should do."""
        assert self.verdict, "no verdict"
        assert self.verdict["end"] == "completed", self.verdict
        assert self.verdict["expected"] is True, self.verdict
        self.assert_status(33)
        return self

    def assert_bugcheck(self, code, *, p1=None, p2=None, p3=None, p4=None, expected=True):
        """The machine stopped with this code; a parameter that is None may be anything."""
        assert self.verdict, "no verdict"
        assert self.verdict["end"] == "bugcheck", self.verdict
        assert int(self.verdict["code"], 16) == code, self.verdict
        for number, (want, got) in enumerate(zip((p1, p2, p3, p4), self.parameters), 1):
            assert want is None or want == got, f"parameter {number} is {got:#x}, not {want:#x}: {self.verdict}"
        assert self.verdict["expected"] is expected, self.verdict
        self.assert_status(33 if expected else 35)
        return self

    def assert_status(self, status):
        """QEMU was left with this status, where it was to be left at all."""
        if self.machine.leave and self.machine.way != "bochs":
            assert self.status == status, f"QEMU left with {self.status}, not {status}: {self.stderr}"


built = set()
BUILDS = ("checked", "free")


def make(name):
    """Makes a build complete, or raises BuildFailed with the compiler's words; others that want it at the same time wait."""
    OUT.mkdir(parents=True, exist_ok=True)
    with open(OUT / f".{name}.lock", "w") as lock, told_if_long(name):
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(make_command(name, "iso", "judge"), capture_output=True, text=True, errors="replace", timeout=600)
    if done.returncode:
        raise BuildFailed(f"the {name} build failed:\n{done.stderr[-4000:]}")


class BuildFailed(Exception):
    """The text is for the user."""


def ensure_built(name):
    """Makes a build complete, once for each process; those of BUILDS are when the tests begin."""
    if name not in built:
        try:
            make(name)
        except BuildFailed as problem:
            pytest.fail(str(problem), pytrace=False)
        built.add(name)


def pytest_sessionstart(session):
    """The builds come first, once: a source that does not compile is reported before anything is collected."""
    config = session.config
    if hasattr(config, "workerinput"):          # xdist's: its launcher has built
        built.update(config.workerinput["built"])
    elif not config.option.collectonly:
        for word in config.args:
            if not Path(config.invocation_params.dir, word.partition("::")[0]).exists():
                pytest.exit(f"there is no {word}", returncode=pytest.ExitCode.USAGE_ERROR)
        try:
            for name in BUILDS:
                make(name)
        except BuildFailed as problem:
            pytest.exit(str(problem), returncode=pytest.ExitCode.TESTS_FAILED)
        built.update(BUILDS)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node):
    """xdist: the settings of each worker."""
    node.workerinput["built"], node.workerinput["costs"] = sorted(built), node.config.known_costs
    node.workerinput["seeds"] = node.config.drawn_seeds


def pytest_report_header(config):
    return seeds.header(config)


@pytest.fixture(scope="session")
def build():
    """The folders of the checked and the free build, both made."""
    for name in BUILDS:
        ensure_built(name)
    return {name: OUT / name for name in BUILDS}


@pytest.fixture
def start(request, tmp_path):
    """start(Machine(...)) starts a machine and returns its Run; it is ended with the test."""
    runs = request.node.runs = []

    def starter(machine):
        ensure_built(machine.build)
        run = Run(machine, tmp_path / f"run{len(runs)}")
        runs.append(run)
        run.__enter__()
        return run

    yield starter
    for run in runs:
        run.end()


@pytest.fixture
def boot(start):
    """boot(scenario, test=..., append=..., **of Machine) runs a machine to its end and returns what it left."""

    def booter(scenario=None, *, test=None, append="", limit=60, screen=False, finds_undefined=False, finds_races=False, **settings):
        words = [f"scenario={scenario}"] if scenario else []
        words += [f"test={test}"] if test else []
        machine = Machine(cmdline=" ".join(words + [append]).strip(), leave=not screen, **settings)
        run = start(machine)
        try:
            outcome = run.wait(limit)
            if outcome.ended == "limit":
                pytest.fail("\n".join(hang_report(run, limit)), pytrace=False)
            if screen:
                if outcome.ended == "left":
                    pytest.fail(f"the machine left before it could be looked at: {outcome.stderr}", pytrace=False)
                run.screendump(run.folder / "screen.png")
        finally:
            run.end()
        undefined = [line for line in outcome.serial.splitlines() if line.startswith("ubsan:")]
        if undefined and not finds_undefined:
            pytest.fail("undefined behaviour:\n" + "\n".join(undefined), pytrace=False)
        races = [line for line in outcome.serial.splitlines() if line.startswith("race:")]
        if races and not finds_races:
            pytest.fail("data races:\n" + "\n".join(races), pytrace=False)
        return Booted(**vars(outcome))

    return booter


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    timing.add_cost(report, item)
    if not report.failed or call.when != "call":
        return
    for run in getattr(item, "runs", [])[-1:]:
        lines = run.serial.text().rstrip("\n").splitlines()
        report.sections.append((f"the last {TAIL_LINES} lines of COM1", "\n".join(lines[-TAIL_LINES:])))
        report.sections.append(("to repeat", repeat_command(run.machine)))


def pytest_configure(config):
    timing.recall(config)
    seeds.choose(config)
    if threading.current_thread() is threading.main_thread():       # else a worker of xdist, which its launcher ends
        signal.signal(signal.SIGTERM, signal.default_int_handler)   # unwind, so that machines are ended
