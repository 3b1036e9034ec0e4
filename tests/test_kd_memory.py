"""The debugger's memory commands against what two drivers allocated and said on COM1, and against all of RAM, which QMP
saved at the same moment and whose page tables are walked here once more.
"""

import fcntl
import os
import re
import struct
from collections import namedtuple

import pytest

from conftest import ensure_built
from host.paths import OUT
from kdhelp import MACHINE_LIMIT, dump, kd, live, run_kd, shared_folder, verdict_of      # noqa: F401
from machine.emulators import Machine
from machine.process import Run, hang_report
from modules import call, make_archive, make_driver

PAGE = 4096
MEMORY = 32                                     # MiB
KERNEL = OUT / "checked" / "kernel.elf"

HEAD = """
#include <ntifs.h>
DRIVER_INITIALIZE DriverEntry;
static PUCHAR Take(PCSTR Name, POOL_TYPE Type, SIZE_T Bytes, ULONG Tag, SIZE_T Filled) {
    PUCHAR P = ExAllocatePoolWithTag(Type, Bytes, Tag);
    for (SIZE_T At = 0; P != NULL && At < Filled; At++) {
        P[At] = (UCHAR)(At * 7 + Bytes);
    }
    DbgPrint("block %s %p\\n", Name, P);
    return P;
}
"""

PLAIN = HEAD + """
NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    Take("nx", NonPagedPoolNx, 200, 'xnmK', 200);
    Take("executable", NonPagedPool, 1000, 'xemK', 0);
    Take("paged", PagedPool, 600, 'gpmK', 600);
    Take("protected", NonPagedPoolNx, 40, 'rpmK' | 0x80000000, 0);
    Take("large", NonPagedPoolNx, 10000, 'glmK', 10000);
    Take("untouched", PagedPool, 3 * PAGE_SIZE, 'tumK', 100);
    ExFreePool(Take("freed", NonPagedPoolNx, 300, 'rfmK', 300));
    ExFreePool(Take("given-back", PagedPool, 64 * PAGE_SIZE, 'bgmK', 10)); /* its last pages are not needed again */
    PUCHAR Couple[8]; /* two of them leave 64 bytes of a page: what the scenario's driver asks for */
    for (ULONG Index = 0; Index < 8; Index++) {
        Couple[Index] = Take("couple", PagedPool, 2000, 'ucmK', 2000);
    }
    ExFreePool(Couple[0]);
    ExFreePool(Couple[1]);
    return STATUS_SUCCESS;
}
"""

SPECIAL = HEAD + """
NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNREFERENCED_PARAMETER(Driver);
    UNREFERENCED_PARAMETER(Path);
    Take("special", NonPagedPoolNx, 72, 'sSmK', 72);
    ExFreePool(Take("special-freed", NonPagedPoolNx, 56, 'fSmK', 56));
    return STATUS_SUCCESS;
}
"""

