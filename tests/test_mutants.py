"""The tables of mutants fit the tree, and the tool that plants them tells a dead one from one that lives.

`make mutants` plants all of them, which takes more than an hour: here each is applied to the text of its file only, and a few
are built and run.
"""

import re
import subprocess
import sys

import pytest

from build import mutants
from host.paths import OUT, TOP, CannotRun

LEAST = 150
TABLES = mutants.read_tables()
IN_KERNEL = "\n".join(path.read_text() for path in sorted((TOP / "tests/kernel").glob("*.c")))
KTESTS = re.findall(r"^KTEST(?:_ALONE)?\((\w+)\)", IN_KERNEL, re.M)
EXPLORATIONS = re.findall(r"^KEXPLORE\((\w+),", IN_KERNEL, re.M)

TABLE = """
# Of the test.
one: kernel/ke/event.c
    What goes wrong.
      LONG Previous = Event->Header.SignalState;
    - Event->Header.SignalState = 1;
    + Event->Header.SignalState = 0;
    dies by: test event
"""
TEXT = "LONG Previous = 0;\n    LONG Previous = Event->Header.SignalState;\n        Event->Header.SignalState = 1;\nEnd();\n"


def test_there_are_enough_and_in_every_folder():
    planted = [mutant for mutant in TABLES if not mutant.equivalent]
    assert len(planted) >= LEAST
    assert {mutant.file.split("/")[1] for mutant in planted} >= {"x86_64", "ke", "mm", "ex", "io", "ob", "ps", "ldr", "rtl", "vf", "dump",
                                                                 "report", "judge", "drivers"}


def test_each_applies_at_one_place_and_changes_it():
    for mutant in TABLES:
        assert mutants.plant(mutant) != (TOP / mutant.file).read_text(), mutant.where


def test_each_dies_by_a_test_that_there_is():
    for mutant in TABLES:
        for killer in mutant.killers:
            names = [name for name in KTESTS if name.startswith(killer.test)]
            is_there = killer.test[8:] in EXPLORATIONS if killer.test.startswith("explore_") else names or killer.test == "concurrent"
            files = [word for word in killer.pytest if word.startswith("test_")]
            assert is_there if killer.test else files and all((TOP / "tests" / name).is_file() for name in files), \
                f"{mutant.where}: {killer.text}"


def table(tmp_path, text):
    path = tmp_path / "ke.txt"
    path.write_text(text)
    return mutants.read_table(path)


def test_lines_may_have_moved_and_be_indented_otherwise(tmp_path):
    planted = mutants.planted(table(tmp_path, TABLE)[0], TEXT)
    assert planted.splitlines()[2].strip() == "Event->Header.SignalState = 0;" and planted.endswith("\nEnd();\n")


@pytest.mark.parametrize("text,times", ((TEXT.replace("= 1", "= 2"), "nowhere"), (TEXT + TEXT, "2 times")))
def test_a_place_that_is_not_one_is_told_with_its_line(tmp_path, text, times):
    with pytest.raises(CannotRun, match=f"ke.txt:3: 'one' does not apply: kernel/ke/event.c has its old lines {times}"):
        mutants.planted(table(tmp_path, TABLE)[0], text)


@pytest.mark.parametrize("old,new,line,words", (
    ("one: kernel", "one kernel", 3, "begins with NAME: FILE"),
    ("    dies by: test event\n", "", 3, "needs a sentence, a change"),
    ("    What goes wrong.\n", "", 3, "needs a sentence, a change"),
    ("test event", "test event seat=3", 8, "is neither test PREFIX"),
    ("dies by: test", "dies of: test", 8, "begins with '- '"),
    ("# Of the test.", "    early", 2, "before the first entry")))
def test_a_wrong_line_is_told(tmp_path, old, new, line, words):
    with pytest.raises(CannotRun, match=f"ke.txt:{line}: .*{words}"):
        table(tmp_path, TABLE.replace(old, new))


def tool(*words):
    return subprocess.run([sys.executable, TOP / "tools/tool", "cli.mutants", *words], capture_output=True, text=True, timeout=600,
                          stdin=subprocess.DEVNULL)


@pytest.mark.parametrize("words,complaint", ((["--folder", "nowhere"], "no mutant is in folder 'nowhere'; there are: arch, "),
                                             (["--name", "nothing"], "no mutant is called 'nothing'"),
                                             (["--jobs", "0"], "'0' is not a whole number")))
def test_wrong_words_are_one_line(words, complaint):
    done = tool(*words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr


TWO = """
pulse_stays: kernel/ke/event.c
    A pulsed event stays set.
      KiSignalWaiters(&Event->Header, Increment);
    - Event->Header.SignalState = 0;
    dies by: test event_calls

nothing_happens: kernel/ke/event.c
    The state is read by another name.
    - return Event->Header.SignalState;
    + LONG State = Event->Header.SignalState;
    + return State;
    dies by: test event_calls
"""


@pytest.mark.skipif(OUT != TOP / "build", reason="a copy of the tree takes over the builds of OUT=build alone")
def test_a_dead_mutant_is_told_from_one_that_lives(tmp_path, build):
    """In a copy of the tree that keeps its builds for the next time; what was found is not sought again."""
    (tmp_path / "ke.txt").write_text(TWO)
    done = tool("--tables", tmp_path, "--jobs", "1")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"killed +ke/pulse_stays: event_calls\w+: ", done.stdout), done.stdout
    assert re.search(r"^ke +2 +1 +50 %", done.stdout, re.M), done.stdout
    assert re.search(r"^lives: ke/nothing_happens \(.*ke.txt:8\): The state is read by another name\.", done.stdout, re.M), done.stdout
    again = tool("--tables", tmp_path, "--jobs", "1", "--name", "pulse_stays")
    assert again.returncode == 0 and "killed " not in again.stdout.split("folder")[0], again.stdout + again.stderr
