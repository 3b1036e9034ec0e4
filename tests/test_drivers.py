"""Every driver of tests/drivers/ ends as its head says: under seeds, and with real threads.

SEEDS=20 in the environment shows each driver under twenty schedules; without it a driver gets as many as its head asks for.
"""
import difflib
import functools
import os
import re
import subprocess
from pathlib import Path

import pytest

from build import driverbuild, repair
from cli import driver
from conftest import ensure_built
from docs import driverheads
from host.paths import TOP, CannotRun

try:
    HEADS = driverheads.all_heads()
except driverheads.HeadError as problem:
    raise pytest.UsageError(str(problem)) from None
BY_NAME = {head.path.name: head for head in HEADS}
HOST_LIMIT = "180"
WATCHDOGS = (0x101, 0x133)
OUTWAITS = ("io_orphan_completed.c",)           # ends well, behind a limit
OWN_CODES = 0xDEAD0000                          # bugchecks that a driver makes to show that it got there


@functools.lru_cache(maxsize=2)
def built_driver(name, kind, folder):
    """The modules of a driver of the folder, built once for its runs, which follow each other; or the Unbuildable."""
    head = BY_NAME[name]
    try:
        return driverbuild.build([str(path) for path in head.paths], kind, folder)
    except driverbuild.Unbuildable as problem:
        return problem


def is_hang(head):
    """Only a limit ends it: no driver that works, which might need more of the host's time than the limit gives."""
    return head.path.name in OUTWAITS or all(item.kind == "undecided" or (item.kind == "bugcheck" and item.code in WATCHDOGS)
                                             for item in head.expected)


def judge_each(head, builds, folder, schedules, dump):
    """The result of each schedule: a seed, or None for real threads."""
    options = driver.parse([*map(str, head.paths), *head.options, "--timeout", HOST_LIMIT, "--dump", dump])
    ensure_built(options.build)
    modules = built_driver(head.path.name, options.build, builds / head.path.name)
    if isinstance(modules, driverbuild.Unbuildable):
        return [{"result": "unbuildable", "text": str(modules)}]
    results = []
    for seed in schedules:
        options.seed, options.free_running, options.json = seed, seed is None, True
        machine = driver.machine_of(options, modules, folder, driver.HASTE if seed is None and is_hang(head) else None)
        results.append(driver.run_machine(machine, folder, options))
    return results


def compare(head, results):
    """Each result is expected, and each end that must come has come."""
    seen = []
    for result in results:
        fitting = [item for item in head.expected if driverheads.fits(item, result)]
        if not fitting:
            wanted = "\n    ".join(item.text for item in head.expected)
            line = driver.result_line({"seed": None, "where": None, "caller": None, **result})
            way = "--free-running" if result.get("seed") is None else f"--seed {result['seed']}"
            words = [*head.options, *([] if way in head.options else [way])]
            pytest.fail(f"{head.path.name} ended with\n    {line}\nwhich should be\n    {wanted}\n"
                        f"to repeat: tools/bugcheck driver {' '.join(str(path.relative_to(TOP)) for path in head.paths)} "
                        f"{' '.join(words)}\n" + "\n".join(result.get("notes", [])[:40]), pytrace=False)
        seen += fitting
    if len(results) > 1:
        missing = [item.text for item in head.expected if item.must_come and item not in seen]
        assert not missing, f"never came over {len(results)} seeds: {missing}"


def wanted_seeds(head):
    return range(1, 1 + max(int(os.environ.get("SEEDS") or 0), head.seeds))


def runs():
    """(name, way) of each test, those of one driver one behind the other."""
    for head in HEADS:
        has_seeds, needs_race_build = "--free-running" not in head.options, "--races" in head.options
        if has_seeds:
            yield pytest.param(head.path.name, "seeds", marks=[pytest.mark.spare] if needs_race_build else [])
        if not any(item.kind == "unbuildable" for item in head.expected):
            is_spare = needs_race_build or (head.is_alone and has_seeds)
            yield pytest.param(head.path.name, "threads", marks=[pytest.mark.spare] if is_spare else [])


@pytest.mark.parametrize("name,way", list(runs()))
def test_driver(name, way, tmp_path, tmp_path_factory):
    """It ends as its head says: under each of the seeds; and when each CPU is a thread of the host."""
    head, builds = BY_NAME[name], tmp_path_factory.getbasetemp()
    if way == "seeds":
        compare(head, judge_each(head, builds, tmp_path, wanted_seeds(head), "small"))
    else:
        compare(head, judge_each(head, builds, tmp_path, [None], "none"))


@pytest.mark.parametrize("name", [head.path.name for head in HEADS
                                  if all(item.kind in ("bugcheck", "deadlock") and item.code < OWN_CODES
                                         for item in head.expected)])
def test_driver_that_fails_has_a_repair(name):
    """A driver that ends badly has a NAME.fix beside it, or names another driver: one that does it right."""
    head = BY_NAME[name]
    assert head.repaired, f"{name} has no repair: write {head.path.stem}.fix, a sentence, its 'expect:' and a unified diff"
    assert head.repaired in BY_NAME, f"{name}: there is no {head.repaired}"
    assert (head.path.parent / head.repaired).is_file(), f"{name} and {head.repaired} are of two themes"


def test_every_source_has_a_head():
    """A source is a driver with an expectation, or another one names it as its part; no two have one name; each has a theme."""
    parts = {name for head in HEADS for name in head.partners}
    names = [path.name for path in driverheads.sources()]
    assert set(names) - set(BY_NAME) - parts == set()
    assert sorted(set(names)) == sorted(names)
    assert {head.theme for head in HEADS} <= set(driverheads.THEMES), "move it into the folder of a theme"


