"""The debugger's commands for objects, requests and images, against what a driver that made them all said on COM1,
against the dump's memory read without a debugger, and against the driver's file.
"""

import fcntl
import re
import struct

import pytest

from conftest import ensure_built
from corefile import Core, symbols
from host.paths import OUT
from kdhelp import MACHINE_LIMIT, dump, kd, live, run_kd, serial_of, shared_folder        # noqa: F401
from machine.dumpdisk import keep_dump
from machine.emulators import Machine
from machine.process import Run, hang_report
from modules import call, make_archive, make_driver

CODE, PARAMETERS = 0xDEAD0007, (0x11, 0x22, 0x33, 0x44)
SEED = 3

DRIVER = """
#include <ntifs.h>
DRIVER_INITIALIZE DriverEntry;
static WCHAR Wide[] = L"wide text of kdobj";
static CHAR Narrow[] = "narrow text of kdobj";
static NTSTATUS OnControl(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IoMarkIrpPending(Irp);
    return STATUS_PENDING;
}
static VOID OnCancel(PDEVICE_OBJECT Device, PIRP Irp) {
    UNREFERENCED_PARAMETER(Device);
    IoReleaseCancelSpinLock(Irp->CancelIrql);
}
static NTSTATUS OnDone(PDEVICE_OBJECT Device, PIRP Irp, PVOID Context) {
    UNREFERENCED_PARAMETER(Device);
    UNREFERENCED_PARAMETER(Irp);
    UNREFERENCED_PARAMETER(Context);
    return STATUS_MORE_PROCESSING_REQUIRED;
}
static HANDLE MakeEvent(VOID) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\\\BaseNamedObjects\\\\KdEvent");
    OBJECT_ATTRIBUTES Attributes;
    HANDLE Event = NULL;
    PVOID Object = NULL;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_KERNEL_HANDLE, NULL, NULL);
    ZwCreateEvent(&Event, EVENT_ALL_ACCESS, &Attributes, NotificationEvent, FALSE);
    ObReferenceObjectByHandle(Event, 0, NULL, KernelMode, &Object, NULL);
    DbgPrint("made event %p %p\\n", Event, Object);
    return Event;
}
static VOID MakeFile(VOID) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\\\??\\\\C:\\\\KD.TXT");
    OBJECT_ATTRIBUTES Attributes;
    IO_STATUS_BLOCK Status;
    HANDLE File = NULL;
    PVOID Object = NULL;
    InitializeObjectAttributes(&Attributes, &Name, OBJ_CASE_INSENSITIVE, NULL, NULL);
    ZwCreateFile(&File, GENERIC_WRITE | SYNCHRONIZE, &Attributes, &Status, NULL, FILE_ATTRIBUTE_NORMAL, FILE_SHARE_READ,
                 FILE_OVERWRITE_IF, FILE_SYNCHRONOUS_IO_NONALERT, NULL, 0);
    ZwWriteFile(File, NULL, NULL, NULL, &Status, "seventeen letters", 17, NULL, NULL);
    ObReferenceObjectByHandle(File, 0, NULL, KernelMode, &Object, NULL);
    DbgPrint("made file %p %p\\n", File, Object);
}
static VOID SendRequests(PDEVICE_OBJECT Device) {
    static KEVENT Event;
    static IO_STATUS_BLOCK Status;
    static ULONG Buffer;
    KeInitializeEvent(&Event, NotificationEvent, FALSE);
    PIRP Sent = IoBuildDeviceIoControlRequest(0x222004, Device, &Buffer, sizeof(Buffer), NULL, 0, FALSE, &Event, &Status);
    IoSetCompletionRoutine(Sent, OnDone, (PVOID)0x1234, TRUE, FALSE, TRUE);
    IoSetCancelRoutine(Sent, OnCancel);
    IoCallDriver(Device, Sent);
    PIRP Own = IoAllocateIrp(3, FALSE);
    DbgPrint("made sent %p %p\\n", Sent, (PVOID)OnDone);
    DbgPrint("made own %p %p\\n", Own, (PVOID)OnCancel);
}
NTSTATUS DriverEntry(PDRIVER_OBJECT Driver, PUNICODE_STRING Path) {
    UNICODE_STRING Name = RTL_CONSTANT_STRING(L"\\\\Device\\\\Kdobj"), Link = RTL_CONSTANT_STRING(L"\\\\??\\\\KdLink");
    PDEVICE_OBJECT Device = NULL, Upper = NULL;
    UNREFERENCED_PARAMETER(Path);
    Driver->MajorFunction[IRP_MJ_DEVICE_CONTROL] = OnControl;
    IoCreateDevice(Driver, 64, &Name, 0x8123, 0, FALSE, &Device);
    IoCreateDevice(Driver, 0, NULL, FILE_DEVICE_UNKNOWN, 0, FALSE, &Upper);
    Device->Flags |= DO_BUFFERED_IO;
    Device->Flags &= ~DO_DEVICE_INITIALIZING;
    Upper->Flags &= ~DO_DEVICE_INITIALIZING;
    IoAttachDeviceToDeviceStack(Upper, Device);
    IoCreateSymbolicLink(&Link, &Name);
    DbgPrint("made device %p %p\\n", Device, Device->DeviceExtension);
    DbgPrint("made upper %p %p\\n", Upper, (PVOID)OnControl);
    DbgPrint("made driver %p %p\\n", Driver, (PVOID)DriverEntry);
    DbgPrint("made texts %p %p\\n", Wide, Narrow);
    HANDLE Event = MakeEvent();
    MakeFile();
    ZwClose(Event == NULL ? NULL : (HANDLE)0);
    SendRequests(Device);
    KeBugCheckEx(0xDEAD0007, 0x11, 0x22, 0x33, 0x44);
}
"""