COMMANDS = {
    "pte nx": "!pte {nx:x}", "pte executable": "!pte {executable:x}", "pte paged": "!pte {paged:x}",
    "pte untouched": "!pte {untouched:x}+1000", "pte large": "!pte {large:x}",
    "pte given-back": "!pte {given-back:x}+3f000",
    "pte freed": "!pte {special-freed:x}", "pte special": "!pte {special:x}", "pte fatal": "!pte {fatal:x}",
    "pte code": "!pte nt!KeBugCheckEx", "pte direct": "!pte ffff880000400000", "pte null": "!pte 0",
    "pte guard": "!pte fffff90000000000", "pte device": "!pte fffff88000000000", "pte hole": "!pte fffffa7fffff0000",
    "pool nx": "!pool {nx:x}+10 3", "pool executable": "!pool {executable:x}", "pool paged": "!pool {paged:x}+20 3",
    "pool couple": "!pool {couple:x} 3", "pool parks": "!pool poi(nt!MiPoolParks)+10",
    "pool protected": "!pool {protected:x}", "pool large": "!pool {large:x}+2345", "pool freed": "!pool {freed:x}",
    "pool untouched": "!pool {untouched:x}+1800", "pool special": "!pool {special:x} 1",
    "pool special-freed": "!pool {special-freed:x}", "pool fatal": "!pool {fatal:x}",
    "pool given-back": "!pool {given-back:x}+3f000", "pool stack": "!pool fffff90000001000", "pool null": "!pool 0",
    "poolval nx": "!poolval {nx:x}", "poolval large": "!poolval {large:x}", "poolval code": "!poolval nt!KeBugCheckEx",
    "poolused": "!poolused 1 Km*", "poolused all": "!poolused 4", "poolused none": "!poolused 0 Nope",
    "vm": "!vm 1", "memusage": "!memusage", "pfn first": "!pfn {first:x}", "pfn none": "!pfn 0",
    "pfn huge": "!pfn 1000000000",
    "address nx": "!address {nx:x}", "address": "!address", "address stack": "!address {rsp:x}",
    "no argument": "!pte", "no canonical": "!pte 1234567800000000", "no number": "!pool ]["}

Observed = namedtuple("Observed", "folder core serial ram cr3 rsp blocks")


def observe(folder):
    """Runs the machine into its crash, and saves its dump and all of its RAM."""
    ensure_built("checked")
    for name, text in (("pools", PLAIN), ("spools", SPECIAL)):
        make_driver(folder, name, text)
    archive = make_archive(folder / "boot.cpio", OUT / "checked",
                           {"pools": folder / "pools.sys", "spools": folder / "spools.sys"})
    words = "scenario=paged load=pools,spools verifier=special-pool verify=spools"
    machine = Machine(cmdline=words, cpus=2, mem=MEMORY, leave=False, archive=archive)
    with Run(machine, folder) as run:
        outcome = run.wait(MACHINE_LIMIT)
        if outcome.verdict is None:
            pytest.fail("\n".join(hang_report(run, MACHINE_LIMIT)), pytrace=False)
        run.qmp("dump-guest-memory", paging=True, protocol=f"file:{folder}/crash.elf")
        run.qmp("pmemsave", val=0, size=MEMORY << 20, filename=f"{folder}/ram.bin")
        (folder / "registers").write_text(run.monitor("info registers"))


@pytest.fixture(scope="session")
def observed(tmp_path_factory):
    """The crashed machine that most tests here look at; made once for all workers."""
    folder = shared_folder(tmp_path_factory) / "kd-memory"
    folder.mkdir(exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "made").exists():
            observe(folder)
            (folder / "made").write_text("")
    return load(folder)


