"""Exploration: each lock and lock-free structure holds in every schedule; each planted fault is found, and shown."""

import json
import os
import re
import subprocess
import textwrap

import pytest

from host.paths import OUT, TOP

# What the explorer must find: the fewest preemptions.
BROKEN = {"broken_no_lock": 1, "broken_test_then_set": 2, "broken_stack_without_sequence": 1, "broken_look_then_sleep": 1,
          "broken_unlock_before_store": 1, "broken_pte_trimmed_by_store": 1, "broken_dpc_freed_before_read": 1,
          "broken_pulse": 1, "broken_rundown_by_count": 0, "broken_dpc_drain_forgets": 1, "broken_pte_changed_without_flush": 1}
# Those that end with a sleeper, whom nothing wakes.
ASLEEP = {"broken_look_then_sleep", "broken_pulse"}
# All that the kernel's threads sleep on, and what each CPU shares with the others.
RIGHT = {"fast_mutex", "mutex", "push_lock", "shared_push_lock", "resource", "shared_resource", "event_set_and_awaited", "semaphore",
         "rundown_awaited", "sleep_announced", "dpc_queued_and_drained", "page_trimmed_and_written", "pte_changed_and_flushed", "spin_lock",
         "textbook_lock", "queued_lock", "numbered_lock", "shared_spin_lock", "remove_lock", "owned_push_lock", "cache_aware_rundown",
         "wait_for_both", "s_list", "trace_ring"}


@pytest.fixture
def explore(build, tmp_path):
    """explore(words...) runs the command; the builds are shared, what it writes is not."""
    for name in ("checked", "free"):
        (tmp_path / name).symlink_to(OUT / name)
    environment = dict(os.environ, OUT=str(tmp_path), COLUMNS="80")
    return lambda *words, typed="": subprocess.run([TOP / "tools/bugcheck", "explore", *words], capture_output=True, text=True,
                                                   timeout=120, input=typed, env=environment)


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
    assert all(counts.values()) and not RIGHT - set(counts)
    assert {name for name, count in counts.items() if int(count[3])} == set(BROKEN)
    assert {name for name, text in explored.items() if "# end" in text and " A sleeps, and nothing " in text} == ASLEEP
    assert not [(a, b) for a in counts for b in counts if a != b and b.startswith(a)]
    assert counts["broken_no_lock"][1] == "12" and int(counts["spin_lock"][1]) > 15
    for name, preemptions in BROKEN.items():
        schedule = re.search(r"^# schedule [AB]((?:,\d+)*)$", explored[name], re.M)
        assert schedule and schedule[1].count(",") == preemptions, name
        assert set(re.findall(r"^# step (\w) \d+ \d+ \S+:\d+ \w+$", explored[name], re.M)) == {"A", "B"}, name


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


def test_the_example_of_the_documents(explore):
    """Word for word."""
    done = explore("broken_no_lock")
    shown = (TOP / "docs/exploring.md").read_text().split("two columns of source lines:\n\n")[1].split("\n`--schedule")[0]
    assert done.returncode == 1 and textwrap.dedent(shown).strip() == done.stdout.strip(), done.stdout + done.stderr


def test_what_can_be_explored_is_listed(explore):
    """Each with its rule, its schedules and its time, all measured once; the last line is the sum of the others."""
    done = explore()
    assert done.returncode == 0 and "measuring what has not been tried with this kernel" in done.stderr, done.stderr
    rows = re.findall(r"^(\w+) +([\d,]+) schedules, +(\d+\.\d) s  (\w.*)$", done.stdout, re.M)
    total = re.search(r"^(\d+) explorations, ([\d,]+) schedules, (\d+\.\d) s, ", done.stdout, re.M)
    assert {name for name, _, _, _ in rows} >= RIGHT | set(BROKEN) and int(total[1]) == len(rows)
    assert sum(int(count.replace(",", "")) for _, count, _, _ in rows) == int(total[2].replace(",", ""))
    assert abs(sum(float(seconds) for _, _, seconds, _ in rows) - float(total[3])) < 0.06 * len(rows)
    again = explore()
    assert again.stdout == done.stdout and not again.stderr


def test_what_is_not_tried_does_the_same(explore):
    """Of all schedules, and of those that differ, the same one is the shortest that breaks the rule; or none does."""
    for name in ("broken_test_then_set", "broken_stack_without_sequence", "spin_lock"):
        few, many = explore(name), explore(name, "--alike")
        counts = [int(re.search(r"([\d,]+) schedules", done.stdout)[1].replace(",", "")) for done in (few, many)]
        assert few.returncode == many.returncode and counts[1] > counts[0], few.stdout + many.stdout
        assert few.stdout.partition("The shortest")[2] == many.stdout.partition("The shortest")[2]


def test_a_run_that_was_broken_off_goes_on(explore, tmp_path):
    """What is done is not done again; a rule that it broke is still broken."""
    assert explore("broken_no_lock", "spin_lock").returncode == 1
    memory = tmp_path / "explore.json"
    memory.write_text(json.dumps(json.loads(memory.read_text()) | {"wanted": ["broken_no_lock", "spin_lock"], "done": ["broken_no_lock"]}))
    done = explore("broken_no_lock", "spin_lock")
    assert "1 of 2 are done" in done.stderr and done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.startswith("spin_lock: holds in all ") and done.stdout.count("\n") == 1
    assert explore("broken_no_lock", "spin_lock").stdout.startswith("broken_no_lock: BROKEN ")


def test_gdb_stops_at_the_last_preemption(explore):
    """With the context that goes on there; `walk` leads it over the explorer's own code to the next line, to the end."""
    done = explore("broken_no_lock", "--schedule", "A,1", "--gdb", typed="walk 2\nprint Old\nwalk 9\n")
    said = re.sub(r"\(gdb\) ", "", done.stdout)
    first = (TOP / "tests/kernel/test_explore.c").read_text().splitlines().index("    ULONG64 Old = Counter;") + 1
    assert "stopped where the last preemption has been made" in said, done.stdout + done.stderr
    assert re.findall(r"^([AB]), after (\d) instructions? of both:\n#0 .*Count \(\) at tests/kernel/test_explore.c:(\d+)", said, re.M) == \
        [("B", "1", str(first)), ("B", "2", str(first + 1)), ("B", "4", str(first + 2)), ("A", "5", str(first + 1)),
         ("A", "7", str(first + 2))]
    assert "$1 = 0" in said and "The schedule is at its end, after 8 instructions." in said


def test_the_timeline_is_a_page(explore, tmp_path):
    """A lane for each context: its turns, its IRQL, its lines; without a network."""
    path = tmp_path / "page.html"
    done = explore("broken_look_then_sleep", "--page", path)
    assert done.returncode == 1 and f"The timeline: {path}" in done.stdout, done.stdout + done.stderr
    text = path.read_text()
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["schedule"]["title"].startswith("broken_look_then_sleep: ") and "A sleeps" in data["schedule"]["subtitle"]
    assert [lane["cpu"] for lane in data["lanes"]] == [0, 1] and "https:" not in text
    names = [lane["names"] for lane in data["lanes"]]
    assert "KiSwapContext" in names[0] and "KtIdle" in names[0] and names[1] == ["SetFlagThenWake"]
    assert [level for _, level in data["lanes"][0]["levels"]] == [0, 2]


@pytest.mark.parametrize("words,complaint", [
    (("nonsense",), "nothing to explore is called 'nonsense'; there are: textbook_lock, "),
    (("spin_lock", "--schedule", "x"), "'x' is no schedule"), (("spin_lock", "--schedule", "A,4,3"), "must rise"),
    (("spin_lock", "s_list", "--schedule", "A,4"), "name the one"), (("--schedule", "A,4"), "name the one"),
    (("spin_lock", "--gdb"), "with which --schedule?"), (("s_list", "spin_lock", "--page", "x"), "name the one"),
    (("--wrong",), "usage: tools/bugcheck explore")])
def test_wrong_words_are_told(explore, words, complaint):
    """One line, exit 2."""
    done = explore(*words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr
