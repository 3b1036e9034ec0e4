"""The suite itself: what it says before a test runs, which tests it takes when it is asked for less, and in which order."""
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import seeds
import timing
from cli import testtimes
from docs import driverheads
from host.paths import TOP


def suite(*words, **environment):
    """A run of the suite in a process of its own."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *words], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, cwd=TOP, env=os.environ | environment)


def test_a_build_that_fails_is_told_before_any_test(tmp_path):
    """The compiler's words and exit 1; nothing is collected."""
    fake = tmp_path / "make"
    fake.write_text("#!/bin/sh\necho 'kernel/ke/event.c:1:2: error: expected a word' >&2\nexit 2\n")
    fake.chmod(0o755)
    done = suite("-n", "2", "tests/test_ktap.py", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the checked build failed:\nkernel/ke/event.c:1:2: error: expected a word" in done.stdout + done.stderr
    assert "passed" not in done.stdout and "gw0" not in done.stdout


def test_a_reader_that_has_had_enough_ends_the_run_in_silence(tmp_path):
    """As with `tools/bugcheck test | head -1`."""
    (tmp_path / "make").symlink_to("/bin/true")  # nothing is to be built
    with subprocess.Popen([sys.executable, TOP / "tools/tool", "cli.test", "-n", "2", "-v", "tests/test_ktap.py"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, cwd=TOP, env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}) as run:
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == b""
    assert run.returncode == 1


def items(*names):
    return [SimpleNamespace(nodeid=f"tests/{name}", path=Path("tests") / name.partition("::")[0],
                            get_closest_marker=lambda mark, name=name: mark == "spare" and "spare" in name) for name in names]


def arranged(names, costs=(), **options):
    """The names that run, in their order."""
    chosen = items(*names)
    config = SimpleNamespace(known_costs={f"tests/{name}": cost for name, cost in dict(costs).items()},
                             option=SimpleNamespace(**{"quick": False, "all": False, **options}),
                             hook=SimpleNamespace(pytest_deselected=lambda items: None))
    timing.pytest_collection_modifyitems(config, chosen)
    return [item.nodeid.removeprefix("tests/") for item in chosen]


def test_long_tests_come_first_and_short_ones_stay_beside_their_neighbours():
    costs = {"a.py::x": 1, "a.py::y": 9, "b.py::x": 0.1, "b.py::y": 70, "b.py::z": 2}
    assert arranged(costs, costs) == ["b.py::y", "a.py::y", "a.py::x", "b.py::x", "b.py::z"]


def test_spare_tests_run_when_all_are_asked_for():
    names = ["a.py::x", "a.py::spare", "b.py::x"]
    assert arranged(names) == ["a.py::x", "b.py::x"]
    assert arranged(names, all=True) == names


def test_spare_are_drivers_in_which_nothing_happens_at_once():
    """A driver with a thread, a DPC, a timer or a file keeps its run with real threads."""
    alone = {head.path.name for head in driverheads.all_heads() if head.is_alone}
    assert {"fault_null.c", "fault_noncanonical.c"} <= alone
    assert not {name for name in alone if name.startswith(("dpc_", "thread_", "timer_", "file_", "apc_", "mutex_", "event_"))}


def test_the_sample_has_one_of_each_family_and_what_must_be_in_it():
    drivers = [f"test_drivers.py::test_driver[{name}.c-{way}]" for name in ("apc_a", "apc_b", "dpc_a")
               for way in ("seeds", "threads")]
    names = ["test_scenarios.py::test_ends_as_it_should[checked-story]", "test_scenarios.py::test_ends_as_it_should[free-story]",
             "test_docs.py::test_lint", "test_docs.py::test_lint_of_changed_files", *drivers,
             *(f"test_x.py::test_{number}[{case}]" for number in range(9) for case in "ab")]
    wanted = [names[0], names[3], drivers[0], drivers[4], "test_x.py::test_0[a]", "test_x.py::test_1[a]"]
    costs = {name: 60 if "story" in name or "changed" in name else 1 for name in names}
    assert sorted(arranged(names, costs, quick=True)) == sorted(wanted)


def test_the_sample_is_of_every_file_and_small():
    """Of the tests that there are."""
    listed = suite("--collect-only", "--quick", "-p", "no:cacheprovider").stdout
    chosen = [line for line in listed.splitlines() if "::" in line]
    files = {path.name for path in (TOP / "tests").glob("test_*.py")} - {"test_fuzz.py", "test_races.py"}        # never in it; all spare
    assert {line.partition("::")[0].removeprefix("tests/") for line in chosen} == files
    for must in timing.ALWAYS:
        assert any(must in line for line in chosen), must
    known = testtimes.recalled()                # by which the sample was chosen
    assert sum(testtimes.expected(name, known) for name in chosen) < 240


@pytest.mark.parametrize("content", (None, "", "[1]", "{", '{"a": "long"}'))
def test_a_memory_that_cannot_be_read_is_empty(tmp_path, content):
    if content is not None:
        (tmp_path / "t.json").write_text(content)
    assert testtimes.recalled(tmp_path / "t.json") == {}


def test_what_was_measured_is_remembered_beside_what_was(tmp_path):
    memory = tmp_path / "build/t.json"
    testtimes.remember({"a": 1.234, "b": 2}, path=memory)
    testtimes.remember({"b": 3, "c": 4}, path=memory)
    assert testtimes.recalled(memory) == {"a": 1.23, "b": 3, "c": 4}
    testtimes.remember({}, existing={"a"}, path=memory)
    assert testtimes.recalled(memory) == {"a": 1.23}
    assert testtimes.expected("a", {"a": 1.23}) == 1.23
    assert testtimes.expected("tests/test_kernel.py::test_inside_under_seed[1-2]", {}) == 7


def test_a_test_is_charged_with_its_children(tmp_path):
    """A test that lets a child work for a moment costs that."""
    (tmp_path / "test_busy.py").write_text("""
import subprocess, sys
def test_busy():
    subprocess.run([sys.executable, "-c", "import time\\nwhile time.process_time() < 1: pass"], check=True)
""")
    (tmp_path / "make").symlink_to("/bin/true")  # nothing is to be built
    done = suite("-p", "conftest", "--rootdir", str(tmp_path), str(tmp_path / "test_busy.py"), OUT=str(tmp_path / "out"),
                 PATH=f"{tmp_path}:{os.environ['PATH']}", PYTHONPATH=str(TOP / "tests"))
    assert done.returncode == 0, done.stdout + done.stderr
    spent, = testtimes.recalled(tmp_path / "out/tests.json").values()
    assert 0.9 < spent < 5


def test_each_run_draws_other_seeds_and_those_of_another_can_be_given():
    """A failure under one is worth nothing if it cannot be met again: its run's header has all of them."""
    assert len({tuple(seeds.draw()) for _ in range(4)}) == 4
    done = suite("-v", "--collect-only", "--seeds", "5,2147483647", "tests/test_kernel.py", "-k", "drawn")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "--seeds 5,2147483647" in done.stdout
    assert [line for line in done.stdout.splitlines() if "drawn_anew" in line and "[3-" in line] == []
    assert all(f"test_inside_under_seed_drawn_anew[{name}]" in done.stdout for name in ("1-2", "2-4"))


@pytest.mark.parametrize("text", ("0", "5,", "x", "5,2147483648", "-1"))
def test_seeds_that_are_none_are_one_clear_line(text):
    done = suite(f"--seeds={text}", "--collect-only", "tests/test_ktap.py")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--seeds: '{text}' is no list of numbers" in done.stdout + done.stderr