def test_the_tables_are_what_the_heads_say():
    """The pages of tests/drivers/ are current."""
    for path, text in driverheads.documents().items():
        assert path.exists() and path.read_text() == text, f"{path}: run: make docs"


def test_a_repair_repairs_and_is_small():
    """Each .fix names the source beside it, applies to it exactly, and changes less of it than it keeps."""
    for head in HEADS:
        if not repair.is_repair(head.path):
            continue
        _, source, name = repair.read(head.path)
        assert (source.stem, Path(name).stem) == (head.path.stem, f"{head.path.stem}_fixed"), head.path.name
        before, after = source.read_text().splitlines(), repair.patched(head.path, source).splitlines()
        kept = sum(block.size for block in difflib.SequenceMatcher(None, before, after, False).get_matching_blocks())
        assert before != after and kept > len(before) / 2, f"{head.path.name}: write a driver of its own"


@pytest.mark.parametrize("name,content,complaint", [
    ("gone.fix", None, "there is no file"), ("prose.fix", "A repair.\n", "has no unified diff"),
    ("alone.fix", "A.\n\n--- other.c\n+++ alone_fixed.c\n@@ -1 +1 @@\n-a\n+b\n", "repairs other.c, which is not beside it"),
    ("stale.fix", "A.\n\n--- stale.c\n+++ stale_fixed.c\n@@ -1 +1 @@\n-a\n+b\n", "does not fit stale.c"),
    ("out.fix", "A.\n\n--- out.c\n+++ ../out_fixed.c\n@@ -1 +1 @@\n-a\n+b\n", "a name without a folder")])
def test_a_repair_that_cannot_be_applied_is_told(tmp_path, name, content, complaint):
    """One line, which names the file."""
    (tmp_path / "stale.c").write_text("int x;\n")
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CannotRun, match=complaint) as told:
        repair.source_of(tmp_path / name)
    assert name in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("head", ["/* x.c: breaks.\n *\n * expect: deadlock\n */\n", "// x.c: breaks.\n//\n// expect: deadlock\n//\n", ""])
def test_a_repaired_source_has_the_repairs_words_as_its_head(tmp_path, head):
    """It is what the diff makes of the source, and does not say what the broken one does; no other comment is taken for the head."""
    code = "#include <ntddk.h>\nint a = 1;     // one\nint b = 2;     /* two */\n"
    first = len(head.splitlines()) + 1
    (tmp_path / "x.c").write_text(head + code)
    (tmp_path / "x.fix").write_text("Works.\n\nexpect: completed\n\n--- x.c\n+++ x_fixed.c\n"
                                    f"@@ -{first},3 +{first},3 @@\n #include <ntddk.h>\n-int a = 1;     // one\n+int a = 3;     // one\n"
                                    " int b = 2;     /* two */\n")
    if head:
        assert driverheads.read_head(tmp_path / "x.c").expected[0].kind == "deadlock"
    made = repair.source_of(tmp_path / "x.fix")
    assert made.name == "x_fixed.c"
    assert made.read_text() == "/* x_fixed.c: Works.\n *\n * expect: completed\n */\n" + code.replace("a = 1", "a = 3")


def test_a_repair_may_be_what_diff_prints_for_any_source(tmp_path):
    """With the files' times, as `diff -u` has them; and a letter that is not UTF-8 stays the byte that it is."""
    (tmp_path / "x.c").write_bytes(b"int a = 1;\n// \xe9\n")
    (tmp_path / "x_fixed.c").write_bytes(b"int a = 2;\n// \xe9\n")
    diff = subprocess.run(["diff", "-u", "x.c", "x_fixed.c"], capture_output=True, cwd=tmp_path, check=False).stdout
    assert diff.startswith(b"--- x.c\t")
    (tmp_path / "x.fix").write_bytes(b"Works.\n\n" + diff)
    assert repair.source_of(tmp_path / "x.fix").read_bytes() == b"/* x_fixed.c: Works.\n */\nint a = 2;\n// \xe9\n"


@pytest.mark.parametrize("want,got,fits", [
    ("*", 5, True), ("0x10", 16, True), ("16", 17, False), (">5", 6, True), (">5", 5, False), ("-1", 2**64 - 1, True),
    ("driver", 0xFFFFFFFFA0001000, True), ("driver", 0xFFFFFFFF80100000, False), ("kernel", 0xFFFFFFFF80100000, True),
    ("paged", 0xFFFFF8A000000010, True), ("nonpaged", 0xFFFFF8A000000010, False), ("stack", 0xFFFFF90000000008, True)])
def test_parameters_are_compared(want, got, fits):
    """The words of an expectation mean what the table says."""
    assert driverheads.parameter_fits(want, got) is fits


@pytest.mark.parametrize("text", ["bugcheck 0xD1 (1, 2, 3) in x", "bugcheck 0xD1", "crashes", "bugcheck 0xD1 (1, 2, 3, 4, 5)",
                                  "bugcheck 0xD1 (1, 2, 3, nowhere) in x"])
def test_a_wrong_head_is_told(text):
    """An expectation that cannot be read names its file."""
    with pytest.raises(driverheads.HeadError, match="x.c"):
        driverheads.parse_expectation("x.c", text, False)


def test_sources_are_plain(build):
    """A driver of the folder is 15 to 120 lines of WDM: no header of the kernel's own."""
    private = {path.name for path in (TOP / "kernel/include").glob("*.h")}
    for head in HEADS:
        included = re.findall(r"#include\s*[<\"]([^>\"]+)", "\n".join(head.texts))
        assert not private & set(included), head.path.name
