"""The crash dump: a plain GDB opens it and finds each CPU's stack; what it holds is the machine's memory; what went wrong
with it is said.

What is expected comes from elsewhere: COM1's report of the same crash, nm, QEMU's own view of the memory.
"""

import re
import struct
import subprocess
import zlib

import pytest

from kdhelp import dump, serial_of                                                      # noqa: F401
from machine import dumpfile
from machine.dumpdisk import keep_dump
from machine.emulators import Machine
from machine.process import hang_report

MIB = 1 << 20
VIRTIO = "virtio-blk-pci,disable-legacy=on"
WALK = """python
for thread in sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.ptid[1] or thread.ptid[0]):
    thread.switch()
    frame = gdb.newest_frame()
    while frame is not None and frame.pc():
        if frame.type() != gdb.INLINE_FRAME:
            print("FRAME", thread.ptid[1], "%X" % frame.pc(), frame.name())
        frame = frame.older()
end
"""


def walk(path, tmp_path):
    """{CPU: [program counters]} as a plain GDB finds them, without any help of ours."""
    script = tmp_path / "walk.gdb"
    script.write_text(WALK)
    done = subprocess.run(["gdb", "-nx", "-batch", "-iex", "set debuginfod enabled off", "-x", script,
                           "-ex", "thread apply all bt", path.parent / "kernel.elf", path],
                          capture_output=True, text=True, timeout=120)
    assert "Backtrace stopped" not in done.stdout + done.stderr, done.stdout + done.stderr
    assert not re.search(r"^#\d+ +0x0+ in", done.stdout, re.M), done.stdout        # a frame behind the first of all
    stacks = {}
    for number, place, _ in re.findall(r"^FRAME (\d+) (\w+) (.*)$", done.stdout, re.M):
        stacks.setdefault(int(number) - 1, []).append(int(place, 16))
    assert stacks, done.stdout + done.stderr
    return stacks


def symbols_of(kernel):
    """{name: [addresses]} by nm: a static function's name may stand for several."""
    found = {}
    for line in subprocess.run(["nm", kernel], capture_output=True, text=True, timeout=60).stdout.splitlines():
        address, _, name = line.split(maxsplit=2)
        found.setdefault(name.split(".")[0], []).append(int(address, 16))
    return found


def reported_stack(serial):
    """The guilty CPU's stack on COM1."""
    part = serial.split("innermost first")[1].split("The machine")[0]
    return [int(place, 16) for place in re.findall(r"^.{1,2} *\d+ ([0-9A-F]{16})  ", part, re.M)]


def reported_places(serial):
    """{CPU: (is it guilty, function in nt or None, offset)} of what each CPU was doing, on COM1."""
    part = serial.split("What each CPU was doing")[1].split("What to change")[0]
    rows = re.findall(r"^(.) *(\d+)  IRQL .*?(?:nt!(\w+)\+0x(\w+).*)?$", part, re.M)
    return {int(number): (mark == ">", name or None, int(offset or "0", 16)) for mark, number, name, offset in rows}


def assert_stacks_right(path, tmp_path, cpus, *, is_frameless=False, hidden=1):
    """Every CPU's stack is where COM1 says it is; a guilty driver function without a frame hides its caller. The report may
    lack `hidden` frames that GDB has."""
    serial, stacks, symbols = serial_of(path), walk(path, tmp_path), symbols_of(path.parent / "kernel.elf")
    places = reported_places(serial)
    assert set(stacks) == set(places) == set(range(cpus))
    for number, (is_guilty, name, offset) in places.items():
        if is_guilty:
            wanted, found = reported_stack(serial), stacks[number]
            del wanted[1:1 + is_frameless]
            # KeBugCheckEx itself is the dump's, not the report's; and the report follows rbp, which a trap has not set yet.
            assert wanted[0] in found[:2] and wanted[1:] == found[1 - len(wanted):], f"{wanted}\n{found}\n{serial}"
            assert len(found) - len(wanted) in range(hidden + 1)
        elif name:
            assert stacks[number][0] in [address + offset for address in symbols[name]], (number, name, stacks[number])
            assert len(stacks[number]) > 1 or name.startswith("Ki"), stacks[number]


# ---- Stacks, in every state that a CPU may be in ----

@pytest.mark.parametrize("cpus", (1, 2, 4, 16))
def test_plain_gdb_finds_every_stack(dump, tmp_path, cpus):
    assert_stacks_right(dump("wait-in-dpc" if cpus in (4, 16) else "paged", cpus=cpus), tmp_path, cpus)