def number(text):
    """0xfffff80012345678 of fffff800`12345678."""
    return int(text.replace("`", ""), 16)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder of a machine in which a driver made one of everything and then died; made once for all workers."""
    found = shared_folder(tmp_path_factory) / "kd-objects"
    found.mkdir(exist_ok=True)
    with open(found / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (found / "made").exists():
            make(found)
            (found / "made").write_text("")
    return found


def make(found):
    ensure_built("checked")
    make_driver(found, "kdobj", DRIVER)
    archive = make_archive(found / "boot.cpio", OUT / "checked", {"kdobj": found / "kdobj.sys"})
    words = "load=kdobj scenario=resident"
    machine = Machine(cmdline=words, cpus=2, mem=64, seed=SEED, archive=archive, dump="full", volume=True)
    call("cp", OUT / "checked" / "kernel.elf", OUT / "checked" / "drivers" / "fastfat.dbg", found)
    with Run(machine, found) as run:
        outcome = run.wait(MACHINE_LIMIT)
        if outcome.verdict is None:
            pytest.fail("\n".join(hang_report(run, MACHINE_LIMIT)), pytrace=False)
    assert keep_dump(found), outcome.serial[-2000:]


@pytest.fixture(scope="session")
def made(folder):
    """{what: (two numbers)} that the driver printed."""
    rows = re.findall(r"^made (\S+) ([0-9A-Fa-f]+) ([0-9A-Fa-f]+)", (folder / "serial.log").read_text(), re.M)
    found = {name: (int(first, 16), int(second, 16)) for name, first, second in rows}
    assert set(found) == {"device", "upper", "driver", "texts", "event", "file", "sent", "own"}, found
    return found


COMMANDS = {
    "root": "!object \\", "device": "!object \\Device", "event": "!object \\basenamedobjects\\kdevent",
    "link": "!object \\??\\KdLink", "links": "!object \\??\\", "no object": "!object nt!KeBugCheckEx",
    "no name": "!object \\Device\\Nobody", "no path": "!object Nobody", "event address": "!object {event[1]:x}",
    "file object": "!object {file[1]:x}", "behind": "!object \\??\\C:\\Temp",
    "handles": "!handle", "handle": "!handle {event[0]:x}", "short": "!handle {file[0]:x} 1",
            "files": "!handle 0 3 File",
    "no handle": "!handle 7fffff0", "closed": "!handle 200",
    "file": "!file {file[1]:x}", "no file": "!file {event[1]:x}", "null file": "!file 0",
    "sent": "!irp {sent[0]:x} 1", "own": "!irp {own[0]:x}", "all": "!irp 0", "no irp": "!irp {file[1]:x}",
    "bad irp": "!irp fffffa7fffff0000", "devobj": "!devobj Kdobj", "devobj address": "!devobj {upper[0]:x}",
    "drvobj": "!drvobj kdobj 3", "no drvobj": "!drvobj {device[0]:x}", "no driver": "!drvobj nobody",
    "imports": "!imports kdobj", "places": "!imports -a kdobj", "no imports": "!imports nt",
            "no module": "!imports -a nobody",
    "strings": "!strings -m kdobj", "long": "!strings -m kdobj -n c", "no strings": "!strings -m nobody",
    "di": "!di", "crash": "!crash"}


@pytest.fixture(scope="session")
def said(folder, made):
    """Each command's answer; one session of the debugger, shared by all workers."""
    path = folder / "said"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            line = ";".join(f"gdb echo @@@{name}@@@\\n;{text.format(**made)}" for name, text in COMMANDS.items())
            path.write_text(run_kd([folder / "crash.elf", "-c", line], status=1))
    parts = path.read_text().split("@@@")
    answers = dict(zip(parts[1::2], (part.lstrip("\n") for part in parts[2::2])))
    assert list(answers) == list(COMMANDS)
    return answers


