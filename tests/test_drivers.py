"""Every driver of tests/drivers/ ends as its head says: under seeds, and with real threads.

SEEDS=20 in the environment shows each driver under twenty schedules; without it a driver gets as many as its head asks for.
"""
import functools
import os
import re

import pytest

import driver
import driverbuild
import driverheads
from conftest import ensure_built
from machine import TOP

try:
    HEADS = driverheads.all_heads()
except driverheads.HeadError as problem:
    raise pytest.UsageError(str(problem)) from None
BY_NAME = {head.path.name: head for head in HEADS}
HOST_LIMIT = "180"
OWN_CODES = 0xDEAD0000                          # bugchecks that a driver makes to show that it got there


@functools.lru_cache(maxsize=2)
def built_driver(name, kind, folder):
    """The modules of a driver of the folder, built once for its runs, which follow each other; or the Unbuildable."""
    head = BY_NAME[name]
    try:
        return driverbuild.build([str(path) for path in head.paths], kind, folder)
    except driverbuild.Unbuildable as problem:
        return problem


def judge_each(head, builds, folder, schedules, dump):
    """The result of each schedule: a seed, or None for real threads."""
    options = driver.parse([*map(str, head.paths), *head.options, "--timeout", HOST_LIMIT, "--dump", dump])
    kind = "checked" if options.checked else "free"
    ensure_built(kind)
    modules = built_driver(head.path.name, kind, builds / head.path.name)
    if isinstance(modules, driverbuild.Unbuildable):
        return [{"result": "unbuildable", "text": str(modules)}]
    results = []
    for seed in schedules:
        options.seed, options.free_running, options.json = seed, seed is None, True
        machine = driver.machine_of(options, modules, folder)
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
        if "--free-running" not in head.options:
            yield head.path.name, "seeds"
        if not any(item.kind == "unbuildable" for item in head.expected):
            has_seeds = "--free-running" not in head.options
            yield pytest.param(head.path.name, "threads", marks=[pytest.mark.spare] if head.is_alone and has_seeds else [])


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
def test_driver_that_fails_has_a_repaired_twin(name):
    """Whoever shows how it ends badly also shows how to do it: a twin that completes."""
    head = BY_NAME[name]
    assert head.repaired, f"{name} names no repaired twin"
    assert head.repaired in BY_NAME, f"{name}: there is no {head.repaired}"


def test_every_source_has_a_head():
    """A file of the folder is a driver with an expectation, or another one names it as its part."""
    parts = {name for head in HEADS for name in head.partners}
    sources = {path.name for path in driverheads.FOLDER.iterdir() if path.suffix in driverheads.SOURCES}
    assert sources - set(BY_NAME) - parts == set()


def test_the_table_is_what_the_heads_say():
    """tests/drivers/README.md is current."""
    assert (driverheads.FOLDER / "README.md").read_text() == driverheads.document(), "run: make docs"


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
        included = re.findall(r"#include\s*[<\"]([^>\"]+)", head.path.read_text())
        assert not private & set(included), head.path.name
