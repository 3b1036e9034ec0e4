"""The checked build's own findings: each of its rules about locks and IRQL stops the machine when it is broken.

tests/kernel/crash_checked.c says on COM2 what it is about to cause; the verdict of the dying kernel must say the same.
"""

import re
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent / "kernel" / "crash_checked.c"
NAMES = ["crash_" + name for name in re.findall(r"^KTEST_CRASH\((\w+)\)", SOURCE.read_text(), re.MULTILINE)]


@pytest.mark.parametrize("name", NAMES)
def test_stops_the_checked_build(boot, name):
    outcome = boot(test=name, cpus=2)
    words = re.search(r"^# expect (.*)$", outcome.channel, re.MULTILINE)[1].split()
    code, *parameters = [None if word == "any" else int(word, 16) for word in words]
    outcome.assert_bugcheck(code, **dict(zip(("p1", "p2", "p3", "p4"), parameters)), expected=False)
    assert f"ktest!{name}" in outcome.serial
