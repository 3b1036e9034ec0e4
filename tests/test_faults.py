"""A disk fails one request, whichever: what is read is right, or there is a status, or the machine stops with 0x7A.

QEMU counts the requests of a short run (tests/kernel/test_faults.c); then the run is repeated once for each of them, and
blkdebug fails it. FAULTS=all in the environment does the same to the long run of all file tests, which takes minutes.
"""

import os
import re
import shutil

import pytest

from build import driverbuild
from cli import driver
from conftest import ensure_built
from docs import driverheads
from machine.volume import list_files, make_volume, read_file
from test_disk import page_table_entry
from test_files import complaints

STATUS_IO_DEVICE_ERROR = 0xFFFFFFFFC0000185
READ_WRITE = 4 << 5                             # the protection field of a software PTE
MIB = 1 << 20
OF_OTHERS = 2                                   # reads of sector 0: QEMU's own, and the kernel's to see what the disk is
SPARE = 2                                       # QEMU looks at sector 0 itself, and the next run may have one request more
FILES = 4


def drive(image, folder, kind=None, at=0, once=True):
    """QEMU's arguments for a disk of which request number `at` of a kind ("read", "write") fails; 0: none does. Not once:
    all behind it fail too."""
    rules = folder / "blkdebug.rules"
    event, times = f"{kind}_aio", "on" if once else "off"
    states = "".join(f'[set-state]\nevent = "{event}"\nstate = "{i}"\nnew_state = "{i + 1}"\n' for i in range(1, at))
    rules.write_text(f'{states}[inject-error]\nevent = "{event}"\nstate = "{at}"\nerrno = "5"\nonce = "{times}"\n'
                     if at else "")
    return ("-drive", f"if=none,id=faulty,driver=raw,file.driver=blkdebug,file.config={rules},file.image.driver=file,"
                      f"file.image.filename={image},werror=report,rerror=report",
            "-device", "virtio-blk-pci,disable-legacy=on,drive=faulty")


def count(boot, image, folder, test):
    """{"read": requests, "write": requests} of a run in which nothing fails, with the outcome."""
    trace = folder / "trace.log"
    outcome = boot(test=test, build="free", cpus=2, disk=False, append="files=faulty",
                   extra=(*drive(image, folder), "-trace", "virtio_blk_handle_*", "-D", str(trace))).assert_ktap()
    lines = trace.read_text().splitlines()
    counted = {kind: sum(f"handle_{kind} " in line for line in lines) for kind in ("read", "write")}
    assert all(counted.values()), counted
    return counted


def faulty(boot, image, folder, test, kind, at):
    """The outcome of a run in which that request fails; it has an end, and nothing that was read was wrong."""
    outcome = boot(test=test, build="free", cpus=2, limit=120, disk=False, append="files=faulty",
                   extra=drive(image, folder, kind, at))
    assert outcome.verdict, f"it hangs when {kind} {at} fails"
    assert "WRONG DATA" not in outcome.serial + outcome.channel, f"{kind} {at} fails"
    return outcome


def assert_inpage_error(outcome):
    """0x7A: the PTE of the address, the status, what the PTE held, the address."""
    outcome.assert_bugcheck(0x7A, p2=STATUS_IO_DEVICE_ERROR, expected=False)
    entry, _, contents, address = outcome.parameters
    assert entry == page_table_entry(address)
    assert contents >> 32 and contents & 0xFFFFFFFF == READ_WRITE, hex(contents)


# ---- C: ----

def byte_at(file, offset):
    """The bytes that test_faults.c writes there."""
    byte = (file * 53 + offset * 31 + (offset >> 8) * 17 + 1) & 0xFF
    return 0 if byte == 0xEE else byte


def look_at_the_volume(image, pattern, serial):
    """Each file on it has its own bytes alone; those that the run was told are written have all of them. A disk that could
    not be looked at was left alone."""
    if ": volume C:" not in serial:
        assert "what it holds is unknown: not used" in serial
        assert image.read_bytes() == pattern.read_bytes()
        return
    found = {}
    for file in list_files(image):
        number = re.fullmatch(r"Temp2?/fault (\d)\.bin", file.path)
        if number and int(number[1]) < FILES:
            content = read_file(image, file.path)
            assert content == bytes(byte_at(int(number[1]), i) for i in range(len(content))), f"{file.path} is wrong"
            found[file.path] = len(content)
    for number, folder, length in re.findall(r"faults: file (\d) in (Temp2?) has (\d+) bytes", serial):
        assert found.get(f"{folder}/fault {number}.bin") == int(length), (number, found)
    assert not complaints(image)


