"""Disks: every kind, none, too many, too small, broken, and those that this kernel cannot drive.

Each machine here brings its own disks as arguments of QEMU. What must never happen is a wrong answer: a disk is used
and right, or refused with one line, or, where a page is lost with it, the machine stops with KERNEL_DATA_INPAGE_ERROR.
"""

import re

import pytest

from machine.volume import make_volume

MIB = 1 << 20
VIRTIO = "virtio-blk-pci,disable-legacy=on"
STATUS_IO_DEVICE_ERROR = 0xFFFFFFFFC0000185
PTE_BASE = 0xFFFFF68000000000


@pytest.fixture
def disk(tmp_path):
    """disk(size, ...) makes an image and returns QEMU's arguments for it."""
    made = []

    def maker(size=64 * MIB, *, device=VIRTIO, drive=""):
        path = tmp_path / f"disk{len(made)}.img"
        with open(path, "wb") as image:
            image.truncate(size)
        name = f"d{len(made)}"
        made.append(path)
        return ("-drive", f"if=none,id={name},format=raw,file={path}{drive}", "-device", f"{device},drive={name}")

    maker.images = made
    return maker


@pytest.fixture
def broken_disk(tmp_path):
    """QEMU's arguments for a disk that fails each request of one kind ("read", "write") but the first ones with EIO."""

    def maker(kind, good=0):
        path, rules = tmp_path / "broken.img", tmp_path / "broken.rules"
        with open(path, "wb") as image:
            image.truncate(64 * MIB)
        event = f"{kind}_aio"
        states = "".join(f'[set-state]\nevent = "{event}"\nstate = "{i}"\nnew_state = "{i + 1}"\n'
                         for i in range(1, good + 1))
        rules.write_text(f'{states}[inject-error]\nevent = "{event}"\nstate = "{good + 1}"\nerrno = "5"\n')
        return ("-drive", f"if=none,id=d0,driver=raw,file.driver=blkdebug,file.config={rules},"
                          f"file.image.driver=file,file.image.filename={path},werror=report,rerror=report",
                "-device", f"{VIRTIO},drive=d0")

    return maker


def io_lines(outcome):
    return [line for line in outcome.serial.splitlines() if line.startswith("io:")]


def page_table_entry(address):
    return PTE_BASE + (address >> 9 & 0x7FFFFFFFF8)


# ---- Disks that work ----

@pytest.mark.parametrize("build", ("checked", "free", "ubsan"))
@pytest.mark.parametrize("cpus", (1, 4))
def test_requests_and_patterns(boot, disk, build, cpus):
    boot(test="block", build=build, cpus=cpus, disk=False, extra=disk() + disk(8 * MIB)).assert_ktap()


def test_the_first_disk_is_the_page_file_and_the_second_the_dump(boot, disk):
    outcome = boot("passive", disk=False, extra=disk() + disk(8 * MIB) + disk(4 * MIB)).assert_completed()
    first, second, third = io_lines(outcome)
    assert re.fullmatch(r"io: virtio-blk at \S+: 64 MiB: page file", first)
    assert re.fullmatch(r"io: virtio-blk at \S+: 8 MiB: crash dump", second)
    assert re.fullmatch(r"io: virtio-blk at \S+: 4 MiB: not used", third)
    used = [any(image.read_bytes()) for image in disk.images]
    assert used == [True, False, False]


# A queue of 4 descriptors has room for one request, so all others wait for it.
DEVICES = {
    "with its older interface too": "virtio-blk-pci,disable-legacy=off",
    "with a queue for one request": f"{VIRTIO},queue-size=4",
    "with a long queue": f"{VIRTIO},queue-size=1024",
    "with several queues": f"{VIRTIO},num-queues=4",
    "with a packed ring on offer": f"{VIRTIO},packed=on",
}


@pytest.mark.parametrize("kind", DEVICES)
def test_a_disk(boot, disk, kind):
    boot(test="block", disk=False, extra=disk(device=DEVICES[kind])).assert_ktap()


def test_a_disk_behind_a_bridge(boot, disk):
    bridge = ("-device", "pcie-root-port,id=port0,chassis=1")
    outcome = boot("passive", disk=False, extra=bridge + disk(device=f"{VIRTIO},bus=port0")).assert_completed()
    assert "io: virtio-blk at 01:00.0" in outcome.serial


def test_a_disk_served_by_a_thread_of_its_own(boot, disk):
    thread = ("-object", "iothread,id=io0")
    boot(test="block", disk=False, extra=thread + disk(device=f"{VIRTIO},iothread=io0")).assert_ktap()


def test_shared_memory_is_a_disk_without_a_seed_too(boot, tmp_path):
    extra = ("-object", f"memory-backend-file,id=pm,share=on,mem-path={tmp_path}/pm,size=16M",
             "-device", "ivshmem-plain,memdev=pm")
    outcome = boot(test="block", disk=False, extra=extra).assert_ktap()
    assert "io: ivshmem at" in outcome.serial