@pytest.mark.parametrize("test", ("crash_E2_print_lock_held", "crash_A_dispatcher_lock_held"))
def test_a_dump_while_a_lock_is_held(dump, tmp_path, test):
    path = dump(test=test, cpus=4)
    assert_stacks_right(path, tmp_path, 4, is_frameless="_A_" in test)
    assert "holds the spin lock" in serial_of(path)


def instruction(build, function, *, text=None):
    """The address of an instruction of a function: its first, or the first that objdump shows with this text."""
    kernel = build["checked"] / "kernel.elf"
    shown = subprocess.run(["objdump", "-d", "--no-show-raw-insn", f"--disassemble={function}", kernel],
                           capture_output=True, text=True, timeout=60).stdout
    lines = re.findall(r"^ *([0-9a-f]{16}):\t(.*)$", shown, re.M)
    return next(int(place, 16) for place, what in lines if text is None or re.search(text, what))


PLACES = {
    "in a DPC": ("KiRetireDpcList", None, ""),
    "in the trimmer": ("TrimSpan", None, "low"),
    "in the middle of an interrupt's entry": ("InterruptEntry", r"push +%r12", ""),
    "before the stack is switched": ("KiSwapContext", r"push +%r13", ""),
}


@pytest.mark.parametrize("where", PLACES)
def test_a_dump_at(dump, build, tmp_path, where):
    function, text, words = PLACES[where]
    place = instruction(build, function, text=text)
    path = dump(test="crash_at_an_instruction", append=f"at={place:#x} {words}", mem=64)
    assert reported_stack(serial_of(path))[0] == place
    # An interrupt may come in a function of assembler (KeLowerIrql): without a frame of its own it hides its caller, too.
    assert_stacks_right(path, tmp_path, 2, hidden=2 if function == "InterruptEntry" else 1)


def test_a_dump_with_the_stack_half_switched(dump, build, tmp_path):
    """The stack is the new thread's from then on, against rbp: both are in SwapThread, and begin where threads do."""
    place = instruction(build, "KiSwapContext", text=r"pop +%r13")
    path = dump(test="crash_at_an_instruction", append=f"at={place:#x}", mem=64)
    found = walk(path, tmp_path)[dumpfile.inspect(path).guilty]
    assert found[0] == reported_stack(serial_of(path))[0] == place
    starts = {at: name for name, places in symbols_of(path.parent / "kernel.elf").items() for at in places}
    assert starts[max(at for at in starts if at <= found[-1])] in ("KiThreadStartup", "KiSystemStartup", "KiProcessorStartup")


# ---- The file ----

def test_the_file_says_what_died(dump):
    path = dump("paged", cpus=2)
    found = dumpfile.inspect(path)
    assert not found.problems and found.complete and found.total == path.stat().st_size
    stop = re.search(r"STOP 0x0*(\w+) .*\n\*\*\* \((.*)\)", serial_of(path))
    assert found.code == int(stop[1], 16) == 0xD1
    assert found.parameters == tuple(int(word, 16) for word in stop[2].split(", "))
    assert (found.level, found.build, found.cpus, found.seed, found.scenario) == ("full", "checked", 2, 0, "paged")
    guilty = next(number for number, (is_guilty, _, _) in reported_places(serial_of(path)).items() if is_guilty)
    assert found.guilty == guilty


def test_what_was_paged_out_is_said_to_be_so(dump):
    path = dump("paged", cpus=2)
    found, serial = dumpfile.inspect(path), serial_of(path)
    address = found.parameters[0]
    slot = int(re.search(r"page file, slot (\d+)", serial)[1])
    entry = next(item for item in found.left_out if item[0] <= address < item[1])
    assert entry[2] == "paged out" and entry[3] + (address - entry[0]) // 4096 == slot
    with open(path.parent / "pagefile.img", "rb") as image:
        image.seek(slot * found.slot_bytes)
        assert len(image.read(4096)) == 4096
    assert not any(start <= address < start + length for start, length, _ in found.loads)


def test_no_address_twice_and_no_device(dump):
    found = dumpfile.inspect(dump("paged", cpus=2))
    ranges = sorted([(start, start + length) for start, length, _ in found.loads] +
                    [(start, end) for start, end, *_ in found.left_out])
    assert all(this[1] <= following[0] for this, following in zip(ranges, ranges[1:]))
    assert any(reason == "device" for _, _, reason, _ in found.left_out)


