"""IRPs, devices and drivers as the I/O manager keeps them, and requests not yet back.

A request that ends in its requester is in the list of its thread (io/threadirp.c), in that of the orphans when the
thread has ended, or waits in the queue of a device. One that a driver allocated for itself is in no list: the pool has
its block.
"""

import struct

import gdb

from kd.model.poolblocks import find_block, state
from kd.model.records import static
from kd.model.regions import region
from kd.model.waits import complaint, threads
from kd.target.command import KdError
from kd.target.memory import grave, is_readable, offset_of, size_of, structure, try_read, u8, unicode_text, value_of, walk_list
from kd.target.modules import modules

DEVICE, DRIVER, FILE, IRP = 3, 4, 5, 6              # the Type of each
KINDS = {DEVICE: "a device object", DRIVER: "a driver object", FILE: "a file object", IRP: "an IRP"}
TYPES = {DEVICE: "DEVICE_OBJECT", DRIVER: "DRIVER_OBJECT", FILE: "FILE_OBJECT", IRP: "IRP"}
MAJOR = ("CREATE CREATE_NAMED_PIPE CLOSE READ WRITE QUERY_INFORMATION SET_INFORMATION QUERY_EA SET_EA FLUSH_BUFFERS "
         "QUERY_VOLUME_INFORMATION SET_VOLUME_INFORMATION DIRECTORY_CONTROL FILE_SYSTEM_CONTROL DEVICE_CONTROL "
         "INTERNAL_DEVICE_CONTROL SHUTDOWN LOCK_CONTROL CLEANUP CREATE_MAILSLOT QUERY_SECURITY SET_SECURITY POWER "
         "SYSTEM_CONTROL DEVICE_CHANGE QUERY_QUOTA SET_QUOTA PNP").split()
IRP_TAG = b"Irp "
POOL_HEADER = 16
CHUNK = 1 << 20
PAGE = 4096
MOST_STACKS = 64                                    # of one IRP


def has_type(address, kind):
    """Whether a structure of the I/O manager's of this kind lies at an address."""
    raw = try_read(address, size_of(TYPES[kind])) if address % 8 == 0 else None
    return raw is not None and struct.unpack_from("<h", raw)[0] == kind


def checked(address, kind):
    """The structure at an address; KdError where something else lies there."""
    value = structure(TYPES[kind], address)
    found = int(value["Type"])
    if found != kind:
        named = f" (it is {KINDS[found]})" if found in KINDS else ""
        raise KdError(f"{grave(address)} is not {KINDS[kind]}: its Type is {found}, not {kind}{named}")
    if not is_readable(address, size_of(TYPES[kind])):
        raise KdError(f"{KINDS[kind]} at {grave(address)} cannot be read to its end")
    return value


def major_name(number):
    """IRP_MJ_READ(3)"""
    return f"IRP_MJ_{MAJOR[number]}({number:x})" if number < len(MAJOR) else f"(major function {number:x}?)"


def driver_name(driver):
    """"\\Driver\\secret" of a driver object; "?" where there is none."""
    if not has_type(driver, DRIVER):
        return "?"
    try:
        return unicode_text(structure("DRIVER_OBJECT", driver)["DriverName"])
    except KdError:
        return "?"


def driver_of_device(device):
    """The name of a device's driver."""
    return driver_name(int(structure("DEVICE_OBJECT", device)["DriverObject"])) if has_type(device, DEVICE) else "?"


def devices_of(driver):
    """The devices of a driver, the latest first; the chain ends where it leads astray."""
    device, seen = int(structure("DRIVER_OBJECT", driver)["DeviceObject"]), []
    while device and device not in seen:
        if not has_type(device, DEVICE):
            print(f"kd: the driver's list of devices leads to {grave(device)}, which is none")
            return
        seen.append(device)
        yield device
        device = int(structure("DEVICE_OBJECT", device)["NextDevice"])
    if device:
        print(f"kd: the driver's list of devices loops at {grave(device)}")