@pytest.fixture(scope="session")
def core(folder):
    return Core(folder / "crash.elf")


@pytest.fixture(scope="session")
def kernel(folder):
    """{name: address} of the kernel's symbols."""
    return symbols(folder / "kernel.elf")


# ---- !object, !handle ----

def test_object_lists_a_directory(said, made):
    names = dict(re.findall(r"^ {7}[0-9a-f]{16}  (\S+) +(\S+)", said["root"], re.M))
    assert names["Directory"] and "SymbolicLink" in names
    for name in ("Device", "Driver", "GLOBAL??", "BaseNamedObjects", "??", "DosDevices"):
        assert re.search(rf"^ {{7}}[0-9a-f]{{16}}  \w+ +{re.escape(name)}( ->|$)", said["root"], re.M), name
    assert re.search(rf"^ {{7}}{made['device'][0]:016x}  Device +Kdobj$", said["device"], re.M)


def test_object_tells_type_counts_and_name(said, made, core, kernel):
    """The counts are those in the header in front of the object, 48 bytes before it."""
    address = made["event"][1]
    pointers, handles, type_ = struct.unpack("<qqQ", core.read(address - 48, 24))
    assert type_ == core.u64(core.u64(kernel["ExEventObjectType"]))
    for text in (said["event"], said["event address"]):
        assert f"Object: {address:016x}  Type: ({type_:016x}) Event" in text
        assert f"ObjectHeader: {address - 48:016x}" in text and f"HandleCount: {handles}  PointerCount: {pointers}" in text
        assert "Name: KdEvent" in text
    assert handles == 1 and pointers >= 3


def test_object_follows_links_on_the_way_and_shows_the_last(said, made):
    assert "Target String is '\\Device\\Kdobj'" in said["link"] and ") SymbolicLink" in said["link"]
    assert re.search(r"SymbolicLink +KdLink -> '\\Device\\Kdobj'$", said["links"], re.M)
    assert "is no directory: '\\Temp' is for its driver to find" in said["behind"] and ") Device" in said["behind"]
    assert "\\KD.TXT {HarddiskVolume1}" in said["file object"]


def test_object_says_what_is_none(said):
    assert "is no object" in said["no object"] and "there is no 'Nobody' in \\Device" in said["no name"]
    assert said["no path"].startswith("kd: !object: ")


def test_handle_shows_the_entry_and_its_object(said, made, core):
    """An entry is the object's address and the access mask; the event's handle is a kernel handle, the file's is
    not."""
    for name, text in (("event", said["handle"]), ("file", said["short"])):
        shown, address = made[name]
        row = re.search(r"^([0-9a-f]+): Object: ([0-9a-f]+)  GrantedAccess: ([0-9a-f]{8}) Entry: ([0-9a-f]{16})", text,
                        re.M)
        assert (int(row[1], 16), int(row[2], 16)) == (shown, address)
        assert core.read(int(row[4], 16), 12) == struct.pack("<QI", address, int(row[3], 16))
    assert made["event"][0] >> 31 == 0x1FFFFFFFF and made["file"][0] < 0x1000
    assert "Type: (" in said["handle"] and "Type: (" not in said["short"]
    assert int(re.search(r"GrantedAccess: (\w+)", said["handle"])[1], 16) == 0x1F0003        # EVENT_ALL_ACCESS


