"""The tests' CPU seconds: measured by the last run on this machine, guessed before that.

CPU seconds, not seconds of the wall, which depend on what else the machine does.

usage: tools/tool cli.testtimes   prints how many tests there are and about how long they take here
"""
import json
import math
import os
import re

from host.paths import OUT

MEMORY = OUT / "tests.json"
TESTS = 2590                                    # about; a run of all of them knows better
USUAL = 0.6                                     # a test that boots a machine
MEAN = 0.50                                     # a test of a whole run, with its share of the builds
# The others, before they are measured: what a test's name begins with, the longest name that fits counts.
GUESSES = {"test_docs.py::test_lint[": 5, "test_docs.py::test_lint_of_changed_files": 2, "test_docs.py::test_lint": 120,
           "test_kernel.py::test_inside_free_running": 20,
           "test_kernel.py::test_inside_under_seed": 7, "test_kernel.py::test_a_seed_repeats": 4, "test_ktap.py": 0.01,
           "test_tools.py": 0.8, "test_host.py": 4, "test_fuzz.py": 15, "test_files.py": 2.5, "test_step.py": 2.5,
           "test_rewind.py": 2.5, "test_docs.py": 0.5, "test_dump.py": 1, "test_kd": 0.8, "test_disk.py": 1.5,
           "test_faults.py": 3, "test_driver_tool.py": 1.2, "test_wdm.py": 1, "test_trace.py": 1, "test_boot.py": 1.5,
           "test_models.py": 0.8, "test_models.py::test_the_rules_hold": 3, "test_soak.py": 1,
           "test_bugcheck.py::test_undefined_behaviour": 40}


def recalled(path=None):
    """{test: CPU seconds}, of every test that was ever run here."""
    try:
        return {str(name): float(spent) for name, spent in json.loads((path or MEMORY).read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def remember(spent, existing=None, path=None):
    """Adds what a run measured; forgets the tests that are not among existing, where all are known."""
    path = path or MEMORY
    known = {**recalled(path), **spent}
    kept = {name: round(seconds, 2) for name, seconds in known.items() if existing is None or name in existing}
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(json.dumps(kept, indent=0, sort_keys=True) + "\n")
    fresh.replace(path)


def guess(name):
    """CPU seconds of a test that was never measured."""
    short = re.sub(r"^.*tests/", "", name)
    return max(((len(start), seconds) for start, seconds in GUESSES.items() if short.startswith(start)), default=(0, USUAL))[1]


def expected(name, known):
    """CPU seconds of a test."""
    return known.get(name, guess(name))


def estimate():
    """(how many tests there are, about how many minutes they take on this machine's CPUs)."""
    known = recalled()
    count = max(len(known), TESTS)
    seconds = sum(known.values()) + (count - len(known)) * MEAN
    return count, max(1, math.ceil(seconds / len(os.sched_getaffinity(0)) / 60))


def main(words):
    if words:
        return __doc__
    print("%d tests, about %d minutes" % estimate())
    return 0
