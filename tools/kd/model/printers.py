"""GDB's printers for the kernel's types: a string as its text, a lock with its owner.

A printer never follows memory without limit, and never fails: what is not there is said to be so.
"""

import gdb
import gdb.printing

from kd.model.pages import describe_invalid
from kd.model.threads import state_name
from kd.target.command import KdError
from kd.target.memory import MASK, grave, try_read, unicode_text
from kd.target.processors import processors
from kd.target.symbols import symbol

LONGEST_LIST = 1000
EVENT_KINDS = {0: "notification", 1: "synchronization"}


def word(address):
    data = try_read(address & MASK, 8)
    return int.from_bytes(data, "little") if data else None


class UnicodeString:
    """"\\Device\\Secret" (14 of 16 characters)"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        length, room = int(self.value["Length"]) // 2, int(self.value["MaximumLength"]) // 2
        try:
            return f'"{unicode_text(self.value)}" ({length} of {room} characters)'
        except (KdError, gdb.MemoryError):
            return f"{length} of {room} characters at {grave(int(self.value['Buffer']) & MASK)}, which cannot be read"


class ListEntry:
    """[3 entries, first at ...], or what is wrong with it."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        head, first = int(self.value.address or 0) & MASK, int(self.value["Flink"]) & MASK
        back = int(self.value["Blink"]) & MASK
        if first == 0 and back == 0:
            return "[not in use: both links are 0]"
        if first == head and back == head:
            return "[empty]"
        return f"[{self.length(head)}] Flink {grave(first)} Blink {grave(back)}"

    def length(self, head):
        """"3 entries", or why they cannot be counted."""
        seen, here = set(), head
        while len(seen) <= LONGEST_LIST:
            following = word(here)
            if following is None:
                return f"broken after {len(seen)} entries: {grave(here)} cannot be read"
            back = word(following + 8)
            if back != here:
                return (f"broken after {len(seen)} entries: the Blink of {grave(following)} is "
                        f"{grave(back) if back is not None else 'not to be read'}")
            if following == head:
                return f"{len(seen)} entr{'y' if len(seen) == 1 else 'ies'}"
            if following in seen:
                return f"loops after {len(seen)} entries"
            seen.add(following)
            here = following
        return f"more than {LONGEST_LIST} entries"


class SpinLock:
    """free, or held with its owner: the checked build notes down who holds what."""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        held = int(self.value) & MASK
        address = int(self.value.address or 0) & MASK
        if held == 0:
            return "free"
        try:
            owner = owner_of(address)
        except (KdError, gdb.error):
            owner = None
        return f"{held:#x} held{f' by {owner}' if owner else ''}"


def owner_of(lock):
    """"CPU 1, taken by secret!SecretStore+0x3d", or None."""
    for processor in processors():
        block = processor.block
        limit = block["HeldLock"].type.range()[1] + 1
        for index in range(min(int(block["HeldLockCount"]), limit)):
            held = block["HeldLock"][index]
            if int(held["Lock"]) & MASK == lock:
                return f"CPU {processor.number}, taken by {symbol(int(held['Caller']) & MASK)}"
    return None


class Event:
    """synchronization event, signalled, 1 waiter"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        header = self.value["Header"]
        kind = int(header["Type"])
        state = "signalled" if int(header["SignalState"]) else "not signalled"
        waiters = ListEntry(header["WaitListHead"]).to_string()
        if kind not in EVENT_KINDS:
            return f"no event: its type is {kind:#x}"
        return f"{EVENT_KINDS[kind]} event, {state}, waiters {waiters}"


class Thread:
    """thread 'phase 1', Running on CPU 1, priority 8"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        name = bytes(int(self.value["Name"][index]) & 0xFF for index in range(24)).split(b"\0")[0].decode("latin-1")
        state = int(self.value["State"])
        where = f" on CPU {int(self.value['Processor'])}" if state in (1, 2, 3) else ""
        return f"thread '{name}', {state_name(state)}{where}, priority {int(self.value['Priority'])}"

    def children(self):
        return ((field.name, self.value[field.name]) for field in self.value.type.strip_typedefs().fields() if field.name)


class PageEntry:
    """0x8000000001a2b063: pfn 1a2b -G-DA--KW-V"""

    def __init__(self, value):
        self.value = value

    def to_string(self):
        return pte_text(int(self.value) & MASK)


def pte_text(entry):
    """An entry with its letters, or with its meaning where it is not valid."""
    if entry & 1:
        letters = "".join(letter if entry >> bit & 1 else "-" for bit, letter in (
            (9, "C"), (8, "G"), (7, "L"), (6, "D"), (5, "A"), (4, "N"), (3, "T")))
        letters += "U" if entry & 4 else "K"
        letters += ("W" if entry & 2 else "R") + ("-" if entry >> 63 else "E") + "V"
        return f"{entry:#x}: pfn {entry >> 12 & 0xFFFFFFFFFF:x} {letters}"
    return f"{entry:#x}: {'not mapped' if entry == 0 else describe_invalid(entry)}"


class PageFrame:
    """Standby, PTE at ..."""
    LOCATIONS = {0: "Zeroed", 1: "Free", 2: "Standby", 3: "Modified", 4: "ModifiedNoWrite", 5: "Bad", 6: "Active",
                 7: "Transition"}
    FLAGS = (("IsPageable", "pageable"), ("IsModified", "modified"), ("HasRead", "being read"), ("HasWrite", "being written"),
             ("IsDeleted", "deleted"))

    def __init__(self, value):
        self.value = value

    def to_string(self):
        location = int(self.value["Location"])
        words = [self.LOCATIONS.get(location, f"location {location}?")]
        words += [text for field, text in self.FLAGS if int(self.value[field])]
        pte = int(self.value["PteAddress"]) & MASK
        return ", ".join(words) + (f", PTE at {grave(pte)}" if pte else "")


class ByName(gdb.printing.PrettyPrinter):
    """Chooses by the name of the type: for numbers (KSPIN_LOCK, MMPTE) by the name of the typedef."""
    PRINTERS = {"UNICODE_STRING": UnicodeString, "LIST_ENTRY": ListEntry, "KSPIN_LOCK": SpinLock, "KEVENT": Event,
                "KTHREAD": Thread, "MMPTE": PageEntry, "MMPFN": PageFrame}

    def __init__(self):
        super().__init__("kd")

    def __call__(self, value):
        name = (value.type.unqualified().name or "").removeprefix("_")
        made = self.PRINTERS.get(name)
        return made(value) if made else None


def install():
    """Registers the printers for everything that GDB prints."""
    gdb.printing.register_pretty_printer(None, ByName(), replace=True)