@pytest.mark.parametrize("seed", (1, 2, 3))
def test_the_seed_decides_the_order_of_the_shared_disk(boot, seed):
    first, second = (boot(test="block", seed=seed, limit=120).assert_ktap() for _ in range(2))
    assert first.channel == second.channel


# ---- No disk, or none that will do ----

def test_without_a_disk_the_page_file_is_in_ram(boot):
    outcome = boot(test="block", disk=False).assert_ktap()
    assert io_lines(outcome) == ["io: no disk: paging to 31 MiB of RAM"]


def test_the_least_ram_has_a_page_file_too(boot):
    outcome = boot("paged", disk=False, mem=16)
    outcome.assert_bugcheck(0xD1, p2=2, p3=1)
    assert io_lines(outcome) == ["io: no disk: paging to 1 MiB of RAM"]


def test_a_disk_can_be_left_alone(boot, disk):
    outcome = boot("passive", append="nodisk", disk=False, extra=disk()).assert_completed()
    assert "io: no disk: paging to" in outcome.serial
    assert not any(disk.images[0].read_bytes())


REFUSED = {
    "too small": (dict(size=MIB), "1024 KiB are too small"),
    "read-only": (dict(drive=",readonly=on"), "read-only"),
    "without MSI-X": (dict(device=f"{VIRTIO},vectors=0"), "no MSI-X"),
    "of the older kind only": (dict(device="virtio-blk-pci,disable-modern=on,disable-legacy=off"),
                               "no VIRTIO 1 interface"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_disk_is_refused_in_one_line(boot, disk, kind):
    how, words = REFUSED[kind]
    outcome = boot("passive", disk=False, extra=disk(**how)).assert_completed()
    complaint, fallback = io_lines(outcome)
    assert words in complaint and complaint.endswith("not used")
    assert fallback.startswith("io: no disk: paging to")


def test_a_refused_disk_does_not_take_the_place_of_a_good_one(boot, disk):
    outcome = boot("passive", disk=False, extra=disk(MIB) + disk()).assert_completed()
    assert "64 MiB: page file" in outcome.serial


# ---- Disks that break ----

@pytest.mark.parametrize("build", ("checked", "free"))
def test_a_page_that_cannot_be_read_stops_the_machine(boot, broken_disk, build):
    outcome = boot("passive", build=build, disk=False, extra=broken_disk("read", good=2))  # QEMU and we look at sector 0
    outcome.assert_bugcheck(0x7A, p2=STATUS_IO_DEVICE_ERROR, expected=False)
    entry, _, contents, address = outcome.parameters
    assert re.search(rf"^CR2 +{address:016X}$", outcome.serial, re.MULTILINE)
    assert entry == page_table_entry(address)
    slot = contents >> 32
    assert slot > 0 and contents == slot << 32 | 4 << 5     # read-write
    assert outcome.serial.count(f"{contents:016X}") > 1     # what the story printed of the PTE, and the report


def test_a_page_that_cannot_be_written_keeps_its_frame(boot, broken_disk):
    outcome = boot("passive", disk=False, extra=broken_disk("write"))
    assert outcome.verdict["end"] == "completed" and outcome.verdict["expected"] is False
    assert re.search(r"frame given away: +PTE \w+  V = 0, transition", outcome.serial)
    assert "is not in the page file" in outcome.serial


def test_a_disk_whose_first_sector_cannot_be_read_is_left_alone(boot, broken_disk, tmp_path):
    outcome = boot("passive", disk=False, extra=broken_disk("read")).assert_completed()
    complaint, fallback = io_lines(outcome)
    assert complaint.endswith("its first sector cannot be read (0xC0000185), so what it holds is unknown: not used")
    assert fallback.startswith("io: no disk: paging to")
    assert not any((tmp_path / "broken.img").read_bytes())


def test_a_second_volume_is_left_alone(boot, disk, tmp_path):
    first, second = make_volume(tmp_path / "first.img"), make_volume(tmp_path / "second.img")
    pattern = second.read_bytes()
    extra = ("-drive", f"if=none,id=second,format=raw,file={second}", "-device", f"{VIRTIO},drive=second")
    outcome = boot("passive", disk=False, volume=first, extra=extra).assert_completed()
    assert any(line.endswith("it holds a volume, and C: is another disk: not used") for line in io_lines(outcome))
    assert second.read_bytes() == pattern


# ---- A dying machine ----

@pytest.mark.parametrize("seed", (None, 1))
def test_a_dying_machine_polls_its_disk(boot, seed):
    outcome = boot(test="crash_block_works_polled_at_HIGH_LEVEL", cpus=1, seed=seed)
    outcome.assert_bugcheck(0xE2, p1=1, p2=16, p3=16, expected=False)


# ---- Requests to devices (test_irp.c) ----

CRASHES = {"crash_irp_completed_twice": 0x44, "crash_irp_sent_without_a_location_left": 0x35,
           "crash_irp_built_with_a_bad_input": 0x7E}


@pytest.mark.parametrize("build", ("checked", "free"))
@pytest.mark.parametrize("name", CRASHES)
def test_a_misused_request_stops_the_machine(boot, build, name):
    boot(test=name, build=build, cpus=2).assert_bugcheck(CRASHES[name], expected=False)
