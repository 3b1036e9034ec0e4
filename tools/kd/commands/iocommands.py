"""!irp, !file, !devobj and !drvobj: requests on their way, files, devices, drivers."""

import gdb

from kd.model import threads as plain
from kd.model.objects import find_object, look_up, own_name, path_of
from kd.model.requests import (DEVICE, DRIVER, FILE, IRP, MAJOR, checked, devices_of, driver_name, driver_of_device,
                         location, major_at, major_name, pending, stack_locations)
from kd.model.waits import complaint
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import grave, is_readable, size_of, structure, try_read, unicode_text, walk_list, why_unreadable
from kd.target.symbols import symbol

CONTROL = ((0x40, "Success"), (0x80, "Error"), (0x20, "Cancel"), (0x01, "pending"))
DEVICE_FLAGS = ((0x2, "DO_VERIFY_VOLUME"), (0x4, "DO_BUFFERED_IO"), (0x8, "DO_EXCLUSIVE"), (0x10, "DO_DIRECT_IO"),
                (0x20, "DO_MAP_IO_BUFFER"), (0x40, "DO_DEVICE_HAS_NAME"), (0x80, "DO_DEVICE_INITIALIZING"),
                (0x800, "DO_SHUTDOWN_REGISTERED"), (0x1000, "DO_BUS_ENUMERATED_DEVICE"), (0x2000, "DO_POWER_PAGABLE"))
FILE_FLAGS = ((0x1, "File Open"), (0x2, "Synchronous IO"), (0x4, "Alertable IO"), (0x8, "No Intermediate Buffering"),
              (0x10, "Write Through"), (0x20, "Sequential Only"), (0x800, "Direct Device Open"),
              (0x1000, "File Modified"),
              (0x2000, "File Size Changed"), (0x4000, "Cleanup Complete"), (0x8000, "Temporary"),
              (0x10000, "Delete On Close"),
              (0x20000, "Case Sensitive"), (0x40000, "Handle Created"), (0x80000, "Fast IO Read"),
              (0x100000, "Random Access"),
              (0x200000, "Open Cancelled"), (0x400000, "Volume Open"))
ACCESS = ("ReadAccess", "WriteAccess", "DeleteAccess", "SharedRead", "SharedWrite", "SharedDelete")
FAT_ATTRIBUTES = ((0x01, "read only"), (0x02, "hidden"), (0x04, "system"), (0x08, "volume label"), (0x10, "directory"),
                  (0x20, "archive"))
COUNTS = ("OpenCount", "Readers", "Writers", "Deleters", "SharedRead", "SharedWrite", "SharedDelete")


def words_of(flags, names):
    return [name for bit, name in names if flags & bit]


def place_of(value):
    """An address with its symbol, as a table shows it."""
    return f"{value:016x}" + (f"  {symbol(value)}" if value else "")


# ---- !irp ----

def head_line(value, count, current, irp):
    """The line above an IRP's stack locations, and where its data is."""
    if 1 <= current <= count:
        at = f"{current} is current (= 0x{int(location(irp, current).address):016x})"
    else:
        at = "none is current: it is not sent yet, or completed"
    print(f"Irp is active with {count} stacks, {at}")
    mdl, buffer, thread = (int(value["MdlAddress"]), int(value["AssociatedIrp"]["SystemBuffer"]),
                           int(value["Tail"]["Overlay"]["Thread"]))
    print(f" {f'Mdl={mdl:016x}' if mdl else 'No Mdl'}: {f'System buffer={buffer:016x}' if buffer else 'No System Buffer'}: "
          f"{f'Thread {thread:016x}{name_of(thread)}' if thread else 'No thread'}:  Irp stack trace."
          + ("  Pending has been returned" if int(value["PendingReturned"]) else ""))


def name_of(thread):
    return f" ({plain.name_of(thread)})" if plain.is_thread(thread) else " (no thread is there)"