def test_handle_lists_those_that_are_open(said, made):
    shown = [int(word, 16) for word in re.findall(r"^([0-9a-f]+): Object:", said["handles"], re.M)]
    assert made["event"][0] in shown and made["file"][0] in shown and f"Open handles: {len(shown)}" in said["handles"]
    assert re.findall(r"^([0-9a-f]+): Object:", said["files"], re.M) == [f"{made['file'][0]:04x}"]
    assert "is no handle" in said["no handle"] and "is closed" in said["closed"]


# ---- !file ----

def test_file_tells_name_access_and_position(said, made, core):
    text, address = said["file"], made["file"][1]
    device, context = core.u64(address + 0x08), core.u64(address + 0x18)
    assert text.startswith("\\KD.TXT {HarddiskVolume1}")
    assert f"Device Object: 0x{device:016x}   \\Driver\\fastfat" in text and f"FsContext: 0x{context:016x}" in text
    assert "Access: Write SharedRead\n" in text         # as it was opened
    flags = struct.unpack("<I", core.read(address + 0x50, 4))[0]
    assert f"Flags:  0x{flags:x}" in text and "\tSynchronous IO" in text and "\tHandle Created" in text
    assert "CurrentByteOffset: 11\n" in text            # 17 bytes were written


def test_file_shows_the_file_systems_block(said):
    assert "FCB: \\KD.TXT  ('KD      TXT', 17 bytes, archive, 17 of them not on the disk yet)" in said["file"]
    assert "References: 1  Handles: 1" in said["file"] and "OpenCount 1 Readers 0 Writers 1 Deleters 0 SharedRead 1" in said["file"]
    assert "is not a file object" in said["no file"] and "cannot be read" in said["null file"]


# ---- !irp, !devobj, !drvobj ----

def test_irp_shows_whose_hands_it_is_in(said, made):
    text, (irp, done) = said["sent"], made["sent"]
    place = irp + 0xD0
    assert f"Irp is active with 1 stacks, 1 is current (= 0x{place:016x})" in text
    row = text.partition(">[IRP_MJ_DEVICE_CONTROL(e), minor 0]")[2].splitlines()
    device, file, routine, context = re.fullmatch(r" +\w+ +(?:\w+) (\w+) (\w+) (\w+)-(\w+)  .*", row[1]).groups()
    assert (int(device, 16), int(file, 16), int(routine, 16), int(context, 16)) == (made["device"][0], 0, done, 0x1234)
    assert row[1].endswith("Success Cancel pending") and "\\Driver\\kdobj\tkdobj!OnDone" in row[2]
    assert "Args: 00000000 00000004 00222004" in row[3]
    assert f"CancelRoutine = {made['own'][1]:016x}  kdobj!OnCancel" in text
    assert "Thread " in text and "(no thread is there)" not in text


def test_irp_0_finds_what_has_not_come_back(said, made):
    rows = {int(row[0], 16): row[1] for row in re.findall(r"^([0-9a-f]{16}) +(.*)$", said["all"], re.M)}
    assert "IRP_MJ_DEVICE_CONTROL(e) with \\Driver\\kdobj" in rows[made["sent"][0]] and "of thread" in rows[made["sent"][0]]
    assert "3/4" in rows[made["own"][0]] and "[allocated]" in rows[made["own"][0]]
    assert f"Requests that have not come back: {len(rows)}" in said["all"]
    assert "with 3 stacks, none is current" in said["own"]
    assert "is not an IRP" in said["no irp"] and "cannot be read" in said["bad irp"]