@pytest.mark.parametrize("kind", ("read", "write"))
def test_any_request_that_fails_while_files_are_written(boot, tmp_path, kind):
    pattern, image, test = make_volume(tmp_path / "pattern.img"), tmp_path / "c.img", "faults_files_are_right"
    shutil.copyfile(pattern, image)
    last = count(boot, image, tmp_path, test)[kind]
    for at in range(1, last + SPARE + 1):
        shutil.copyfile(pattern, image)
        outcome = faulty(boot, image, tmp_path, test, kind, at)
        look_at_the_volume(image, pattern, outcome.serial)


def test_any_request_that_fails_while_files_are_read(boot, tmp_path):
    image, test = make_volume(tmp_path / "c.img"), "faults_files_of_an_earlier_boot"
    count(boot, image, tmp_path, "faults_files_are_right")
    written = image.read_bytes()
    outcome = boot(test=test, build="free", cpus=2, disk=False, append="files=faulty",
                   extra=(*drive(image, tmp_path), "-trace", "virtio_blk_handle_*", "-D", str(tmp_path / "trace.log")))
    outcome.assert_ktap()
    last = (tmp_path / "trace.log").read_text().count("handle_read ")
    assert last > FILES
    for at in range(1, last + SPARE + 1):
        faulty(boot, image, tmp_path, test, "read", at)
    assert image.read_bytes() == written


# ---- The page file ----

@pytest.mark.parametrize("kind", ("read", "write"))
def test_any_request_to_the_page_file_that_fails(boot, tmp_path, kind):
    image, test, ends = tmp_path / "pagefile.img", "faults_pages_are_right", []
    with open(image, "wb") as file:
        file.truncate(64 * MIB)
    last = count(boot, image, tmp_path, test)[kind]
    for at in range(1, last + SPARE + 1):
        outcome = faulty(boot, image, tmp_path, test, kind, at)
        ends.append(outcome.verdict["end"])
        if ends[-1] == "bugcheck":
            assert_inpage_error(outcome)
        else:
            outcome.assert_ktap()
    assert ("bugcheck" in ends) == (kind == "read")


def test_a_driver_whose_page_cannot_be_read_is_named(tmp_path):
    """Its pages have gone out, and come back no more: 0x7A, where it touched one."""
    options = driver.parse([str(driverheads.FOLDER / "paging/page_more_than_ram.c"), "--free-running", "--mem", "16", "--json"])
    ensure_built("free")
    driverbuild.make_kernel("free")
    modules = driverbuild.build(options.files, "free", tmp_path)
    machine = driver.machine_of(options, modules, tmp_path)
    with open(tmp_path / "pagefile", "wb") as file:
        file.truncate(64 * MIB)
    machine.disk, machine.extra = False, drive(tmp_path / "pagefile", tmp_path, "read", OF_OTHERS + 1, once=False)
    result = driver.run_machine(machine, tmp_path, options)
    assert (result["result"], result["code"]) == ("bugcheck", "0x0000007A"), result
    assert (result["module"], result["function"]) == ("page_more_than_ram", "ReadBack"), result["where"]
    entry, status, contents, address = (int(word, 16) for word in result["parameters"])
    assert status == STATUS_IO_DEVICE_ERROR and entry == page_table_entry(address) and contents >> 32


# ---- The long run ----

@pytest.mark.skipif(os.environ.get("FAULTS") != "all", reason="FAULTS=all asks for it: it takes minutes")
@pytest.mark.parametrize("kind", ("read", "write"))
def test_any_request_of_all_file_tests_that_fails(boot, tmp_path, kind):
    pattern, image = make_volume(tmp_path / "pattern.img"), tmp_path / "c.img"
    shutil.copyfile(pattern, image)
    last = count(boot, image, tmp_path, "files_")[kind]
    for at in range(1, last + SPARE + 1):
        shutil.copyfile(pattern, image)
        faulty(boot, image, tmp_path, "files_", kind, at)
        assert not complaints(image), f"{kind} {at} fails"