def load(folder):
    serial, registers = (folder / "serial.log").read_text(), (folder / "registers").read_text()
    blocks = {name: int(place, 16) for name, place in re.findall(r"^block (\S+) ([0-9A-Fa-f]+)", serial, re.M)}
    blocks["fatal"] = int(re.search(r"\*\*\* \(0x([0-9A-F]+),", serial)[1], 16)
    couples = [int(place, 16) for place in re.findall(r"^block couple ([0-9A-Fa-f]+)", serial, re.M)]
    blocks["couple"] = next(place for place in couples if place // PAGE == blocks["fatal"] // PAGE)
    return Observed(folder, folder / "crash.elf", serial, (folder / "ram.bin").read_bytes(),
                    int(re.search(r"CR3=([0-9a-f]+)", registers)[1], 16),
                    int(re.search(r"RSP ([0-9A-F]+)", serial)[1], 16), blocks)


@pytest.fixture(scope="session")
def said(observed):
    """The answer of each command of COMMANDS; one session of the debugger, shared by all workers."""
    path = observed.folder / "said"
    with open(observed.folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            known = dict(observed.blocks, rsp=observed.rsp)
            known["first"] = walk(observed, observed.blocks["nx"])[-1] >> 12 & MASK
            line = ";".join(f"gdb echo @@@{name}@@@\\n;{command.format(**known)}" for name, command in COMMANDS.items())
            path.write_text(run_kd([observed.core, "-c", line], status=1))
    parts = path.read_text().split("@@@")
    answers = dict(zip(parts[1::2], (part.lstrip("\n") for part in parts[2::2])))
    assert list(answers) == list(COMMANDS)
    return answers


# ---- The page tables, walked here in the saved RAM ----

MASK = 0xFFFFFFFFFF


def physical_word(observed, address):
    return struct.unpack_from("<Q", observed.ram, address)[0]


def walk(observed, address):
    """The entries that translate an address, to the first that is not valid or a large page."""
    entries, table = [], observed.cr3
    for shift in (39, 30, 21, 12):
        entries.append(physical_word(observed, (table & MASK << 12) + (address >> shift & 511) * 8))
        if not entries[-1] & 1 or shift in (30, 21) and entries[-1] & 0x80:
            break
        table = entries[-1]
    return entries


def bytes_at(observed, address, size):
    """Memory of one page, by its physical address."""
    entries = walk(observed, address)
    assert entries[-1] & 1, f"{address:x} is not mapped"
    span = 1 << 12 + 9 * (4 - len(entries))
    at = (entries[-1] & MASK << 12 & -span) + address % span
    return observed.ram[at:at + size]


def symbol(name):
    """The address of a symbol of the kernel."""
    lines = call("nm", KERNEL).splitlines()
    return next(int(line.split()[0], 16) for line in lines if line.split()[-1] == name)


def global_word(observed, name, offset=0):
    return struct.unpack("<Q", bytes_at(observed, symbol(name) + offset, 8))[0]


def flags_of(entry):
    letters = [(9, "C"), (8, "G"), (7, "L"), (6, "D"), (5, "A"), (4, "N"), (3, "T")]
    text = "".join(letter if entry >> bit & 1 else "-" for bit, letter in letters)
    return text + "KU"[entry >> 2 & 1] + "RW"[entry >> 1 & 1] + "E-"[entry >> 63] + "V"


def numbers(text, label):
    """The first number behind a label."""
    return int(re.search(rf"{re.escape(label)}:?\s+(\d+)", text)[1])


# ---- !pte ----

@pytest.mark.parametrize("name, address", [
    ("nx", "nx"), ("executable", "executable"), ("paged", "paged"), ("large", "large"), ("special", "special"),
    ("fatal", "fatal"), ("untouched", "untouched"), ("code", "KeBugCheckEx"), ("direct", 0xFFFF880000400000),
    ("null", 0), ("given-back", "given-back"), ("freed", "special-freed"), ("guard", 0xFFFFF90000000000)])
def test_pte_shows_what_the_tables_in_RAM_hold(observed, said, name, address):
    if isinstance(address, str):
        address = observed.blocks.get(address) or symbol(address)
    address += {"untouched": 0x1000, "given-back": 0x3F000}.get(name, 0)
    entries, text = walk(observed, address), said[f"pte {name}"]
    assert f"VA {address:016x}" in text
    shown = [int(word, 16) for word in re.findall(r"contains ([0-9A-F]{16})", text)]
    assert shown[:len(entries)] == entries and not any(shown[len(entries):]), text
    table = 0xFFFFF68000000000
    places = [address]
    for _ in range(4):
        places.append(table + (places[-1] >> 9 & 0x7FFFFFFFF8))
    assert re.findall(r"P[XPDT]E at ([0-9A-F]{16})", text) == [f"{place:016X}" for place in places[:0:-1]]
    for entry in entries:
        if entry & 1:
            assert re.search(rf"pfn {entry >> 12 & MASK:x} +{flags_of(entry)}", text), text


def test_pte_tells_where_the_fatal_page_is(observed, said):
    """COM1 printed the same entry as the machine died; the slot holds the number that the driver had stored."""
    slot = int(re.search(r"frame given away: +PTE [0-9A-F]+ .*slot (\d+)", observed.serial)[1])
    assert re.search(rf"PageFile:  0\n +Offset: {slot:x}\n +Protect: 4 - ReadWrite", said["pte fatal"])
    assert "At DISPATCH_LEVEL: no." in said["pte fatal"] and f"slot 0x{slot:x}" in said["pte fatal"]
    with open(observed.folder / "pagefile.img", "rb") as image:
        image.seek(slot * PAGE + observed.blocks["fatal"] % PAGE)
        assert struct.unpack("<Q", image.read(8))[0] == 42


def test_pte_of_pages_that_are_nowhere(said):
    assert "DemandZero" in said["pte untouched"] and "never touched" in said["pte untouched"]
    assert "Page has been freed" in said["pte given-back"] and "given back" in said["pte given-back"]
    assert "Page has been freed" in said["pte freed"]
    assert "guard page" in said["pte guard"]
    assert "user half" in said["pte null"]
    assert "not even a page table" in said["pte hole"]


def test_pte_tells_what_may_be_touched_at_DISPATCH_LEVEL(said):
    assert "At DISPATCH_LEVEL: yes" in said["pte nx"] and "At DISPATCH_LEVEL: yes" in said["pte code"]
    assert "At DISPATCH_LEVEL: no" in said["pte untouched"]
    assert "LARGE PAGE pfn 400" in said["pte direct"] and "a device's" in said["pte device"]


def test_a_page_in_transition(dump, kd):
    """The verifier's trimming leaves the page in its frame: COM1 has printed the frame."""
    path = dump("verifier")
    fatal = int(verdict_of(path)["p"][0], 16)
    frame = re.search(r"transition, page frame 0x([0-9a-f]+)", (path.parent / "serial.log").read_text())[1]
    text = kd(path, f"!pte {fatal:x}", f"!pfn {frame}", f"!address {fatal:x}")
    assert re.search(rf"not valid\n +Transition: {frame}\n +Protect: 4 - ReadWrite", text), text
    assert re.search(r"At DISPATCH_LEVEL: no\. The contents are still in page frame", text)
    assert f"maps or remembers {fatal & ~(PAGE - 1):016x}" in text and re.search("Modified|Standby", text)


# ---- !pfn ----

def test_pfn_shows_the_record_in_RAM(observed, said):
    number = walk(observed, observed.blocks["nx"])[-1] >> 12 & MASK
    record = 0xFFFFFA0000000000 + number * 48
    assert f"PFN {number:08X} at address {record:016X}" in said["pfn first"]
    assert "Active" in said["pfn first"]
    assert bytes_at(observed, record, 48)[24] == 6
    assert "no RAM" in said["pfn none"] and "no RAM" in said["pfn huge"]


# ---- !pool ----

def block_line(text, address):
    """(size, state, tag) of the marked line, which must be that of a block whose header is in front of address."""
    found = re.search(rf"^\*{address - 16:016x} size: +([0-9a-f]+) previous size: +[0-9a-f]+  \((.*?)\) +\*(.*)$",
                      text, re.M)
    assert found, text
    return int(found[1], 16), found[2], found[3]


def rounded(size):
    return (size + 15) // 16 * 16 + 16


@pytest.mark.parametrize("name, size, tag, region", [
    ("nx", 200, "Kmnx", "Nonpaged pool"), ("executable", 1000, "Kmex", "Nonpaged pool"),
    ("paged", 600, "Kmpg", "Paged pool"), ("protected", 40, "Kmpr (Protected)", "Nonpaged pool")])
def test_pool_finds_the_block_that_a_driver_allocated(observed, said, name, size, tag, region):
    text = said[f"pool {name}"]
    assert f"region is {region}" in text
    assert block_line(text, observed.blocks[name]) == (rounded(size), "Allocated", tag)
    assert f"Pooltag {tag[:4]} : Binary : pools.sys" in text


def test_pool_pages_add_up(observed, said):
    """Every header of the page, and each one's size of the block before it."""
    text = said["pool executable"]
    lines = re.findall(r"^[ *]([0-9a-f]{16}) size: +([0-9a-f]+) previous size: +([0-9a-f]+)", text, re.M)
    at, before = observed.blocks["executable"] & ~(PAGE - 1), 0
    for header, size, previous in lines:
        assert int(header, 16) == at and int(previous, 16) == before
        raw = bytes_at(observed, at, 4)
        assert (raw[2] * 16, raw[0] * 16) == (int(size, 16), int(previous, 16))
        at, before = at + int(size, 16), int(size, 16)
    assert at % PAGE == 0 and lines


def test_pool_shows_contents(observed, said):
    """The bytes that the driver wrote; those of the block in the fatal page from the page file, which is said."""
    for name, size in (("nx", 200), ("paged", 600), ("couple", 2000)):
        words = re.findall(r"^ {8}[0-9a-f]{8}`[0-9a-f]{8}  ([0-9a-f ]+)$", said[f"pool {name}"], re.M)
        raw = b"".join(int(word, 16).to_bytes(4, "little") for line in words for word in line.split())
        assert raw[:size] == bytes((at * 7 + size) % 256 for at in range(size)), name
    assert "kd: paged out, read from the page file" not in said["pool nx"]
    slot = walk(observed, observed.blocks["couple"])[-1] >> 32
    assert f"(slot {slot:#x} of pagefile.img)" in said["pool couple"]


def test_pool_of_whole_pages(observed, said):
    first = f"*{observed.blocks['large']:016x} : large page allocation"
    assert f"{first}, tag is Kmlg, size is 0x2710 bytes" in said["pool large"]
    assert "tag is Kmut, size is 0x3000 bytes" in said["pool untouched"]
    assert "was given back as a whole page" in said["pool given-back"]


def test_pool_of_freed_and_of_no_pool(observed, said):
    assert block_line(said["pool freed"], observed.blocks["freed"])[1].startswith("Free")
    assert "the pool's own" in said["pool parks"]
    assert "region is Unknown" in said["pool stack"] and "kernel stacks" in said["pool stack"]
    assert "no pool memory" in said["pool null"]


def test_pool_of_special_pool(observed, said):
    block, text = observed.blocks["special"], said["pool special"]
    assert f"*{block & ~(PAGE - 1):016x} size:   48 data: {block:016x} (NonPaged, allocated) *KmSs" in text
    assert "spools.sys" in text and re.search(r"allocated by +spools!Take\+0x", text)
    assert "(NonPaged, freed) *KmSf" in said["pool special-freed"]
    assert re.search(r"freed by +spools!DriverEntry\+0x", said["pool special-freed"]), said["pool special-freed"]


def test_pool_without_the_page_file(observed, tmp_path):
    """The blocks of the fatal page come from the kernel's own record then; they are the same, without contents."""
    alone = tmp_path / "crash.elf"
    alone.symlink_to(observed.core)
    text = run_kd([alone, "-c", f"!pool {observed.blocks['fatal']:x} 2;!pool {observed.blocks['couple']:x} 3"])
    assert "the page itself is not there (paged out, page file slot" in text
    assert "no pagefile.img beside the dump" in text
    assert "*Secr" in text and block_line(text, observed.blocks["couple"]) == (rounded(2000), "Allocated", "Kmcu")
    assert "read from the page file" not in text


def test_a_page_file_of_a_later_run_is_not_believed(observed, tmp_path):
    (tmp_path / "crash.elf").symlink_to(observed.core)
    (tmp_path / "pagefile.img").write_bytes(bytes(64 * PAGE))
    age = observed.core.stat().st_mtime + 1000
    os.utime(tmp_path / "pagefile.img", (age, age))
    text = run_kd([tmp_path / "crash.elf", "-c", f"!pool {observed.blocks['couple']:x} 3"])
    assert "belongs to a later run" in text and block_line(text, observed.blocks["couple"])[2] == "Kmcu"


# ---- !poolused ----

def test_poolused_counts_what_the_driver_did(said):
    rows = {line[1:5]: list(map(int, line[5:].split("\t")[0].split())) for line in said["poolused"].splitlines()
            if line.startswith(" Km")}
    assert rows["Kmcu"] == [0, 0, 0, 0, 8, 2, 6, 6 * rounded(2000)]
    assert rows["Kmnx"] == [1, 0, 1, rounded(200), 0, 0, 0, 0]
    assert rows["Kmlg"] == [1, 0, 1, 3 * PAGE, 0, 0, 0, 0]
    assert rows["Kmgb"] == [0, 0, 0, 0, 1, 1, 0, 0]
    total = [int(word) for word in re.search(r"^ TOTAL(.*)$", said["poolused"], re.M)[1].split()]
    assert total == [sum(column) for column in zip(*rows.values())]
    assert "no tag 'Nope' was ever used" in said["poolused none"]


def test_poolused_sorts(said):
    used = [int(number) for number in re.findall(r"^ .{4} (?: +\d+){3} +(\d+)\b", said["poolused all"], re.M)]
    assert "Sorting by Paged Pool Consumed" in said["poolused all"]
    assert used == sorted(used, reverse=True) and used[0] > 0


# ---- !poolval ----

def test_poolval_finds_nothing_wrong(observed, said):
    page = observed.blocks["nx"] & ~(PAGE - 1)
    assert f"Pool page [ {page:016x} ] is __VALID." in said["poolval nx"]
    assert "large page allocation" in said["poolval large"] and "no page of small pool blocks" in said["poolval code"]


class Core:
    """A copy of the dump, whose memory can be changed."""

    def __init__(self, observed, folder):
        self.path = folder / "crash.elf"
        self.bytes = bytearray(observed.core.read_bytes())
        table, count = struct.unpack_from("<Q", self.bytes, 32)[0], struct.unpack_from("<H", self.bytes, 56)[0]
        headers = [struct.unpack_from("<IIQQQQQQ", self.bytes, table + 56 * index) for index in range(count)]
        self.loads = [(header[3], header[5], header[2]) for header in headers if header[0] == 1]

    def put(self, address, *data):
        """Writes to every place where the core has the address."""
        start, size, offset = next(load for load in self.loads if load[0] <= address < load[0] + load[1])
        raw = b"".join(part if isinstance(part, bytes) else struct.pack("<Q", part) for part in data)
        self.bytes[offset + address - start:offset + address - start + len(raw)] = raw

    def ask(self, *commands):
        """The debugger's answer; failing commands are left to the caller."""
        self.path.write_bytes(self.bytes)
        return run_kd([self.path, "-c", ";".join(commands)], status=None)


def test_poolval_names_the_first_header_that_contradicts(observed, tmp_path):
    """An overrun of the NX block: the next header's sizes are destroyed, and the page with them."""
    core, block = Core(observed, tmp_path), observed.blocks["nx"]
    after, page = block + rounded(200) - 16, block & ~(PAGE - 1)
    core.put(after, b"\x41\x41\x41\x41")
    text = core.ask(f"!poolval {block:x}", f"!pool {block:x}")
    assert f"Pool page [ {page:016x} ] is __inVALID." in text
    assert f"[ {after:016x} ]: invalid previous size [ 0x41 ] should be [ {rounded(200) // 16:#x} ]" in text
    assert f"[ {block - 16:016x} --> {after:016x} (size = {rounded(200):#x} bytes)]: Corrupt region" in text
    assert "None found" in text
    assert block_line(text, block)[2] == "Kmnx" and "is not a valid pool block" in text


def test_poolval_finds_a_single_bit(observed, tmp_path):
    core, block = Core(observed, tmp_path), observed.blocks["nx"]
    size = bytes_at(observed, block - 16, 4)[2]
    core.put(block - 14, bytes([size ^ 0x20]))
    text = core.ask(f"!poolval {block:x}")
    assert f"bit 5 of the byte at {block - 14:016x}: turned back, the page is consistent" in text


def test_poolval_sees_a_write_to_a_freed_block(observed, tmp_path):
    core, block = Core(observed, tmp_path), observed.blocks["freed"]
    core.put(block, 0x4242424242424242)
    text = core.ask(f"!poolval {block:x}")
    assert "__inVALID" in text and "4242424242424242" in text, text


# ---- !vm, !memusage ----

def test_vm_shows_the_kernels_counters(observed, said):
    text = said["vm"]
    for label, name in (("Available Pages", "MiAvailablePages"), ("Committed pages", "MiCommittedPages"),
                        ("Commit limit", "MiCommitLimit"), ("Resident Pageable", "MiResidentPages")):
        pages = global_word(observed, name)
        assert re.search(rf"{label}: +{pages} \( *{pages * 4} Kb\)", text), (label, pages, text)
    slots, used = global_word(observed, "MiSlotCount"), global_word(observed, "MiSlotsUsed")
    assert re.search(rf"Current: +{slots * 4} Kb  Free Space: +{(slots - used) * 4} Kb", text)
    assert numbers(text, "Special Pool") == 1 and numbers(text, "Locked IO Pages") == 0
    assert numbers(text, "ResAvail Pages") == (global_word(observed, "MiResidentLimit")
                                               - global_word(observed, "MiResidentCommit"))


def test_memusage_counts_every_frame(observed, said):
    text = said["memusage"]
    frames = global_word(observed, "MiHighestFrame") - global_word(observed, "MiLowestFrame") + 1
    assert numbers(text, "TOTAL") == frames
    for label, name in (("Zeroed", "MiZeroedList"), ("Free", "MiFreeList"), ("Standby", "MiStandbyList"),
                        ("Modified", "MiModifiedList")):
        assert numbers(text, label) == global_word(observed, name, 16), label
    states = bytearray()
    for number in range(global_word(observed, "MiLowestFrame"), global_word(observed, "MiHighestFrame") + 1):
        states += bytes_at(observed, 0xFFFFFA0000000000 + number * 48 + 24, 1)
    assert numbers(text, "Active/Valid") == states.count(6)
    assert "say that they are in it" not in text


def test_memusage_knows_what_is_paged_out(observed, said):
    row = re.search(r"^ +paged pool +(\d+) +(\d+) +(\d+) +(\d+)$", said["memusage"], re.M)
    used = global_word(observed, "MiSlotsUsed")
    images = re.search(r"^ +driver images +\d+ +\d+ +(\d+) ", said["memusage"], re.M)
    assert int(row[3]) + int(images[1]) == used * 4
    assert int(row[4]) >= 4                     # the untouched pages


# ---- !address, errors ----

def test_address_names_the_region(observed, said):
    assert "Usage:                  nonpaged pool" in said["address nx"]
    assert "stack of thread" in said["address stack"]
    assert len(re.findall(r"^  [0-9a-f]{16} - [0-9a-f]{16}  ", said["address"], re.M)) == 12


def test_mistakes_get_one_line(said):
    assert said["no argument"] == "kd: !pte: usage: !pte ADDRESS\n"
    assert "bits 48-63 must repeat bit 47" in said["no canonical"] and said["no canonical"].count("\n") == 1
    assert said["no number"].startswith("kd: !pool: ") and said["no number"].count("\n") == 1


# ---- Memory that is damaged ----

ALL = ["!pte {nx:x}", "!pte {fatal:x}", "!pool {nx:x}", "!pool {fatal:x}", "!pool {large:x}", "!poolval {nx:x}",
       "!poolused", "!pfn 400", "!vm", "!memusage", "!address {nx:x}", "!pool {special:x}"]
GARBAGE = 0x4141414141414141


@pytest.mark.parametrize("what, complaint", [
    ("MiRamRuns", "corrupt|no RAM|cannot be read"), ("MiBigTable", "cannot be read|corrupt"), ("Leaf", "cannot be read"),
    ("Arena", "cannot be read|Special|special"), ("MiPoolTag", "TOTAL"), ("MiNonPagedRange", "cannot be read|corrupt"),
    ("pxe", "not valid|cannot be read"), ("pte", "not valid")])
def test_damage_gets_one_line_and_no_more(observed, tmp_path, what, complaint):
    """Each table overwritten with garbage in turn: every command comes to its end, and says what it cannot read."""
    core = Core(observed, tmp_path)
    if what == "pxe":
        core.put(0xFFFFF6FB7DBED000 + 8 * 0x1F5, 0)
    elif what == "pte":
        for name in ("nx", "fatal"):
            core.put(0xFFFFF68000000000 + (observed.blocks[name] >> 9 & 0x7FFFFFFFF8), 0x0000123400000F3E)
    else:
        core.put(symbol(what), *[GARBAGE] * 8)
    text = core.ask(*[command.format(**observed.blocks) for command in ALL])
    assert re.search(complaint, text), text


# ---- A live machine ----

def test_the_same_on_a_live_machine(live):
    """A machine that has died and was not left: the fatal page's entry, and the words that QMP reads of the RAM."""
    run, socket = live("paged", mem=MEMORY, leave=False)
    run.qmp("cont")
    outcome = run.wait(MACHINE_LIMIT)
    assert outcome.verdict, "\n".join(hang_report(run, MACHINE_LIMIT))
    fatal = int(outcome.verdict["p"][0], 16)
    run.qmp("stop")
    text = run_kd(["--live", socket, "-c", f"!pte {fatal:x};!pool {fatal:x};!vm;!memusage;!pte nt!MiAvailablePages"])
    slot = int(re.search(r"frame given away: +PTE [0-9A-F]+ .*slot (\d+)", outcome.serial)[1])
    assert re.search(rf"PageFile:  0\n +Offset: {slot:x}\n", text), text
    assert "*Secr" in text
    frame = int(re.findall(r"pfn ([0-9a-f]+) ", text)[-1], 16)
    word = run.monitor(f"xp /1gx {frame * PAGE + symbol('MiAvailablePages') % PAGE:#x}")
    assert numbers(text, "Available Pages") == int(word.split()[-1], 16)


def test_a_page_file_in_RAM(dump, kd):
    """Without a disk the slot is found in the memory itself."""
    path = dump("paged", disk=False)
    fatal = int(verdict_of(path)["p"][0], 16)
    text = kd(path, f"!pool {fatal:x} 3")
    assert "of the RAM store)" in text and re.search(r"^ {8}\S+  0000002a 00000000 00000001", text, re.M), text


def test_a_small_dump_is_not_read_as_zeros(dump, kd):
    """It has none of the kernel's counters: a question mark for each; the fatal page comes from the page file."""
    path = dump("paged", level="small")
    fatal = int(verdict_of(path)["p"][0], 16)
    text = kd(path, f"!pool {fatal:x} 3", f"!poolval {fatal:x}", f"!pte {fatal:x}", "!vm")
    assert re.search(r"^ {8}\S+  0000002a 00000000 00000001", text, re.M) and "of pagefile.img)" in text, text
    assert "__VALID" in text and "PageFile:  0" in text
    assert re.search(r"Available Pages: +\? \(.*cannot be read: (?:not mapped, or its page tables are )?not in the dump\)", text), text
