"""Which CPUs of the machine's tables are started: not the empty places, and not for long one that never answers."""

import re
import struct

import pytest

LOCAL_APIC_ADDRESS = 0xFEE00000
LOCAL_APIC, ENABLED = 0, 1
COMMAND, FIRST_BAR, LAST_BAR = 0x04, 0x10, 0x27           # of PCI configuration space
DECODES_MEMORY = 2
# The write to the ICR that starts one CPU: before QEMU 9, and since, where x2APIC's has the APIC id above the command.
STARTUP = re.compile(r"apic_(mem_writel 0x300|register_write register 0x30) = 0x([0-9a-f]*0000)?46[0-9a-f]{2}$", re.MULTILINE)


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
    """Its memory is free again, and calls to all CPUs do not wait for it."""
    boot(test="ipi", cpus=2, extra=phantom_cpus(tmp_path / "madt", 77)).assert_ktap()


def config_writes(log):
    """[(device, offset, value)] of what was written to PCI's configuration space."""
    writes = re.findall(r"pci_cfg_write (.*) @0x([0-9a-f]+) <- 0x([0-9a-f]+)", log)
    return [(device, int(offset, 16), int(value, 16)) for device, offset, value in writes]


@pytest.mark.parametrize("way,seed", (("pvh", 1), ("pvh", None), ("uefi", None)))
def test_no_address_moves_while_other_cpus_run(boot, tmp_path, way, seed):
    """A device that stops decoding is no accident when it is not in use; QEMU 7.2 dies of it now and then otherwise."""
    trace = tmp_path / "trace"
    boot("paged", cpus=2, way=way, seed=seed,
         extra=("-trace", "pci_cfg_write", "-trace", "apic_*_write*", "-D", str(trace)))
    log = trace.read_text()
    startup = STARTUP.search(log)
    assert startup, "the log shows no start of another CPU"
    decodes = {device: value & DECODES_MEMORY for device, offset, value in config_writes(log[:startup.start()])
               if offset == COMMAND}
    writes = config_writes(log[startup.end():])
    assert writes, "the disk's driver has switched nothing on: this test compares nothing"
    assert [write for write in writes if FIRST_BAR <= write[1] <= LAST_BAR] == []
    assert [write for write in writes if write[1] == COMMAND and write[2] & DECODES_MEMORY != decodes.get(write[0])] == []
