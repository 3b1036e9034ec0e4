"""Every way the kernel starts, and every size of machine: the same driver has to end in the same crash on all of them."""

import re
import struct
import subprocess

import pytest

from host.paths import OUT
from machine.emulators import QEMU, Machine, firmware_arguments
from machine.process import Run
from picture import Picture

WAYS = ("pvh", "bios", "uefi")
WRITE, DISPATCH_LEVEL = 1, 2


def assert_paged_crash(outcome):
    """The crash that this kernel is about: a write at DISPATCH_LEVEL to memory that is paged out."""
    outcome.assert_bugcheck(0xD1, p2=DISPATCH_LEVEL, p3=WRITE)
    assert outcome.verdict["name"] == "DRIVER_IRQL_NOT_LESS_OR_EQUAL"
    assert "first thread" in outcome.serial


@pytest.mark.parametrize("build", ("checked", "free", "ubsan"))
@pytest.mark.parametrize("way", WAYS)
def test_each_build_boots_each_way(boot, way, build):
    if way == "uefi" and build != "checked":
        pytest.skip("the firmware takes 5 s, and hands over what it hands to the checked build")
    outcome = boot("paged", way=way, build=build)
    assert_paged_crash(outcome)
    assert f"{'checked' if build == 'ubsan' else build} build" in outcome.serial


@pytest.mark.parametrize("firmware", ("bios-256k.bin", "qboot.rom"))
def test_devices_have_addresses_whether_the_firmware_places_them_or_not(boot, firmware):
    outcome = boot("paged", cpus=2, extra=("-bios", firmware))
    assert_paged_crash(outcome)
    assert "MiB: page file" in outcome.serial