def test_devobj_shows_a_device_and_its_stack(said, made):
    (device, extension), upper = made["device"], made["upper"][0]
    for text in (said["devobj"], said["devobj address"]):
        assert f"\\Driver\\kdobj DriverObject {made['driver'][0]:016x}" in text
    assert f"Device object ({device:016x}) is for:\n Kdobj " in said["devobj"]
    assert f"DevExt {extension:016x}" in said["devobj"] and "Type 00008123" in said["devobj"]
    assert "DO_BUFFERED_IO" in said["devobj"] and "DO_DEVICE_INITIALIZING" not in said["devobj"]
    assert f"AttachedDevice (Upper) {upper:016x} \\Driver\\kdobj" in said["devobj"]
    assert f"AttachedTo (Lower) {device:016x} \\Driver\\kdobj" in said["devobj address"]


def test_drvobj_shows_devices_and_routines(said, made, kernel):
    text = said["drvobj"]
    assert f"Driver object ({made['driver'][0]:016x}) is for:\n \\Driver\\kdobj" in text
    listed = text.partition("Device Object list:\n")[2].partition("\n\n")[0].splitlines()
    assert listed == [f"{made['upper'][0]:016x}", f"{made['device'][0]:016x}  \\Device\\Kdobj"]
    assert re.search(rf"^DriverEntry: +{made['driver'][1]:016x}  kdobj!DriverEntry$", text, re.M)
    assert re.search(rf"^\[0e\] IRP_MJ_DEVICE_CONTROL +{made['upper'][1]:016x}  kdobj!OnControl$", text, re.M)
    default = kernel["IopInvalidDeviceRequest"]
    assert re.search(rf"^\[03\] IRP_MJ_READ +{default:016x}  nt!IopInvalidDeviceRequest$", text, re.M)
    assert "is not a driver object" in said["no drvobj"] and "there is no 'nobody' in \\Driver" in said["no driver"]


# ---- !imports, !strings ----

def relocations(path):
    """[(section, offset, type, symbol, addend)] of what a relocatable file leaves undefined: its own tables, read
    here."""
    data = path.read_bytes()
    table, = struct.unpack_from("<Q", data, 40)
    size, count, names = struct.unpack_from("<HHH", data, 58)
    heads = [struct.unpack_from("<IIQQQQIIQQ", data, table + index * size) for index in range(count)]

    def text(offset):
        return data[offset:data.index(b"\0", offset)].decode()

    found = []
    for head in heads:
        if head[1] != 4:                            # SHT_RELA
            continue
        symbols_, section = heads[head[6]], text(heads[names][4] + heads[head[7]][0])
        for at in range(head[4], head[4] + head[5], 24):
            offset, info, addend = struct.unpack_from("<QQq", data, at)
            name, _, _, index = struct.unpack_from("<IBBH", data, symbols_[4] + (info >> 32) * 24)
            if index == 0:
                found.append((section, offset, info & 0xFFFFFFFF, text(heads[symbols_[6]][4] + name), addend))
    return found


def test_imports_are_those_of_the_file_and_lead_to_the_kernel(folder, said, kernel, core):
    wanted = {(section, offset): (name, kernel[name], kind, addend)
              for section, offset, kind, name, addend in relocations(folder / "kdobj.sys")}
    rows = re.findall(r"^(\S{17})  (\S+)\+0x([0-9a-f]+) +(call|relative|absolute) +(\S{17})  nt!(\w+)$",
                      said["places"], re.M)
    assert len(rows) == len(wanted) > 20
    for slot, section, offset, _, target, name in rows:
        expected, address, kind, addend = wanted[section, int(offset, 16)]
        assert (name, number(target)) == (expected, address)
        place = number(slot)
        stored = struct.unpack("<i", core.read(place, 4))[0]
        assert stored + (0 if kind in (10, 11) else place) - addend == address - (0 if address < 1 << 63
                                                                                  or kind not in (10, 11)
                                                                               else 1 << 64)
    assert f"{len({row[0] for row in wanted.values()})} imports at {len(wanted)} places\n" in said["places"]
    used = {name: int(count) for count, name in re.findall(r"^\S{17} +(\d+)  nt!(\w+)$", said["imports"], re.M)}
    assert used == {name: sum(row[0] == name for row in wanted.values()) for name, *_ in wanted.values()}
    assert "imports nothing" in said["no imports"] and "no module 'nobody'" in said["no module"]


