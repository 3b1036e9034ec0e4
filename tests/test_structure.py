"""The kernel's files lead to each other no more than they do today, counted from the objects (tools/structure.py)."""
import subprocess

import structure
from machine import TOP


def test_the_rooms_are_no_more_tangled_than_they_were(build):
    """Bounds that may only fall: mutual pairs of folders, the largest cycle's share of the files, what ke takes from above."""
    assert build
    found = structure.measure("checked")
    assert len(found.files) > 200, "the objects were not found"
    assert len(found.pairs) <= 28, found.pairs
    assert len(found.cycle) * 225 <= 185 * len(found.files), (len(found.cycle), len(found.files))
    assert len(found.upward) <= 55, found.upward


def test_a_cycle_is_found():
    """The search itself: of two cycles the larger, without what only leads into it."""
    edges = structure.defaultdict(set, {"a": {"b"}, "b": {"a"}, "c": {"d"}, "d": {"e"}, "e": {"c", "a"}, "f": {"c"}})
    assert structure.largest_cycle(edges) == {"c", "d", "e"}


def test_a_build_that_was_not_made_is_one_line():
    """An unknown build is told, with what to type."""
    done = subprocess.run([TOP / "tools/structure.py", "nonsense"], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "make BUILD=checked kernel" in done.stderr and len(done.stderr.splitlines()) == 1