def all_devices():
    """Every device of every driver of a loaded module."""
    for module in modules():
        driver = int(structure("KLDR_DATA_TABLE_ENTRY", module.entry)["DriverObject"]) if module.entry else 0
        if has_type(driver, DRIVER):
            yield from devices_of(driver)


# ---- Requests ----

def stack_locations(irp):
    """(count, current) of an IRP; KdError where they cannot be."""
    value = structure("IRP", irp)
    count, current = int(value["StackCount"]), int(value["CurrentLocation"])
    if not 0 <= count <= MOST_STACKS or not 0 <= current <= count + 2:
        raise KdError(f"the IRP at {grave(irp)} says that it has {count} stack locations, "
                      f"of which {current} is current")
    return count, current


def location(irp, number):
    """The IO_STACK_LOCATION of this number, from 1."""
    return structure("IO_STACK_LOCATION", irp + size_of("IRP") + (number - 1) * size_of("IO_STACK_LOCATION"))


def in_threads():
    """(irp, text) of the requests that threads wait for or will get an APC for, and of those whose thread has ended."""
    threads.cache_clear()
    for thread in threads():
        head = thread.address + offset_of("ETHREAD", "IrpList")
        if not is_readable(head, 16) or int(structure("LIST_ENTRY", head)["Flink"]) == 0:
            continue                                # a thread of the kernel's that is no object: it sends nothing
        for irp in walk_list(head, "IRP", "ThreadListEntry"):
            yield irp, f"of thread {thread.address:016x} ({thread.name})"
    for irp in walk_list(int(static("threadirp.c", "Orphans").address), "IRP", "ThreadListEntry"):
        yield irp, "its thread has ended"


def in_devices():
    """(irp, text) of the requests that devices work on or have waiting."""
    entry = "Tail.Overlay.DeviceQueueEntry.DeviceListEntry"
    for device in all_devices():
        value = structure("DEVICE_OBJECT", device)
        if int(value["CurrentIrp"]):
            yield int(value["CurrentIrp"]), f"current on device {device:016x}"
        head = int(value["DeviceQueue"]["DeviceListHead"].address)
        if int(structure("LIST_ENTRY", head)["Flink"]):
            for irp in walk_list(head, "IRP", entry):
                yield irp, f"waits in the queue of device {device:016x}"


def in_pool():
    """(irp, text) of the IRPs that have a block of nonpaged pool."""
    for irp in tagged_blocks():
        if not has_type(irp, IRP):
            continue
        block = find_block(irp)
        if block is not None and getattr(block, "header", None) == irp - POOL_HEADER and state(block) == "Allocated":
            yield irp, "allocated"


def tagged_blocks():
    """Addresses behind what may be a pool header with the IRPs' tag."""
    known = value_of("MiNonPagedRange")
    place, end = region("RegionNonPagedPool").start, int(known["Start"]) + int(known["HighestUsed"]) * PAGE
    while place < end:
        step = min(CHUNK, end - place)
        raw = try_read(place, step)
        pieces = [(place, raw)] if raw is not None else [(at, try_read(at, PAGE))
                                                         for at in range(place, place + step, PAGE)]
        for start, data in pieces:
            at = data.find(IRP_TAG) if data else -1
            while at >= 0:
                if (start + at) % POOL_HEADER == 4:
                    yield start + at - 4 + POOL_HEADER
                at = data.find(IRP_TAG, at + 1)
        place += step


def pending():
    """{irp: where it is} of every request that has not come back."""
    found = {}
    for source in (in_threads, in_devices, in_pool):
        try:
            for irp, text in source():
                found.setdefault(irp, text)
        except (KdError, gdb.error) as problem:
            print(f"kd: some requests are not known: {complaint(problem)}")
    return found


def major_at(irp):
    """The major function of the current stack location, or None."""
    count, current = stack_locations(irp)
    if not 1 <= current <= count:
        return None
    return u8(int(location(irp, current).address))