def test_a_device_that_the_firmware_left_out_is_not_put_where_another_one_may_be(tmp_path):
    machine = Machine(extra=("-bios", "bios-256k.bin", "-device", "edu,addr=0x1e", "-S"))
    run = Run(machine, tmp_path)
    machine.extra += ("-gdb", f"unix:{run.sockets}/gdb,server=on,wait=off")
    words = [f"target remote {run.sockets}/gdb", "hbreak PlacePciDevices", "continue",
             "monitor o /w 0xcf8 0x8000f010", "monitor o /w 0xcfc 0", "finish", "monitor info pci", "kill"]
    with run:
        run.qmp("query-status")                         # once it answers, GDB's socket is there too
        said = subprocess.run(["gdb", "-nx", "-q", "-batch", "-iex", "set debuginfod enabled off",
                               *(word for each in words for word in ("-ex", each)), OUT / "checked/kernel.elf"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60).stdout
    place = re.search(r"device +30, function 0:.*?BAR0: 32 bit memory (at \w+|\(not mapped\))", said, re.S)
    assert place and place[1] in ("at 0xffffffffffffffff", "(not mapped)"), said        # QEMU 7 and 10 on "none"


def test_a_qemu_without_the_small_firmware_takes_its_own(monkeypatch, tmp_path):
    (tmp_path / QEMU).touch(mode=0o755)
    assert firmware_arguments()[:1] == ["-bios"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert firmware_arguments() == []


def test_bochs_boots_the_iso_with_two_cpus(boot):
    outcome = boot("paged", way="bochs", cpus=2, disk=False, limit=120)
    assert_paged_crash(outcome)
    assert "2 CPUs run" in outcome.serial


@pytest.mark.parametrize("cpus", (1, 2, 4, 16, 64))
def test_all_cpus_come_up(boot, cpus):
    outcome = boot("paged", cpus=cpus)
    assert_paged_crash(outcome)
    assert f"ke: {cpus} CPU{'s' * (cpus > 1)} run" in outcome.serial


def test_the_command_line_can_hold_cpus_back(boot):
    outcome = boot("paged", cpus=4, append="cpus=2")
    assert_paged_crash(outcome)
    assert " 2 CPUs run" in outcome.serial


def second_madt(path, entries):
    """QEMU's arguments for one more table of CPUs beside the firmware's own."""
    path.write_bytes(struct.pack("<II", 0xFEE00000, 1) + entries)
    return ("-acpitable", f"sig=APIC,data={path}")


def local_apic(apic_id, is_enabled):
    return struct.pack("<BBBBI", 0, 8, apic_id, apic_id, is_enabled)


def test_a_cpu_that_does_not_answer_is_reported_and_left_out(boot, tmp_path):
    table = second_madt(tmp_path / "madt", local_apic(40, True) + local_apic(41, False) + local_apic(1, True))
    outcome = boot("paged", cpus=2, extra=table)
    assert_paged_crash(outcome)
    assert "APIC id 40 does not answer and is left out" in outcome.serial
    assert "APIC id 41" not in outcome.serial
    assert " 2 CPUs run" in outcome.serial


@pytest.mark.parametrize("entries", (b"\0\0\1", b"\1\xff\1\2", b"\0\3\1"), ids=("empty", "too long", "too short"))
def test_damaged_firmware_tables_do_no_harm(boot, tmp_path, entries):
    outcome = boot("paged", cpus=2, extra=second_madt(tmp_path / "madt", entries))
    assert_paged_crash(outcome)
    assert " 2 CPUs run" in outcome.serial


def test_without_firmware_tables_the_boot_cpu_runs_alone(boot):
    outcome = boot("paged", cpus=2, extra=("-machine", "pc,acpi=off"))
    assert_paged_crash(outcome)
    assert "acpi: no tables" in outcome.serial and " 1 CPU runs" in outcome.serial


@pytest.mark.parametrize("mem", (16, 32, 64, 512, 1024, 2048, 4096))
def test_all_sizes_of_memory(boot, mem):
    boot("resident", mem=mem).assert_completed()
    assert_paged_crash(boot("paged", mem=mem))


def test_the_iso_boots_in_the_least_memory(boot):
    assert_paged_crash(boot("paged", way="bios", mem=16))


def test_memory_is_kept_on_both_sides_of_the_hole_below_4_gib(boot):
    assert_paged_crash(boot("paged", way="bios", mem=4096))


def test_without_a_disk_the_page_file_is_in_ram_and_the_kernel_says_so(boot):
    outcome = boot("paged", disk=False)
    assert_paged_crash(outcome)
    assert "no disk: paging to" in outcome.serial


def test_a_machine_that_cannot_be_left_halts_after_its_verdict(boot):
    outcome = boot("resident", screen=True)
    outcome.assert_completed()
    assert outcome.ended == "verdict"


@pytest.mark.parametrize("way", ("pvh", "bios"))
def test_the_screen_tells_the_story_as_com1_does(boot, way):
    outcome = boot("passive", way=way, screen=True)
    lines = [line.rstrip() for line in outcome.serial.splitlines() if "Bugcheck, " in line or "  " in line]
    seen = [line.strip() for line in Picture(outcome.screen).text()]
    assert [seen.count(line.strip()) for line in lines] == [1] * len(lines), seen


# A machine that the kernel cannot use gets one line, and is left.
UNUSABLE = {
    "too little memory": (("-m", "8M"), "16 MiB"),
    "no NX": (("-cpu", "max,-nx"), "NX"),
    "no APIC": (("-cpu", "max,-apic"), "APIC"),
    "no long mode": (("-cpu", "max,-lm"), "long mode"),
}


@pytest.mark.parametrize("lack", UNUSABLE)
def test_a_machine_that_will_not_do_is_told_why(boot, lack):
    extra, word = UNUSABLE[lack]
    outcome = boot("resident", cpus=1, extra=extra, limit=20)
    lines = outcome.serial.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("Bugcheck needs") and word in lines[0], lines
    assert outcome.status == 35


@pytest.mark.parametrize("lack", ("too little memory", "no NX", "no APIC"))
def test_a_machine_that_will_not_do_is_told_why_on_the_screen(start, lack):
    extra, word = UNUSABLE[lack]
    run = start(Machine(way="bios", cmdline="scenario=resident", cpus=1, leave=False, extra=extra))
    outcome = run.wait(60)
    assert outcome.ended == "halted" and outcome.verdict is None
    run.screendump(run.folder / "screen.png")
    line = next(line.strip() for line in Picture(run.folder / "screen.png").text() if line)
    assert line.startswith("Bugcheck needs") and word in line and line in outcome.serial


def test_an_unknown_scenario_is_refused_with_the_list(boot):
    outcome = boot("nonsense")
    assert outcome.verdict["expected"] is False
    assert "nonsense" in outcome.serial and "pageable-code" in outcome.serial
    outcome.assert_status(35)


@pytest.mark.parametrize("cpus", (1, 2, 4))
def test_a_seed_repeats_a_run_to_the_byte(boot, cpus):
    first, second = (boot("paged", seed=5, cpus=cpus) for _ in range(2))
    assert_paged_crash(first)
    assert first.serial == second.serial
    assert first.channel == second.channel


def test_seeds_differ(boot):
    serials = {boot("paged", seed=seed).serial.replace(f"seed={seed}", "") for seed in (1, 2, 3)}
    assert len(serials) > 1, "three seeds gave one schedule"


@pytest.mark.parametrize("way", ("bios", "uefi"))
def test_the_blue_screen_is_drawn_where_the_boot_loader_put_the_screen(boot, way):
    outcome = boot("paged", way=way, screen=True)
    assert_paged_crash(outcome)
    text = "\n".join(Picture(outcome.screen).text())
    assert "The four parameters" in text and outcome.verdict["where"] in text