def print_location(irp, number, is_current):
    """One stack location: function, flags, device, file, completion, arguments."""
    value = location(irp, number)
    address = int(value.address)
    if not is_readable(address, size_of("IO_STACK_LOCATION")):
        print(f"kd: stack location {number}: {why_unreadable(address)}")
        return
    major, control = int(value["MajorFunction"]), int(value["Control"])
    device, file, routine = int(value["DeviceObject"]), int(value["FileObject"]), int(value["CompletionRoutine"])
    if not (device or major or routine):
        print(" [N/A(0), N/A(0)]\n            0  0 00000000 00000000 00000000-00000000")
        return
    print(f"{'>' if is_current else ' '}[{major_name(major)}, minor {int(value['MinorFunction']):x}]")
    print(f"           {int(value['Flags']):2x} {control:2x} {device:016x} {file:016x} {routine:016x}-{int(value['Context']):016x}  "
          f"{' '.join(words_of(control, CONTROL))}".rstrip())
    if device:
        print(f"\t       {driver_of_device(device)}" + (f"\t{symbol(routine)}" if routine else ""))
    other = value["Parameters"]["Others"]
    print("\t\t\tArgs: " + " ".join(f"{int(other[f'Argument{n}']):08x}" for n in range(1, 5)))


def print_irp(irp, is_long):
    value = checked(irp, IRP)
    count, current = stack_locations(irp)
    head_line(value, count, current, irp)
    if is_long:
        print_fields(value)
    print("     cmd  flg cl Device           File             Completion-Context")
    for number in range(1, count + 1):
        print_location(irp, number, number == current)


def print_fields(value):
    """What -v adds."""
    status = int(value["IoStatus"]["Status"]) & 0xFFFFFFFF
    print(f"Flags = {int(value['Flags']):08x}\nThreadListEntry.Flink = {int(value['ThreadListEntry']['Flink']):016x}\n"
          f"IoStatus.Status = {status:08x}\nIoStatus.Information = {int(value['IoStatus']['Information']):x}\n"
          f"RequestorMode = {int(value['RequestorMode']):08x}\nCancel = {int(value['Cancel']):02x}\n"
          f"CancelIrql = {int(value['CancelIrql']):x}\nUserIosb = {int(value['UserIosb']):016x}\n"
          f"UserEvent = {int(value['UserEvent']):016x}\nCancelRoutine = {place_of(int(value['CancelRoutine']))}\n"
          f"UserBuffer = {int(value['UserBuffer']):016x}\n"
          f"Tail.Overlay.OriginalFileObject = {int(value['Tail']['Overlay']['OriginalFileObject']):016x}")


def summary(irp, where):
    """A line of `!irp 0`."""
    value = checked(irp, IRP)
    count, current = stack_locations(irp)
    major = major_at(irp)
    if major is None:
        text = "not sent, or completed"
    else:
        text = f"{major_name(major)} with {driver_of_device(int(location(irp, current)['DeviceObject']))}"
    cancelled = ", cancelled" if int(value["Cancel"]) else ""
    print(f"{irp:016x} {count:2x}/{current:<2x} {int(value['Tail']['Overlay']['Thread']):016x}  {text}{cancelled}  [{where}]")


def list_irps():
    """Every request that has not come back."""
    found = pending()
    print("Irp              [ St/Cur ] Thread            Function and driver")
    for irp, where in sorted(found.items()):
        try:
            summary(irp, where)
        except (KdError, gdb.error) as problem:
            print(f"kd: {irp:016x} [{where}]: {complaint(problem)}")
    print(f"Requests that have not come back: {len(found)}")


@command("!irp", "ADDRESS [1] | 0", "a request and whose hands it has been through; 0: all that have not come back")
def irp_command(arguments):
    """!irp ADDRESS: the IRP at an address: its stack locations, the topmost driver's last; > marks the current one,
    whose driver has it. cl is the control byte, in words behind it: on Success, Error or Cancel the completion routine
    is called; pending: IoMarkIrpPending was. With 1 the other fields too: status, cancel routine, user's buffer and
    event.

    !irp 0: every request that has not come back: those of threads (and of threads that have ended), those that wait in
    the queues of devices, and those that drivers have allocated for themselves."""
    if not arguments:
        raise KdError("usage: !irp ADDRESS [1], or !irp 0 for all")
    address = evaluate(arguments[0])
    if address == 0:
        list_irps()
    else:
        print_irp(address, len(arguments) > 1 and evaluate(arguments[1]) != 0)


