"""No function is lost from a stack, at any instruction in it.

A machine is gone through instruction by instruction: a driver's functions, and all of the kernel that they call, with a
page fault. At each the walks of the kernel (report/stack.c, compiled for this machine) and of kd must be GDB's own, by DWARF.
"""

import os
import re
import struct
import subprocess

import pytest

from build import driverbuild
from build.callframes import NAMES, RBP, RSP, CallFrames, rows_of, sections_of
from build.elffile import ElfFile
from cli import driver
from conftest import ensure_built
from host.paths import OUT, TOP
from kdhelp import live, run_kd     # noqa: F401
from machine.dumpdisk import keep_dump
from test_dump import walk as plain_walk
from test_host import RTL, build_host

STEPS, SECONDS = 3000, 240
FRAMES = 10                                 # tests/kd/everystep.py, tests/host/walk.c
DRIVERS_START = 0xFFFFFFFFA0000000          # MM_DRIVER_IMAGES


def without_table_for_drivers(kernel, copy):
    """A kernel.elf in which no call frame information covers the drivers: GDB then takes their own."""
    data = bytearray(kernel.read_bytes())
    section = next(content for name, _, _, _, content, _, _ in sections_of(bytes(data)) if name == ".debug_frame")
    place = section.index(struct.pack("<Q", DRIVERS_START)) + data.index(section)
    struct.pack_into("<Q", data, place + 8, 0)          # so many bytes
    copy.write_bytes(data)


def recorded(live, folder):
    """The lines that tests/kd/everystep.py has written."""
    ensure_built("checked")
    driverbuild.make_kernel("checked")
    module, = driverbuild.build([TOP / "tests/kd/stepped.c"], "checked", folder)
    archive = driverbuild.make_archive(folder / "boot.cpio", OUT / "checked/boot.cpio", [module])
    run, socket = live(append="driver=stepped", cpus=1, seed=1, archive=archive)
    kernel, output = folder / "kernel.elf", folder / "steps"
    without_table_for_drivers(OUT / "checked/kernel.elf", kernel)
    environment = dict(os.environ, TOOLS=str(TOP / "tools"), KERNEL=str(kernel), SOCKET=socket, OUTPUT=str(output),
                       FOLDERS=f"{folder}:{OUT / 'checked/drivers'}", LIMIT=str(STEPS))
    done = subprocess.run(["gdb", "-nx", "-batch", "-x", TOP / "tests/kd/everystep.py"], env=environment, text=True,
                          capture_output=True, timeout=SECONDS)
    assert output.is_file(), done.stdout + done.stderr
    lines = output.read_text().splitlines()
    assert "Traceback" not in done.stderr and lines[-1].startswith("section"), done.stderr
    return lines


def kernels_walks(lines, folder):
    """The walk of the kernel's own code for each state: [[rip]]."""
    program = build_host(folder, "walk", "kernel/report/stack.c", "kernel/ldr/symbols.c", *RTL)
    sections, text = {}, []
    for word, name, *numbers in (line.split() for line in lines if line.startswith("section")):
        sections.setdefault(name, []).append(numbers)
    names = ["nt", *(name for name in sections if name != "nt")]
    kernel = [s for s in ElfFile(OUT / "checked/kernel.elf").sections if s.is_allocated and s.address >> 63]
    for number, name in enumerate(names):
        path = folder / f"{name}.sym" if name == "stepped" else OUT / "checked/symbols" / f"{'kernel' if name == 'nt' else name}.sym"
        own = [[int(n, 16) for n in row[1:]] for row in sections.get(name, [])]
        start = min((s for s, _ in own), default=0) if name != "nt" else min(s.address for s in kernel)
        end = max((s + n for s, n in own), default=0) if name != "nt" else max(s.address + s.size for s in kernel)
        text.append(f"module {start:x} {end - start:x} {path}")
        text += [f"section {number:x} {int(row[0]):x} {row[1]} {row[2]}" for row in sections.get(name, []) if name != "nt"]
    for line in lines:
        if "|" in line:
            state, _, _, words = line.split("|")
            text.append(f"state {state} {len(words.split()):x} {words}")
    (folder / "states").write_text("\n".join(text))
    done = subprocess.run([program, folder / "states"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return [[int(word, 16) for word in line.split()] for line in done.stdout.splitlines()]


def test_every_instruction_has_its_callers(live, tmp_path):                               # noqa: F811
    """GDB by DWARF, kd's k and the kernel's walk agree at each instruction, from the driver on into the kernel and through a
    page fault."""
    lines = recorded(live, tmp_path)
    states = [line for line in lines if "|" in line]
    seen, outermost = set(), int(states[0].split("|")[1].split()[1], 16)        # where Sample returns to
    for line, walk in zip(states, kernels_walks(lines, tmp_path), strict=True):
        state, by_gdb, by_kd, words = ([int(word, 16) for word in part.split()] for part in line.split("|"))
        seen.add(state[0])
        assert by_kd == by_gdb, f"at {state[0]:#x}: kd {list(map(hex, by_kd))}, GDB {list(map(hex, by_gdb))}"
        assert outermost in by_gdb or len(by_gdb) == FRAMES, f"at {state[0]:#x}: {list(map(hex, by_gdb))}"
        # The record of the stack may end before the stack does.
        assert walk[:len(by_gdb)] == by_gdb[:len(walk)] and len(walk) >= min(4, len(by_gdb)), \
            f"at {state[0]:#x}: the kernel {list(map(hex, walk))}, GDB {list(map(hex, by_gdb))}"
    assert len(seen) > 500
    traps = next(s for s in ElfFile(OUT / "checked/kernel.elf").symbols() if s.name == "KiTrapCodeStart").value
    assert sum(traps <= address < traps + 0x3000 for address in seen) > 30         # each push of the page fault's way in


def test_no_code_is_without_call_frames():
    """Each function of the kernel that runs in the high half, and of each driver, has call frame information."""
    ensure_built("checked")
    for path in (OUT / "checked/kernel.elf", *sorted((OUT / "checked/drivers").glob("*.dbg"))):
        elf = ElfFile(path)
        frames = CallFrames(path, {s.name: s.index << 32 for s in elf.sections})
        for symbol in elf.symbols():
            section = elf.section(symbol.section)
            if symbol.type == "FUNC" and symbol.size and section and section.is_allocated:
                start = symbol.value if section.address else (section.index << 32) + symbol.value
                assert frames.function_at(start), f"{path.name}: {symbol.name}"
                assert frames.function_at(start + symbol.size - 1), f"{path.name}: the end of {symbol.name}"


NO_WAY_ON = {"ret", "jmp", "iretq", "ud2", "nop"}


def instructions_of(path):
    """[(address, mnemonic, operands)] of an object's code."""
    listing = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-M", "intel", path], capture_output=True, text=True,
                             check=True).stdout
    return [(int(at, 16), name, operands.strip()) for at, name, operands in re.findall(r"^\s*([0-9a-f]+):\t(\S+)(.*)$", listing, re.M)]


def moved(name, operands):
    """The bytes by which an instruction moves rsp down."""
    by = re.fullmatch(r"rsp,(0x[0-9a-f]+)", operands)
    return {"push": 8, "pop": -8, "sub": by and int(by[1], 16), "add": by and -int(by[1], 16)}.get(name) or 0


def depth_after(name, operands, row, depth):
    """How far rsp is below the frame's beginning, behind an instruction; None: not known."""
    if name == "mov" and operands.startswith("rsp,"):
        return row.cfa[1] if operands == "rsp,rbp" else None
    if name == "lea" and operands.startswith("rsp,[rbp+"):
        return row.cfa[1] - int(operands[9:-1], 16)
    return depth + moved(name, operands) if depth is not None else None


def check_row(name, operands, before, after, depth):
    """Two rows in turn differ by the effect of the instruction between them."""
    (base, offset), (next_base, next_offset) = before.cfa, after.cfa
    if base == next_base:
        assert next_offset == offset + (moved(name, operands) if base == RSP else 0)
    elif next_base == RBP:
        made, entered = ("mov", "rbp,rsp", offset), ("lea", "rbp,[rcx+0x30]", 16)
        assert (name, operands, next_offset) in (made, entered)
    else:
        assert (name, operands, next_offset) == ("pop", "rbp", depth)
    register = NAMES.index(operands) if operands in NAMES else None
    if name == "push" and register not in before.registers and base == RSP:
        assert register is None or after.registers.get(register) == ("at", -next_offset)
    if name == "pop" and register is not None:
        assert register not in after.registers


def test_each_push_and_pop_of_the_listings_has_its_row():
    """In assembly, where the steps above do not come by: the rows move with rsp, and a register lies where it was pushed."""
    ensure_built("checked")
    checked = 0
    for path in sorted((OUT / "checked/obj/arch/x86_64").glob("*.asm.o")):
        frames = CallFrames(path, {".text": 0})
        code = instructions_of(path) if frames.functions else []
        rows = dict(rows_of(frames.functions[0])) if frames.functions else {}
        row = depth = None
        for (address, name, operands), (following, *_) in zip(code, code[1:]):
            row = rows.get(address, row)
            after = rows.get(following, row)
            depth = depth_after(name, operands, row, row.cfa[1] if row.cfa[0] == RSP else depth)
            if name not in NO_WAY_ON:
                checked += 1
                try:
                    check_row(name, operands, row, after, depth)
                except AssertionError as error:
                    raise AssertionError(f"{path.name}+{address:#x}: {name} {operands}: {row}, then {after}") from error
    assert checked > 800


# ---- Blame ----

ENTRY = """
extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING) { Start(Driver); return STATUS_SUCCESS; }
"""
HEAD = """#include <ntifs.h>
static volatile ULONG Sum;
"""
CALLING = """static VOID Guilty(PVOID Pointer) {
    Sum++;
    %s /* here */
    Sum++;
}
static VOID Start(PVOID) {
    Guilty(NULL); /* caller */
    Sum++;
}
"""
# A driver's mistake in Guilty, on the line that says here; the line that calls Guilty says caller. Behind a call that does
# not return the next function begins, and behind the caller's call the next line.
FAULTS = {
    "event": CALLING % "KeSetEvent((PKEVENT)Pointer, 0, FALSE);",
    "mutex": CALLING % "ExAcquireFastMutex((PFAST_MUTEX)Pointer);",
    "copy": CALLING % "RtlCopyMemory(Pointer, (PVOID)&Sum, sizeof(Sum));",
    "initialize": CALLING % "KeInitializeEvent((PKEVENT)Pointer, NotificationEvent, FALSE);",
    "complete": CALLING % "IoCompleteRequest((PIRP)Pointer, IO_NO_INCREMENT);",
    "insert": CALLING % "LIST_ENTRY Link; InsertTailList((PLIST_ENTRY)Pointer, &Link);",
    "remove": CALLING % "RemoveHeadList((PLIST_ENTRY)Pointer);",
    "bugcheck": CALLING.replace("    Sum++;\n}\nstatic", "}\nstatic") % "KeBugCheckEx(0xE2, 1, 2, 3, (ULONG_PTR)Pointer);",
    "free": CALLING % "ExFreePool((PCHAR)&Sum + 1);",
    "array": """static VOID Guilty(PVOID Pointer) { /* here */
    volatile UCHAR Array[40000];
    Array[0] = Pointer == NULL;
    Sum += Array[0];
}
static VOID Start(PVOID) {
    Guilty(NULL); /* caller */
    Sum++;
}
""",
    "leaf": """static ULONG Guilty(const ULONG *Numbers) {
    ULONG Total = 1;
    Total += Numbers[0]; /* here */
    return Total * 3;
}
static VOID Start(PVOID) {
    Sum = Guilty(NULL); /* caller */
    Sum++;
}
""",
    "method": """struct Counter {
    ULONG Value[4];
    ULONG Guilty(ULONG Index) const {
        return Value[Index]; /* here */
    }
};
static VOID Start(PVOID) {
    Sum = ((Counter *)NULL)->Guilty(2); /* caller */
    Sum++;
}
""",
    "dpc": """static KDPC Dpc;
static VOID Guilty(PKDPC, PVOID Context, PVOID, PVOID) {
    *(volatile ULONG *)Context = 1; /* here */
}
static VOID Start(PVOID) {
    KeInitializeDpc(&Dpc, Guilty, NULL);
    KeInsertQueueDpc(&Dpc, NULL, NULL);
    for (;;) { YieldProcessor(); }
}
""",
    "worker": """static WORK_QUEUE_ITEM Item;
static VOID Guilty(PVOID Context) {
    RtlZeroMemory(Context, 100); /* here */
    Sum++;
}
static VOID Start(PVOID) {
    ExInitializeWorkItem(&Item, Guilty, NULL);
    ExQueueWorkItem(&Item, CriticalWorkQueue);
    LARGE_INTEGER Second; Second.QuadPart = -10000000;
    KeDelayExecutionThread(KernelMode, FALSE, &Second);
}
""",
}


# A function and its line, as the kernel and as kd write them.
PLACE = (r"blame_{name}!(?:\w+::)?{function}(?:\([^)]*\)(?: const)?)?(?:\+0x[0-9a-f]+)? "
         r"[([]blame_{name}\.cc(?::| @ ){line}[)\]]")


@pytest.mark.parametrize("kind", ("free", "checked"))
@pytest.mark.parametrize("name", FAULTS)
def test_one_fault_has_one_function_and_one_line(name, kind, tmp_path):
    """The verdict, COM1, !analyze and k name the driver's own function, and in it the line that did it; then its caller's line.

    A GDB that has only kernel.elf and the dump, and no symbols of the driver, finds the same callers."""
    text = HEAD + FAULTS[name] + ENTRY
    line = text[:text.index("/* here */")].count("\n") + 1
    source = tmp_path / f"blame_{name}.cc"
    source.write_text(text)
    ensure_built(kind)
    driverbuild.make_kernel(kind)
    options = driver.parse([str(source), "--cpus", "1", "--json", *(["--checked"] if kind == "checked" else [])])
    modules = driverbuild.build([source], kind, tmp_path)
    result = driver.run_machine(driver.machine_of(options, modules, tmp_path), tmp_path, options)
    place = re.compile(PLACE.format(name=name, function="Guilty", line=line))
    assert result["result"] == "bugcheck" and place.fullmatch(result["where"]), result["where"]
    told = [row for row in result["report"] if row.startswith(">")]
    assert len(told) == 1 and place.search(told[0]), result["report"]
    path, *_ = keep_dump(tmp_path)
    said = run_kd([path, "-c", "k;!analyze"])
    assert place.search(said), said
    (tmp_path / "kernel.elf").symlink_to(OUT / kind / "kernel.elf")
    returns = [int(word.replace("`", ""), 16) for word in re.findall(r"^\S{17} (\S{17}) (?!.*\[inline)", said, re.M)]
    callers = [address for address in returns if address]
    assert plain_walk(path, tmp_path)[0][-len(callers):] == callers, said
    if "/* caller */" in text:
        line_of_call = text[:text.index("/* caller */")].count("\n") + 1
        both = re.compile(place.pattern + "\n.*" + PLACE.format(name=name, function="Start", line=line_of_call))
        assert both.search("\n".join(result["report"])), result["report"]
        assert both.search(said), said
    assert re.search(rf"Guilty[^:]*?, blame_{name}\.cc line {line}\b", " ".join(said.split())), said


LEAF = HEAD + """static volatile BOOLEAN IsOver;
extern "C" { PKTHREAD volatile Spinner; }
static ULONG Leaf(volatile BOOLEAN *Over) {
    ULONG Rounds = 0;
    while (!*Over) { Rounds += 3; } /* here */
    return Rounds;
}
static VOID Spin(PVOID) {
    KeSetPriorityThread(KeGetCurrentThread(), LOW_REALTIME_PRIORITY / 2);
    Spinner = KeGetCurrentThread();
    Sum = Leaf(&IsOver); /* caller */
    Sum++;
}
static VOID Start(PVOID) {
    HANDLE Thread;
    LARGE_INTEGER Soon; Soon.QuadPart = -500000;
    PsCreateSystemThread(&Thread, 0, NULL, NULL, NULL, Spin, NULL);
    KeDelayExecutionThread(KernelMode, FALSE, &Soon);
    KeBugCheckEx(0xE2, 0, 0, 0, 0);
}
""" + ENTRY


@pytest.mark.parametrize("kind", ("free", "checked"))
def test_a_thread_preempted_in_a_leaf_has_its_callers(kind, tmp_path):
    """In a dump: the clock took the CPU from it in a function without a frame. kd, and a plain GDB with kd's unwinder."""
    source = tmp_path / "leaf.cc"
    source.write_text(LEAF)
    options = driver.parse([str(source), "--cpus", "1", "--json", *(["--checked"] if kind == "checked" else [])])
    ensure_built(kind)
    driverbuild.make_kernel(kind)
    modules = driverbuild.build([source], kind, tmp_path)
    result = driver.run_machine(driver.machine_of(options, modules, tmp_path), tmp_path, options)
    assert result["result"] == "bugcheck", result
    path, *_ = keep_dump(tmp_path)
    said = run_kd([path, "-c", ".thread poi(leaf!Spinner); kL; kv; bt; info threads"])
    line, line_of_call = (LEAF[:LEAF.index(mark)].count("\n") + 1 for mark in ("/* here */", "/* caller */"))
    assert re.search(rf"leaf!Leaf[^\n]*\[leaf\.cc @ {line}\]\n.*leaf!Spin[^\n]*\[leaf\.cc @ {line_of_call}\]\n.*nt!", said), said
    assert re.search(r"nt!\S+\n.*leaf!Leaf.*\n.*leaf!Spin.*\n.*nt!KiStartThread\S*\n.*nt!KiThreadStartup\S*\n", said), said
    assert re.search(rf"(?: in |^#\d+ +)Leaf ?\((?:.*\n){{1,3}}.*leaf\.cc:{line}\n.* in Spin ?\(.*(?:\n.*)?leaf\.cc:{line_of_call}\n", said,
                     re.M), said                # GDB's
    assert re.search(r"^  \S+  Spin +Ready +leaf!Leaf", said, re.M), said
    assert re.search(r"^\* 1 +CPU 0: delayed worker +\S+ in KeBugCheckEx", said, re.M), said         # the CPU, not the chosen thread
