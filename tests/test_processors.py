"""Which CPUs of the machine's tables are started: not the empty places, and not for long one that never answers."""

import re
import struct

import pytest

LOCAL_APIC_ADDRESS = 0xFEE00000
LOCAL_APIC, ENABLED = 0, 1


def phantom_cpus(path, *apic_ids):
    """QEMU's arguments for a second MADT that lists CPUs which the machine does not have."""
    body = struct.pack("<II", LOCAL_APIC_ADDRESS, 0)
    for apic_id in apic_ids:
        body += struct.pack("<BBBBI", LOCAL_APIC, 8, apic_id, apic_id, ENABLED)
    path.write_bytes(body)
    return ("-acpitable", f"sig=APIC,data={path}")


def test_places_without_a_cpu_are_not_tried(boot):
    outcome = boot("resident", cpus=2, extra=("-smp", "2,maxcpus=8")).assert_completed()
    assert " 2 CPUs run" in outcome.serial
    assert "does not answer" not in outcome.serial


@pytest.mark.parametrize("build", ("checked", "free"))
def test_a_cpu_that_does_not_answer_is_reported_and_left_out(boot, tmp_path, build):
    extra = phantom_cpus(tmp_path / "madt", 77, 99)
    outcome = boot("paged", build=build, cpus=2, extra=extra).assert_bugcheck(0xD1, p2=2, p3=1)
    assert re.findall(r"smp: the CPU with APIC id (\d+) does not answer", outcome.serial) == ["77", "99"]
    assert " 2 CPUs run" in outcome.serial
    assert "did not answer" not in outcome.serial       # the freeze waits for those that run, and for them only


def test_a_cpu_that_does_not_answer_leaves_nothing_behind(boot, tmp_path):
    """What it had been given is free again, and calls to all CPUs do not wait for it."""
    boot(test="ipi", cpus=2, extra=phantom_cpus(tmp_path / "madt", 77)).assert_ktap()