# ---- !file ----

def file_name(address):
    """"\\Temp\\a.txt {Device}": the name behind the device's, and the device's own."""
    value = checked(address, FILE)
    device = int(value["DeviceObject"])
    try:
        name = unicode_text(value["FileName"])
    except KdError as problem:
        name = f"(its name: {problem})"
    return f"{name or '(the device itself)'} {{{device_name(device)}}}"


def device_name(device):
    """"Secret" of a device; its address where it has no name."""
    found = find_object(device)
    return (own_name(found) if found is not None else "") or f"{device:016x}"


def print_control_block(file):
    """The FCB and CCB of fastfat's file; both are paged."""
    fcb, ccb = int(file["FsContext"]), int(file["FsContext2"])
    value = structure("FCB", fcb)
    if not is_readable(fcb, size_of("FCB")):
        print(f"    FCB at {grave(fcb)}: {why_unreadable(fcb)}")
        return
    entry = value["Node"]["Entry"]
    short = bytes(try_read(int(entry["Name"].address), 11)).decode("latin-1")
    marks = (("delete pending", "IsDeletePending"), ("deleted", "IsDeleted"), ("the volume", "IsVolume"))
    states = [name for name, field in marks
              if int(value[field])]
    size, page = int(entry["Size"]), value["Page"]
    if int(page["DirtyEnd"]):                   # small writes that have gathered in memory: FatSizeOf counts them
        size = max(size, int(page["Offset"]) + int(page["DirtyEnd"]))
        states.append(f"{int(page['DirtyEnd']) - int(page['DirtyStart'])} of them not on the disk yet")
    print(f"    FCB: {unicode_text(value['Path'])}  ('{short}', {size} bytes"
          f"{''.join(f', {word}' for word in words_of(int(entry['Attributes']), FAT_ATTRIBUTES) + states)})")
    print(f"         References: {int(value['References'])}  Handles: {int(value['Handles'])}")
    print("         ShareAccess: " + " ".join(f"{name} {int(value['ShareAccess'][name])}" for name in COUNTS))
    if ccb and is_readable(ccb, size_of("CCB")):
        value = structure("CCB", ccb)
        print(f"    CCB: DeletesOnClose {int(value['DeletesOnClose'])}  HasScan {int(value['HasScan'])}")


@command("!file", "ADDRESS", "a file object: name, device, access, flags, position, and the file system's block")
def file_command(arguments):
    """!file ADDRESS: what one open of a file or device is: its name and device, what it may do and lets others do, its
    flags, its position; for a file on C: also the file system's control block (FCB), which all opens of that file
    share. `!handle 0 3 File` lists the files that are open."""
    if len(arguments) != 1:
        raise KdError("usage: !file ADDRESS; `!handle 0 3 File` lists the files that are open")
    address = evaluate(arguments[0])
    value = checked(address, FILE)
    device = int(value["DeviceObject"])
    print(f"{file_name(address)}\n")
    related = int(value["RelatedFileObject"])
    if related:
        print(f"Related File Object: 0x{related:016x}")
    print(f"Device Object: 0x{device:016x}   {driver_of_device(device)}")
    print("Access: "
          + (" ".join(name.replace("Access", "") for name in ACCESS if int(value[name])) or "none asked for"))
    flags = int(value["Flags"])
    print(f"\nFlags:  0x{flags:x}")
    for word in words_of(flags, FILE_FLAGS):
        print(f"\t{word}")
    if int(value["DeletePending"]):
        print("\tDelete Pending")
    print(f"\nFsContext: 0x{int(value['FsContext']):016x} FsContext2: 0x{int(value['FsContext2']):016x}")
    print(f"CurrentByteOffset: {int(value['CurrentByteOffset']['QuadPart']):x}")
    if driver_of_device(device).lower().endswith("\\fastfat") and int(value["FsContext"]):
        print_control_block(value)


# ---- !devobj, !drvobj ----

