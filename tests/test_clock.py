"""How fast the clocks run is measured at the start. A host that is busy just then may not make them seem slower than they are:
the clock would tick too fast, and its watchdogs bite."""

import re
import subprocess

from conftest import ensure_built
from host.paths import OUT, TOP

APIC_TIMER_MHZ = 1000                           # QEMU's local APIC counts nanoseconds
CPU_STOPS_US = 300


def measured(outcome):
    """(MHz of the local APIC's timer, MHz of the TSC)."""
    found = re.search(r"APIC timer at (\d+) MHz, TSC at (\d+) MHz", outcome.serial)
    return int(found[1]), int(found[2])


def measuring_code():
    """(from, to) of the kernel's code that runs the PIT."""
    listing = subprocess.run(["nm", "-S", OUT / "checked/kernel.elf"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"^(\w+) (\w+) . (?:RunPit|MeasureByPit)$", listing, re.MULTILINE)
    assert found, "the code that runs the PIT has another name now"
    return int(found[1], 16), int(found[1], 16) + int(found[2], 16)


def slow_host(folder):
    """QEMU's arguments for a CPU that stops at the first execution of each instruction of that code."""
    ensure_built("checked")
    plugin = folder / "slowhost.so"
    subprocess.run(["gcc", "-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", f"-I{TOP}/tools/plugin",
                    "-o", plugin, TOP / "tests/host/slowhost.c"], check=True, timeout=60)
    start, end = measuring_code()
    return "-plugin", f"{plugin},from={start:#x},to={end:#x},us={CPU_STOPS_US}"


def test_a_machine_that_has_been_up_for_a_while(boot):
    boot(test="clock_uptime", append="uptime=1234").assert_ktap()


def test_a_busy_host_does_not_make_the_clock_tick_faster(boot, tmp_path):
    quiet = measured(boot("resident"))
    disturbed = measured(boot("resident", extra=slow_host(tmp_path)))
    assert quiet[0] > 0.97 * APIC_TIMER_MHZ
    assert disturbed[0] > 0.97 * APIC_TIMER_MHZ
    assert disturbed[1] > 0.9 * quiet[1]
