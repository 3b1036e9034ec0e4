"""Exploration: each lock and lock-free structure holds in every schedule; each planted fault is found, and shown."""

import os
import re
import subprocess
import textwrap

import pytest

from host.paths import OUT, TOP

# What the explorer must find: the fewest preemptions, and the rule.
BROKEN = {"broken_no_lock": 1, "broken_test_then_set": 2, "broken_stack_without_sequence": 1, "broken_look_then_sleep": 1,
          "broken_unlock_before_store": 1, "broken_pte_trimmed_by_store": 1, "broken_dpc_freed_before_read": 1}


@pytest.fixture
def explore(build, tmp_path):
    """explore(words...) runs the command; the builds are shared, what it writes is not."""
    (tmp_path / "free").symlink_to(OUT / "free")
    environment = dict(os.environ, OUT=str(tmp_path), COLUMNS="80")
    return lambda *words: subprocess.run([TOP / "tools/bugcheck", "explore", *words], capture_output=True, text=True, timeout=120,
                                         stdin=subprocess.DEVNULL, env=environment)


def parts_of(channel):
    """{name: the lines on COM2 up to its result}."""
    parts, lines = {}, []
    for line in channel.splitlines():
        found = re.match(r"ok \d+ - explore_(\w+)$", line)
        lines.append(line)
        if found:
            parts[found[1]] = "\n".join(lines)
            lines = []
    return parts


def test_every_schedule_of_each_is_tried(boot):
    """The rules hold, but for those that are broken on purpose, each with its shortest schedule; no name begins another one."""
    explored = parts_of(boot(test="explore", build="free", cpus=2, mem=64, seed=1, limit=240).assert_ktap().channel)
    counts = {name: re.search(r"^# explored (\d+) (\d+) (\d+)$", text, re.M) for name, text in explored.items()}
    assert all(counts.values()) and len(counts) > 20
    assert {name for name, count in counts.items() if int(count[3])} == set(BROKEN)
    assert not [(a, b) for a in counts for b in counts if a != b and b.startswith(a)]
    assert counts["broken_no_lock"][1] == "26" and int(counts["spin_lock"][1]) > 1000
    for name, preemptions in BROKEN.items():
        schedule = re.search(r"^# schedule [AB]((?:,\d+)*)$", explored[name], re.M)
        assert schedule and schedule[1].count(",") == preemptions, name
        assert set(re.findall(r"^# step (\w) \S+:\d+ \w+$", explored[name], re.M)) == {"A", "B"}, name


def test_a_schedule_is_repeated(explore):
    """Two columns of source lines in 80 characters; the lock that is right holds in the schedule that breaks the other one."""
    done = explore("broken_test_then_set")
    again = re.search(r"^The same again: (.*)$", done.stdout, re.M)
    assert done.returncode == 1 and again, done.stdout + done.stderr
    assert max(map(len, done.stdout.split("The shortest")[1].splitlines())) <= 80
    once = explore(*again[1].split()[2:])
    assert once.returncode == 1 and "broken_test_then_set: BROKEN: " in once.stdout, once.stdout + once.stderr
    table = done.stdout[done.stdout.index("A  "):done.stdout.index("\nThe same")]
    assert table in once.stdout and re.search(r"^ +\d+  mov byte \[rdi\], 1 +; ?|^ +\d+  mov byte \[rdi\], 1 +\|", table, re.M)
    done = explore("textbook_lock", "--schedule", again[1].split()[-1])
    assert done.returncode == 0 and "textbook_lock: holds: " in done.stdout, done.stdout + done.stderr


def test_what_can_be_explored_is_listed(explore):
    """With its rule; one that was tried, with what it took."""
    done = explore("broken_no_lock")
    assert done.returncode == 1 and "BROKEN in 16 of 26 schedules" in done.stdout, done.stdout + done.stderr
    shown = (TOP / "docs/exploring.md").read_text().split("two columns of source lines:\n\n")[1].split("\n`--schedule")[0]
    assert textwrap.dedent(shown).strip() == done.stdout.strip()
    done = explore()
    assert done.returncode == 0, done.stderr
    assert re.search(r"^broken_no_lock +26 schedules, +\d+\.\d s +each of two increments counts$", done.stdout, re.M), done.stdout
    assert "tried_fast_mutex" in done.stdout


@pytest.mark.parametrize("words,complaint", [
    (("nonsense",), "nothing to explore is called 'nonsense'; there are: textbook_lock, "),
    (("spin_lock", "--schedule", "x"), "'x' is no schedule"), (("spin_lock", "--schedule", "A,4,3"), "must rise"),
    (("spin_lock", "s_list", "--schedule", "A,4"), "name the one"), (("--schedule", "A,4"), "name the one"),
    (("--wrong",), "usage: tools/bugcheck explore")])
def test_wrong_words_are_told(explore, words, complaint):
    """One line, exit 2."""
    done = explore(*words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr
