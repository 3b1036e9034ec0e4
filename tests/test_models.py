"""Models: the rules hold in every order of the steps, and each mutation is found, by the rule that it breaks."""

import os
import re
import subprocess

import pytest

from cli import models
from host.paths import TOP

WAITS = "no CPU waits forever"
STALE = "no CPU uses a translation of a page that was given away"
SEES = "an owner sees what the owner before it has stored"
UNSAVED = "the slot has all that was stored"
AT_ONCE = "a thread that was chosen for a CPU gets it at once"
# The rule that each mutation breaks, which spin must find.
BROKEN = {
    "spinlock": {"test_then_set": "one owner at a time", "lock_before_level": WAITS, "level_before_release": WAITS,
                 "release_before_store": SEES, "store_passes_store": SEES},
    "queuedlock": {"link_before_wait": WAITS, "free_without_compare": WAITS, "pass_before_store": SEES,
                   "pass_to_tail": "the owner is the one that came first", "forget_the_late": WAITS},
    "fastmutex": {"keep_woken": WAITS, "wake_each_time": "one waiter at a time is on its way", "count_after_look": WAITS,
                  "wake_before_free": WAITS},
    "wait": {"look_before_lock": "a thread waits for no event that is set",
             "unlock_before_switch": "a thread runs on one CPU at a time, and goes on where it stopped",
             "ipi_before_next": AT_ONCE, "halt_with_interrupts_on": WAITS, "no_look_at_unlock": AT_ONCE},
    "newcpu": {"no_barrier": STALE, "count_before_pte": STALE, "flush_before_count": STALE},
    "shootdown": {"no_flush": STALE, "flush_after_unlock": STALE, "go_without_waiting": STALE, "finish_before_flush": STALE,
                  "spin_without_answer": WAITS, "trim_by_store": UNSAVED, "clear_modified_late": UNSAVED},
}
MODELS = models.models()
# The sources that each model is about: they name it.
SOURCES = {"spinlock": ["arch/x86_64/spinlock.asm"], "queuedlock": ["arch/x86_64/queuedlock.asm"], "fastmutex": ["kernel/ke/fastmutex.c"],
           "wait": ["kernel/ke/wait.c", "kernel/ke/scheduler.c"], "newcpu": ["kernel/ke/ipi.c"],
           "shootdown": ["kernel/ke/ipi.c", "kernel/mm/trim.c", "kernel/mm/pageout.c"]}


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of the test's own for the files of a search."""
    monkeypatch.setattr(models, "OUT", tmp_path)


@pytest.mark.parametrize("cpus", models.COUNTS)
@pytest.mark.parametrize("name", MODELS)
def test_the_rules_hold(here, name, cpus):
    result = models.search(MODELS[name], cpus)
    assert not result.broken, (result.broken, result.steps)
    assert result.states > 300


@pytest.mark.parametrize("name,mutation", [(name, mutation) for name in BROKEN for mutation in BROKEN[name]])
def test_a_mutation_is_found(here, name, mutation):
    """By its rule; with a schedule in which more than one CPU has a part, unless a CPU blocks itself."""
    model = MODELS[name]
    cpus = model.mutations[mutation].cpus
    result = models.search(model, cpus, mutation)
    assert result.broken == BROKEN[name][mutation]
    acting = {step.cpu for step in result.steps}
    assert acting <= set(range(cpus)) and (len(acting) > 1 or result.waits), result.steps
    assert bool(result.waits) == (result.broken == WAITS)


def test_each_mutation_is_listed_where_it_is_made():
    """In the head of its model, in the code, and above; a model has at least one."""
    assert set(MODELS) == set(BROKEN) == set(SOURCES)
    for name, model in MODELS.items():
        body = model.source.partition("*/")[2]
        body += "".join((model.path.parent / file).read_text() for file in re.findall(r'^#include "(.*)"', body, re.M))
        assert set(BROKEN[name]) == set(model.mutations)
        assert set(model.mutations) <= set(re.findall(r"\bMUTATION_(\w+)", body))
        assert set(re.findall(r"\bMUTATION_(\w+)", model.source)) <= set(model.mutations)


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_names_its_model(name):
    """And the model names its sources."""
    for source in SOURCES[name]:
        head = (TOP / source).read_text()[:4000]
        assert "tests/models/" in head and f"{name}.pml" in head, source
        assert source.rpartition("/")[2] in MODELS[name].source


# Two neighbouring steps of a model, and the rule that breaks when they change places.
SWAPS = [("queuedlock", "    STORE(HANDLE_NEXT(me), 0);\n",
          "    XCHG_AND(Other, LOCK, me + 1, Ticket = Arrived; Arrived = (Arrived + 1) % TICKETS);\n", WAITS),
         ("newcpu", "    STORE(PTE, NEW);\n",
          "#ifndef MUTATION_no_barrier\n    FENCE();                            /* KeMemoryBarrier in KeFlushTb */\n#endif\n", STALE),
         ("shootdown", "#ifndef MUTATION_no_flush\n       FlushTb(true);\n#endif\n", "       Retire();\n", STALE)]


def swapped(path, name, one, other):
    """A copy of a model in which two neighbouring steps have changed places."""
    source = MODELS[name].source
    assert source.count(one + other) == 1
    copy = path / f"{name}.pml"
    copy.write_text(source.replace(one + other, other + one))
    for file in MODELS[name].path.parent.glob("*.h"):
        (path / file.name).write_text(file.read_text())
    return models.Model(copy)


@pytest.mark.parametrize("name,one,other,rule", SWAPS)
def test_two_steps_that_change_places_are_found(here, tmp_path, name, one, other, rule):
    """The order of the steps is what is proven, not the words: a swap that no mutation has."""
    (tmp_path / "swapped").mkdir()
    assert models.search(swapped(tmp_path / "swapped", name, one, other), 2).broken == rule


# ---- The command ----

@pytest.fixture
def command(tmp_path):
    environment = dict(os.environ, OUT=str(tmp_path), COLUMNS="80")
    return lambda *words: subprocess.run([TOP / "tools/bugcheck", "models", *words], capture_output=True, text=True, timeout=120,
                                         stdin=subprocess.DEVNULL, env=environment)


def test_a_schedule_is_a_table(command):
    """A column for each CPU, within 80 columns, and the command that shows it again."""
    done = command("newcpu", "--mutation", "no_barrier")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.match(rf"newcpu with no_barrier: BROKEN on 2 CPUs, after \d+ steps: {STALE}\n", done.stdout)
    table = done.stdout.split("\n\n")[1].splitlines()
    excerpt = re.findall(r"^    (.*\|.*|-+\+-+)$", (TOP / "docs/models.md").read_text(), re.M)
    assert len(excerpt) > 5 and not [line for line in excerpt if line.rstrip() not in table], "docs/models.md shows another table"
    assert table[0].split() == ["CPU", "0", "|", "CPU", "1"] and max(map(len, table)) <= 80
    assert re.search(r"^ +\d+  LOAD\(Count, COUNT\) +\|", done.stdout, re.M)
    assert re.search(r"^ +\| +\d+  XCHG\(Before, COUNT, me\)\n +\| +\[OtherCpus = 1\]$", done.stdout, re.M)
    assert "Which breaks line" in done.stdout and "assert(Tlb[me] == 2 || !IsGivenAway)" in done.stdout
    assert done.stdout.endswith("The same again: tools/bugcheck models newcpu --cpus 2 --mutation no_barrier\n")


def test_who_waits_is_told(command):
    """Of a schedule after which a CPU waits forever: where. A store is shown when it leaves its buffer."""
    done = command("queuedlock", "--mutation", "link_before_wait")
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(r"^CPU \d waits forever in Acquire, line \d+: \(SEEN\(HANDLE_LOCK\(me\)\) & WAIT\) == 0$", done.stdout, re.M)
    assert re.search(r"its buffer: Handle\.Next\[\d\] = \d", done.stdout), done.stdout


def test_what_holds_is_told_for_each_number_of_cpus(command):
    done = command("newcpu")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.fullmatch(r"newcpu: holds on 2 CPUs \([\d,]+ states, [\d.]+ s\)\nnewcpu: holds on 3 CPUs \(.*\)\n", done.stdout)


def test_the_models_are_listed(command):
    done = command()
    assert done.returncode == 0 and all(re.search(rf"^{name} ", done.stdout, re.M) for name in MODELS)
    assert len(re.findall(r"^    --mutation \w+ +\w", done.stdout, re.M)) == sum(map(len, BROKEN.values()))


def test_a_mutation_that_is_not_found_is_an_error(here, tmp_path, monkeypatch, capsys):
    """--all: a model whose mutation changes nothing is refused."""
    source = MODELS["newcpu"].source.replace("#ifndef MUTATION_no_barrier\n", "#if 1\n")
    (tmp_path / "newcpu.pml").write_text(source)
    (tmp_path / "tso.h").write_text((models.FOLDER / "tso.h").read_text())
    monkeypatch.setattr(models, "FOLDER", tmp_path)
    assert models.main(["newcpu", "--all"]) == 1
    assert "newcpu with no_barrier: NOT FOUND" in capsys.readouterr().out


@pytest.mark.parametrize("words,complaint", [
    (("nonsense",), "no model is called 'nonsense'; there are: fastmutex, newcpu, "), (("--wrong",), "the options are: --all --cpus"),
    (("spinlock", "--mutation", "x"), "spinlock has no mutation 'x'; it has: test_then_set, "), (("--mutation", "x"), "name the one model"),
    (("spinlock", "--cpus", "4"), "'4' is not a whole number from 2 to 3"), (("--all", "--cpus", "2"), "leave out")])
def test_wrong_words_are_told(command, words, complaint):
    """One line, exit 2."""
    done = command(*words)
    assert done.returncode == 2 and complaint in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr


def test_a_model_that_spin_refuses_is_one_line(here, tmp_path, monkeypatch):
    broken = tmp_path / "broken.pml"
    broken.write_text("/* broken.pml: no model at all. */\nactive proctype Cpu() { nonsense }\n")
    with pytest.raises(models.CannotRun, match="spin failed in .*: "):
        models.search(models.Model(broken), 2)