def content(path, found, address, length):
    """Memory out of a dump, read by its program headers."""
    start, _, offset = next(load for load in found.loads if load[0] <= address and address + length <= load[0] + load[1])
    with open(path, "rb") as file:
        file.seek(offset + address - start)
        return file.read(length)


SELECTED = ("KiBugCheckData", "KiProcessorBlock", "PsLoadedModuleList", "KiDispatcherLock", "MiTotalPages", "LdrExports",
            "KeBugCheckEx", "HalFeatures")


def test_the_memory_is_what_qemu_sees(start):
    run = start(Machine(cmdline="scenario=paged hold", cpus=16, mem=64, dump="full", leave=False))
    outcome = run.wait(90)
    assert outcome.verdict, hang_report(run, 90)
    symbols = symbols_of(run.machine.files() / "kernel.elf")
    seen = {}
    for name in SELECTED:
        [address] = symbols[name]
        words = re.findall(r"0x([0-9a-f]{16})", run.monitor(f"x /8xg {address:#x}"))
        seen[address] = struct.pack("<8Q", *(int(word, 16) for word in words))
    run.end()
    kept, found = keep_dump(run.folder)
    assert not found.problems
    for address, memory in seen.items():
        assert content(kept, found, address, 64) == memory
    assert struct.unpack("<5Q", content(kept, found, symbols["KiBugCheckData"][0], 40)) == (found.code, *found.parameters)


def test_a_small_dump_is_small_and_has_what_is_asked_first(dump, tmp_path):
    path = dump("wait-in-dpc", cpus=16, level="small")
    found = dumpfile.inspect(path)
    assert not found.problems and found.level == "small" and path.stat().st_size < 256 << 10
    assert_stacks_right(path, tmp_path, 16)
    symbols = symbols_of(path.parent / "kernel.elf")
    for name, length in (("KiBug", 64), ("KiBugCheckData", 40), ("KiProcessorBlock", 128)):
        content(path, found, symbols[name][0], length)
    blocks = struct.unpack("<16Q", content(path, found, symbols["KiProcessorBlock"][0], 128))
    assert all(content(path, found, block, 64) for block in blocks)
    first, = struct.unpack("<Q", content(path, found, symbols["PsLoadedModuleList"][0], 8))
    assert content(path, found, first, 0x68)


def test_a_seed_repeats_a_dump_to_the_byte_in_less_than_a_second(boot):
    sums = set()
    for _ in range(2):
        outcome = boot(test="crash_with_much_pool", append="mib=54", seed=5, cpus=2, mem=128, dump="full", limit=180)
        image = (outcome.folder / "dump.img").read_bytes()
        sums.add(zlib.crc32(image))
        found = dumpfile.inspect(outcome.folder / "dump.img")
        assert not found.problems and 56 * MIB < found.total <= len(image)
        seconds = float(re.search(r"^dump: full, .* 100%, ([\d.]+) s$", outcome.serial, re.M)[1])
        assert 0 < seconds < 1, "of the guest's time, which counts instructions here"
        (outcome.folder / "dump.img").unlink()
    assert len(sums) == 1


# ---- What can go wrong ----

def dump_line(outcome):
    return [line for line in outcome.serial.splitlines() if line.startswith("dump: ")]


def marked_disk(path, size, drive="file={path}"):
    """QEMU's arguments for a disk of the test's own."""
    with open(path, "wb") as image:
        image.write(b"BUGCHECK DUMP DISK\n")
        image.truncate(size)
    return ("-drive", f"if=none,id=d9,format=raw,{drive.format(path=path)}", "-device", f"{VIRTIO},drive=d9")


def test_without_a_disk_there_is_one_line(boot):
    outcome = boot(test="crash_E2_last_cpu", cpus=1, mem=64, dump=None)
    assert dump_line(outcome) == ["dump: none: this machine has no disk for it"]


def test_a_disk_that_is_too_small_says_what_is_needed(boot, tmp_path):
    outcome = boot(test="crash_E2_last_cpu", cpus=1, mem=64, extra=marked_disk(tmp_path / "d.img", 2 * MIB))
    [line] = dump_line(outcome)
    found = re.fullmatch(r"dump: none: virtio-blk at \S+ is too small: it has 2048 KiB, and (\d+) KiB are needed", line)
    assert int(found[1]) > 2048
    assert (tmp_path / "d.img").read_bytes().startswith(b"BUGCHECK DUMP DISK")