def object_of(text, kind, folder):
    """The address of an argument: an expression, a path, or a name in a directory."""
    if text.startswith("\\"):
        return look_up(text)[0]
    try:
        return look_up(f"{folder}\\{text}")[0]
    except KdError as missing:
        try:
            return evaluate(text)
        except KdError:
            raise missing from None


@command("!devobj", "ADDRESS | NAME", "a device object: its driver, stack, flags, and the request that it works on")
def devobj(arguments):
    """!devobj ADDRESS, !devobj Secret, !devobj \\Device\\Secret: a device: whose it is, how many files are open on it,
    which devices are above and below it in its stack, its extension, and what waits in its queue."""
    if len(arguments) != 1:
        raise KdError("usage: !devobj ADDRESS | NAME; `!object \\Device` lists the devices")
    address = object_of(arguments[0], DEVICE, "\\Device")
    value = checked(address, DEVICE)
    driver, flags = int(value["DriverObject"]), int(value["Flags"])
    print(f"Device object ({address:016x}) is for:\n {device_name(address)} {driver_name(driver)} DriverObject {driver:016x}")
    print(f"Current Irp {int(value['CurrentIrp']):016x} RefCount {int(value['ReferenceCount'])} Type {int(value['DeviceType']):08x} "
          f"Flags {flags:08x}\n    {' '.join(words_of(flags, DEVICE_FLAGS))}".rstrip())
    print(f"DevExt {int(value['DeviceExtension']):016x} DevObjExt {int(value['DeviceObjectExtension']):016x}")
    print_neighbours(value)
    print_queue(value["DeviceQueue"])


def print_neighbours(value):
    """The devices above and below in the stack."""
    upper, own = int(value["AttachedDevice"]), int(value["DeviceObjectExtension"])
    lower = int(structure("IOP_DEVICE", own)["AttachedTo"]) if is_readable(own, size_of("IOP_DEVICE")) else 0
    for word, device in (("AttachedDevice (Upper)", upper), ("AttachedTo (Lower)", lower)):
        if device:
            print(f"{word} {device:016x} {driver_of_device(device)}")


def print_queue(queue):
    head = int(queue["DeviceListHead"].address)
    if not int(queue["Busy"]):
        print("Device queue is not busy.")
        return
    entry = "Tail.Overlay.DeviceQueueEntry.DeviceListEntry"
    waiting = list(walk_list(head, "IRP", entry))
    print(f"Device queue is busy -- Queue {'empty' if not waiting else ''}".rstrip())
    for irp in waiting:
        print(f"    {irp:016x}")


@command("!drvobj", "ADDRESS | NAME [FLAGS]", "a driver object: its devices, and with flag 2 its routines")
def drvobj(arguments):
    """!drvobj ADDRESS, !drvobj secret, !drvobj \\Driver\\secret: a driver. FLAGS: 1 its devices (unless told), 2 its
    entry points and dispatch routines, 3 both."""
    if not arguments:
        raise KdError("usage: !drvobj ADDRESS | NAME [FLAGS]; `!object \\Driver` lists the drivers")
    address = object_of(arguments[0], DRIVER, "\\Driver")
    flags = evaluate(arguments[1]) if len(arguments) > 1 else 1
    value = checked(address, DRIVER)
    print(f"Driver object ({address:016x}) is for:\n {driver_name(address)}")
    if flags & 1:
        print("\nDevice Object list:")
        for device in devices_of(address):
            print(f"{device:016x}  {path_of(device)}".rstrip())
    if flags & 2:
        print_routines(value)


def print_routines(value):
    extension = int(value["DriverExtension"])
    add = 0
    if is_readable(extension, size_of("DRIVER_EXTENSION")):
        add = int(structure("DRIVER_EXTENSION", extension)["AddDevice"])
    print()
    for word, routine in (("DriverEntry:", int(value["DriverInit"])), ("DriverStartIo:", int(value["DriverStartIo"])),
                          ("DriverUnload:", int(value["DriverUnload"])), ("AddDevice:", add)):
        print(f"{word:15}{place_of(routine)}")
    print("\nDispatch routines:")
    for number, name in enumerate(MAJOR):
        print(f"[{number:02x}] {'IRP_MJ_' + name:35} {place_of(int(value['MajorFunction'][number]))}")