def test_imports_finds_a_place_that_was_written_over(folder, tmp_path, core):
    """One call of the driver is bent by 16 bytes in a copy of the dump."""
    section, offset, kind, name, _ = next(row for row in relocations(folder / "kdobj.sys") if row[2] == 4)
    text = run_kd([folder / "crash.elf", "-c", "!imports -a kdobj"])
    place = number(next(line for line in text.splitlines() if f" {section}+{offset:#x} " in line).split()[0])
    bent = Core(folder / "crash.elf")
    at = bent.offset(place)
    bent.data[at:at + 4] = struct.pack("<i", struct.unpack("<i", bent.data[at:at + 4])[0] + 16)
    for file in (*folder.glob("*.dbg"), *folder.glob("*.sys"), folder / "kernel.elf"):
        call("cp", file, tmp_path)
    text = run_kd([bent.save(tmp_path / "crash.elf"), "-c", "!imports -a kdobj"])
    line = next(line for line in text.splitlines() if f" {section}+{offset:#x} " in line)
    assert f"({name}: DIFFERS from the export at" in line and "1 of them not as they were bound" in text


def test_strings_finds_both_kinds(folder, said, made, core):
    wide, narrow = made["texts"]
    rows = [(number(row[0]), row[1], row[2], row[3]) for row in
            re.findall(r"^(\S{17})  (\S+) +(ascii|utf-16) +(.*)$", said["strings"], re.M)]
    shown = {row[0]: row[1:] for row in rows}
    assert shown[wide][1:] == ("utf-16",
                               "wide text of kdobj") and shown[narrow][1:] == ("ascii", "narrow text of kdobj")
    for address, _, kind, text in rows:
        assert core.read(address, len(text) * (2 if kind == "utf-16" else 1)) == \
            text.encode("utf-16-le" if kind == "utf-16" else "ascii")
    # binutils' strings finds the same in the file's constants.
    call("objcopy", "-O", "binary", "-j", ".rodata", "--set-section-flags", ".rodata=alloc", folder / "kdobj.sys",
         folder / "rodata.bin")
    known = [line.strip() for line in call("strings", "-n", "5", folder / "rodata.bin").splitlines()]
    texts = [text.strip() for _, section, kind, text in rows if section == ".rodata" and kind == "ascii"]
    assert known and set(known) <= set(texts), (known, texts)
    assert "seventeen letters" in said["long"] and f"Texts: {len(rows)}" in said["strings"]
    assert "no module 'nobody'" in said["no strings"]


# ---- !di, !crash ----

def test_di_says_which_machine_this_is(folder, said, kernel, core):
    text = said["di"]
    assert re.search(r" Kernel Version \d+ MP \(2 procs\) Checked x64$", text.splitlines()[0])
    assert "Machine: 2 CPUs, " in text and f"seed {SEED}" in text
    ram = int(re.search(r"(\d+) MB RAM", text)[1])
    assert 60 <= ram <= 64
    base, modules = re.search(r"Kernel base = 0x(\S+) PsLoadedModuleList = 0x(\S+)", text).groups()
    assert (number(base), number(modules)) == (kernel["KernelImageStart"], kernel["PsLoadedModuleList"])
    ticks = core.u64(kernel["KiTickCount"])
    shown = re.search(r"System Uptime: 0 days (\d+):(\d+):(\d+)\.(\d+)", text)
    ms = ((int(shown[1]) * 60 + int(shown[2])) * 60 + int(shown[3])) * 1000 + int(shown[4])
    assert ms == int(ticks * 15.625)
    assert f"Bugcheck: {CODE:X} ({', '.join(f'{p:X}' for p in PARAMETERS)})" in text
    assert f"Dump: {folder}/crash.elf (level full, complete)" in text and "Command line: load=kdobj" in text


def test_crash_adds_bugcheck_and_stack(said):
    assert said["di"].strip() in said["crash"]
    assert f"Arg4: {PARAMETERS[3]:016x}" in said["crash"] and "kdobj!DriverEntry" in said["crash"]


# ---- Damaged ----

BAD = 0xDEAD4141DEAD4141                            # no canonical address