def test_an_error_of_the_disk_leaves_a_torn_dump(boot, tmp_path):
    image, rules = tmp_path / "d.img", tmp_path / "rules"
    rules.write_text("".join(f'[set-state]\nevent = "write_aio"\nstate = "{n}"\nnew_state = "{n + 1}"\n' for n in range(1, 9)) +
                     '[inject-error]\nevent = "write_aio"\nstate = "9"\nerrno = "5"\n')
    marked_disk(image, 64 * MIB)
    extra = ("-drive", f"if=none,id=d9,driver=raw,file.driver=blkdebug,file.config={rules},file.image.driver=file,"
                       f"file.image.filename={image},werror=report,rerror=report", "-device", f"{VIRTIO},drive=d9")
    outcome = boot(test="crash_E2_last_cpu", cpus=1, mem=64, extra=extra)
    outcome.assert_bugcheck(0xE2, expected=False)
    assert re.search(r"^dump: virtio-blk at \S+ fails \(0xC0000185\) after \d+ KiB: the dump is incomplete$", outcome.serial, re.M)
    found = dumpfile.inspect(image)
    assert not found.complete and found.code == 0xE2 and found.loads
    assert found.problems == ["torn: the machine did not come to the end of writing it"]


@pytest.mark.parametrize("test, line", (
    ("crash_the_dump_disk_is_broken", r"dump: stopped after \d+ KiB by a fault in ktest!FollowBadPointer\+\S+ \(.*\), 0xA, "
                                      r"address 0xFFFFFAE000000000: it is incomplete"),
    ("crash_the_dump_disk_is_silent", r"dump: virtio-blk at \S+ does not answer \(0xC00000B5\) after \d+ KiB: the dump is "
                                      r"incomplete")))
def test_a_broken_driver_of_the_disk_costs_only_the_dump(boot, test, line):
    outcome = boot(test=test, cpus=2, mem=64, dump="full")
    outcome.assert_bugcheck(0xE2, p1=1, p2=2, p3=3, p4=4, expected=False)
    assert re.search(f"^{line}$", outcome.serial, re.M), outcome.serial[-1500:]
    assert "What to change" in outcome.serial


def test_dump_none_is_obeyed(boot, tmp_path):
    outcome = boot(test="crash_E2_last_cpu", append="dump=none", cpus=1, mem=64,
                   extra=marked_disk(tmp_path / "d.img", 32 * MIB))
    assert dump_line(outcome) == ["dump: none: dump=none"]
    assert (tmp_path / "d.img").read_bytes().startswith(b"BUGCHECK DUMP DISK")


def test_the_disk_of_an_earlier_dump_is_used_again(boot, dump, tmp_path):
    image = tmp_path / "d.img"
    image.write_bytes(dump("paged", cpus=2).read_bytes())
    with open(image, "r+b") as file:
        file.truncate(64 * MIB)
    extra = ("-drive", f"if=none,id=d9,format=raw,file={image}", "-device", f"{VIRTIO},drive=d9")
    boot(test="crash_E2_last_cpu", cpus=1, mem=64, disk=False, extra=extra).assert_bugcheck(0xE2, expected=False)
    found = dumpfile.inspect(image)
    assert (found.code, found.cpus, found.problems) == (0xE2, 1, [])


# ---- The checker ----

def test_a_mutilated_dump_is_found_out(dump, tmp_path):
    whole = dump("paged", cpus=2, level="small").read_bytes()
    path = tmp_path / "bad.elf"

    def problems(data):
        path.write_bytes(data)
        return dumpfile.inspect(path).problems

    def flipped(at):
        return whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1:]

    assert problems(whole) == []
    assert problems(whole[:-1])[0] == f"truncated: {len(whole) - 1} of {len(whole)} bytes are there"
    assert problems(whole[:1024])[0].startswith("truncated: 1024 of ")
    assert problems(flipped(len(whole) - 1)) == ["CRC mismatch: its contents are not what the kernel wrote"]
    assert problems(flipped(300))[0] == "its header page is damaged: the checksum in it does not fit it"


@pytest.mark.parametrize("data", (b"", b"\x7fELF", b"BUGCHECK DUMP DISK\n", bytes(8192), b"\x7fELF\x02\x01\x01" + bytes(8192)))
def test_what_is_no_dump_is_said_in_one_line(tmp_path, data):
    path = tmp_path / "no.elf"
    path.write_bytes(data)
    with pytest.raises(dumpfile.NotADump) as problem:
        dumpfile.inspect(path)
    assert str(problem.value).startswith(f"{path}: not a Bugcheck dump: ") and "\n" not in str(problem.value)
