"""Data races: one that is planted is found, with both accesses and both stacks; the kernel itself has none."""

import re
import subprocess

import pytest

from host.paths import TOP

pytestmark = pytest.mark.spare                  # to make this build and to run it takes long
PLANTED = "crash_E2_after_counting_"
STACK = re.compile(r"^race:     CPU (\d) at IRQL (\d+), thread 'test cpu', (\w+) 8 bytes at (0x[0-9a-f]+)(, marked)?:\n"
                   r"race:         ktest!(\w+)\+0x[0-9a-f]+ \(crash_bugcheck\.c:\d+\)\n"
                   r"race:         ktest!CountOften\+", re.M)


def counted(boot, name, **machine):
    """{the line that names both accesses: its block} of what a run said of races; it ends as it is meant to."""
    outcome = boot(test=PLANTED + name, build="race", finds_races=True, **machine)
    outcome.assert_bugcheck(0xE2, expected=False)
    told = "".join(line for line in outcome.serial.splitlines(keepends=True) if line.startswith("race:"))
    return {block.splitlines()[0]: block for block in re.split(r"^(?=race: \S)", told, flags=re.M) if block}


@pytest.mark.parametrize("machine", ({"cpus": 2}, {"cpus": 4}, {"cpus": 2, "seed": 1}, {"cpus": 4, "seed": 2}), ids=str)
def test_a_counter_without_a_lock_is_a_race(boot, machine):
    """Both accesses are named in one line, and each has its CPU, its IRQL, its thread and its stack."""
    told = counted(boot, "without_a_lock", **machine)
    both = {name: block for name, block in told.items() if "not seen" not in name}
    assert both, told
    for name, block in both.items():
        assert re.match(r"race: ktest!CountUnlocked \(crash_bugcheck\.c:\d+\) (writes|reads) while "
                        r"ktest!CountUnlocked \(crash_bugcheck\.c:\d+\) (writes|reads)$", name), name
        first, second = STACK.findall(block)
        assert first[0] != second[0] and first[1] == second[1] == "2" and first[3] == second[3], block
        assert "writes" in (first[2], second[2]) and {first[5], second[5]} == {"CountUnlocked"}, block


@pytest.mark.parametrize("name", ("under_a_lock", "by_marked_accesses"))
def test_what_is_guarded_or_meant_is_none(boot, name):
    """Under a spin lock, and by accesses that are all marked."""
    for machine in ({"cpus": 4}, {"cpus": 4, "seed": 1}):
        assert counted(boot, name, **machine) == {}


def test_one_marked_access_of_two_is_a_race(boot):
    """The report says which of them was marked."""
    told = "".join(counted(boot, "by_a_marked_write", cpus=2, seed=1).values())
    assert {(stack[2], stack[4]) for stack in STACK.findall(told)} == {("reads", ""), ("writes", ", marked")}, told


def test_a_race_fails_a_test(boot):
    """Of every machine that a test starts."""
    with pytest.raises(pytest.fail.Exception, match="data races"):
        boot(test=PLANTED + "without_a_lock", build="race", cpus=2, seed=1)


@pytest.mark.parametrize("machine", ({"cpus": 4}, {"cpus": 2, "seed": 1}, {"cpus": 4, "seed": 2}), ids=str)
def test_the_kernel_has_no_race(boot, machine):
    """A sample of its concurrent tests; `make races` runs all."""
    for group in SAMPLE:
        boot(test=group, build="race", limit=300, **machine).assert_ktap()


SAMPLE = ("dpc", "threads", "wait")


def test_the_command_tells_a_race(build):
    """With the block that the kernel told, and exit 1; nothing to run is one line and exit 2."""
    done = subprocess.run([TOP / "tools/bugcheck", "races", "nosuchtest", "--seed", "1", "--cpus", "2"], capture_output=True, text=True,
                          timeout=300)
    assert done.returncode == 2 and "no test's name starts with 'nosuchtest'" in done.stderr, done.stdout + done.stderr