def damaged(folder, made, path):
    """A copy of the dump in which one thing of each kind is broken."""
    bent = Core(folder / "crash.elf")
    device, upper, event, file, irp = made["device"][0], made["upper"][0], made["event"][1], made["file"][1], made["sent"][0]
    name = bent.u64(event - 48 + 32)                # OBJECT_HEADER.Name
    directory = bent.u64(name + 16)
    bent.write_u64(directory, BAD)                  # \BaseNamedObjects: its list leads nowhere
    bent.write_u64(event - 48 + 16, BAD)            # the event's type
    bent.write_u64(file + 0x60, BAD)                # FileName.Buffer
    bent.write_u64(file + 0x18, BAD)                # FsContext
    bent.write_u64(device + 0x10, device)           # NextDevice
    bent.write_u64(upper + 8, BAD)                  # DriverObject
    at = bent.offset(irp + 0x42)
    bent.data[at] = 0x7F                            # StackCount
    for file_ in (*folder.glob("*.dbg"), *folder.glob("*.sys"), folder / "kernel.elf"):
        call("cp", file_, path)
    return bent.save(path / "crash.elf")


def test_what_is_damaged_costs_one_line(folder, made, tmp_path):
    commands = {"directory": "!object \\BaseNamedObjects", "event": f"!object {made['event'][1]:x}",
                "handles": "!handle",
                "file": f"!file {made['file'][1]:x}", "driver": f"!drvobj {made['driver'][0]:x}",
                "device": f"!devobj {made['upper'][0]:x}", "irp": f"!irp {made['sent'][0]:x}", "all": "!irp 0"}
    line = ";".join(f"gdb echo @@@{name}@@@\\n;{command}" for name, command in commands.items())
    parts = run_kd([damaged(folder, made, tmp_path), "-c", line], status=1).split("@@@")
    said = dict(zip(parts[1::2], parts[2::2]))
    assert re.search(r"kd: .*the list at .* is corrupt", said["directory"]) and "Names: 0" in said["directory"]
    assert "is no object" in said["event"]
    assert "Open handles: 2" in said["handles"] and "is no object" in said["handles"]
    assert "(its name: memory at dead4141`dead4141 cannot be read: not a canonical address)" in said["file"]
    assert "FCB at dead4141`dead4141: not a canonical address" in said["file"] and "CurrentByteOffset: 11" in said["file"]
    assert "list of devices loops at" in said["driver"] and f"{made['upper'][0]:016x}" in said["driver"]
    assert f"? DriverObject {BAD:016x}" in said["device"] and "AttachedTo (Lower)" in said["device"]
    assert "says that it has 127 stack locations" in said["irp"]
    assert f"kd: {made['sent'][0]:016x} " in said["all"] and f"{made['own'][0]:016x}  3/4" in said["all"]


# ---- Live, and with less than all ----

def test_objects_of_a_live_machine(live):
    """The same on a machine that runs: stopped where the scenario's driver has been loaded."""
    run, socket = live("resident", cpus=1)
    known = symbols(OUT / "checked" / "kernel.elf")
    text = run_kd(["--live", socket, "-c",
                   f"gdb hbreak *{known['StoryRun']:#x};gdb continue;!object \\Device;!drvobj fastfat;"
                   "!irp 0;!di;gdb kill"], status=None)
    assert re.search(r"Device +HarddiskVolume1$", text, re.M) and "\\Driver\\fastfat" in text
    assert "Bugcheck: none: the machine has not crashed" in text and "a live machine" in text


def test_small_dump_says_what_it_has_not(dump, kd):
    path = dump("paged", level="small", cpus=4)
    text = kd(path, "!di", "!object \\", "!handle", "!irp 0", "!imports secret",
              "!strings -m secret", "!drvobj secret", status=None)
    assert "level small" in text and "Bugcheck: D1 (" in text
    ram, words = re.search(r"^(\d+) MiB of RAM, command line: (.*?)\s*$", serial_of(path), re.M).groups()
    assert f"Machine: 4 CPUs, {ram} MB RAM, " in text and f"Command line: {words}\n" in text, text
    assert re.search(r"^System Uptime: 0 days 0:\d\d:\d\d\.\d{3}$", text, re.M), text
    for name in ("!object", "!drvobj"):
        assert re.search(rf"kd: {name}: .*not in the dump", text), text
