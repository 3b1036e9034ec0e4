"""The meaning of a bugcheck: the kernel's own table, and four parameters in words.

The table is bugcodes.def as the kernel has it in its read-only data; the screen and the documents are made of the same.
"""

from collections import namedtuple

import gdb

from kd.model.exceptions import Touch, record_at, touch_of
from kd.model.pages import explain, page_entry
from kd.model.poolblocks import find_block, tag_text
from kd.model.records import static
from kd.model.regions import region_of
from kd.model.statuses import status_name
from kd.model.threads import is_thread, name_of, state_name
from kd.model.waits import object_detail, object_kind
from kd.target.command import KdError
from kd.target.memory import MASK, is_readable, size_of, structure, text_at, type_named, value_of
from kd.target.processors import irql_name, processors
from kd.target.symbols import nearest, symbol

Row = namedtuple("Row", "code name kinds meanings why fix")
VALID = 1                                       # of a page-table entry
ACCESS = {0: "read", 1: "write", 8: "execute"}
# Codes of memory that was touched.
ACCESS_CODES = {0x0A, 0xD1, 0x50, 0xBE, 0xFC, 0xD5, 0xD6, 0xCC, 0xCD, 0xCE, 0xD3, 0xD4}
ALWAYS = {0xBE: "write", 0xFC: "execute"}       # codes that are of one kind of access
UNKNOWN = Row(0, "(no name)", ("ADDRESS",) * 4, ("",) * 4, "The code is not one of the kernel's: a driver chose it.",
              "See the driver's own documentation for this code.")


class Bug:
    """A bugcheck: code, parameters, and what the table says of them."""

    def __init__(self, code, parameters):
        self.code, self.parameters = code, parameters
        self.row = row_of(code)
        self.subcode = next((row for row in table("Subcodes") if int(row["Code"]) == code
                             and int(row["Value"]) == parameters[0]), None)

    def kind(self, index):
        """The kind of a parameter, 0 to 3, and what it is: ("LEVEL", "IRQL at the time of the reference")."""
        if self.subcode is not None and index > 0:
            return kind_name(self.subcode["Kind"][index - 1]), self.subcode["Meaning"][index - 1].string()
        return "PLAIN" if self.subcode is not None else self.row.kinds[index], self.row.meanings[index]

    def value_name(self, index):
        """The name of a value of a parameter, where the table has one: "corrupt LIST_ENTRY"."""
        if index == 0 and self.subcode is not None:
            return self.subcode["Name"].string()
        found = (row for row in table("Values") if int(row["Code"]) == self.code and int(row["Number"]) == index + 1
                 and int(row["Value"]) == self.parameters[index])
        return next((row["Name"].string() for row in found), None)

    def decoded(self, index):
        """A parameter in words; empty where there is nothing to say."""
        named = self.value_name(index)
        if named:
            return named
        kind, _ = self.kind(index)
        return DECODERS.get(kind, lambda value: "")(self.parameters[index])

    def values(self, *kinds):
        """The parameters that are of these kinds."""
        return [self.parameters[index] for index in range(4) if self.kind(index)[0] in kinds]

    def access(self):
        """"read", "write", "execute", or None where no parameter tells."""
        for value in self.values("ACCESS"):
            return ACCESS.get(value)
        for value in self.values("RAWACCESS"):
            return "execute" if value & 0x10 else "write" if value & 2 else "read"
        for index in range(4):
            if self.value_name(index) in ACCESS.values():
                return self.value_name(index)
        return ALWAYS.get(self.code)

    def touch(self):
        """The memory that the fatal instruction touched, and how: a Touch, or None where the bugcheck is of no
        access."""
        touched = self.values("ADDRESS")
        if self.code in ACCESS_CODES and touched and self.access():
            return Touch(touched[0], self.access())
        try:
            return next((touch_of(record_at(value)) for value in self.values("RECORD")), None)
        except KdError:
            return None


def table(name):
    """The rows of one of the kernel's tables."""
    array = static("bugtable.c", name)
    return [array[index] for index in range(array.type.range()[1] + 1)]


def kind_name(value):
    """"LEVEL" for KindLEVEL."""
    number = int(value)
    fields = type_named("BUG_KIND").fields()
    return next((field.name.removeprefix("Kind") for field in fields if field.enumval == number), "PLAIN")


def row_of(code):
    """The table's row of a code."""
    for row in table("Codes"):
        if int(row["Code"]) == code:
            return Row(code, row["Name"].string(), tuple(kind_name(row["Kind"][i]) for i in range(4)),
                       tuple(row["Meaning"][i].string() for i in range(4)), row["Why"].string(), row["Fix"].string())
    return UNKNOWN._replace(code=code)


def current():
    """The bugcheck that this machine died of."""
    data = value_of("KiBugCheckData")
    code = int(data[0])
    if code == 0 or not int(value_of("KiBug")["Code"]):
        raise KdError("the machine has not crashed: there is no bugcheck to analyze")
    return Bug(code & 0xFFFFFFFF, [int(data[index]) & MASK for index in range(1, 5)])


# ---- Parameters in words ----

def level(value):
    return "interrupts were off (IF = 0)" if value == 0xFF else irql_name(value) if value < 16 else "no IRQL"


def address(value):
    """The region of an address, its pool tag, and why it cannot be read where it cannot."""
    if value == 0:
        return ""
    if value < 0x10000:
        return f"a NULL pointer + {value:#x}"
    place = region_of(value)
    words = [place.name] if place else ["no region of the kernel's"]
    tag = tag_of(value)
    words += [f"tag '{tag}'"] if tag else []
    entry = page_entry(value)[1]
    words += [] if entry is not None and entry & VALID else [explain(value)]
    return ", ".join(words)


def tag_of(value):
    """The tag of the pool block that holds an address, or None."""
    try:
        block = find_block(value)
        return tag_text(block.tag) if block and block.tag else None
    except (KdError, gdb.error):
        return None


def code_place(value):
    found = nearest(value)
    if found is None:
        return "where no module is"
    return symbol(value) + (f" ({found[3]}:{found[4]})" if found[3] else "")


def thread(value):
    if not is_thread(value):
        return "no thread: " + address(value)
    return f"'{name_of(value)}', {state_name(int(structure('KTHREAD', value)['State'])).lower()}"


def lock(value):
    return symbol(value) if nearest(value) else address(value)


def status(value):
    """A status in the kernel's own words, else by its name in ntstatus.h, else the number."""
    value &= 0xFFFFFFFF
    for row in status_rows():
        if int(row["Status"]) & 0xFFFFFFFF == value:
            return row["Name"].string()
    try:
        return status_name(value)
    except OSError:                             # the tree's headers are not here
        return f"status {value:#010x}"


def status_rows():
    """The kernel's table of the statuses that it has words for."""
    try:
        found = gdb.parse_and_eval("DecodeStatus::Names")
        return [found[index] for index in range(found.type.range()[1] + 1)]
    except gdb.error:
        return []


def record(value):
    """An EXCEPTION_RECORD."""
    if not is_readable(value, size_of("EXCEPTION_RECORD")):
        return address(value)
    found = structure("EXCEPTION_RECORD", value)
    text = f"{status(int(found['ExceptionCode']))}, at {code_place(int(found['ExceptionAddress']))}"
    touch = touch_of(found)
    return text if touch is None else f"{text}, {touch.access} of {reached(touch.address)}"


def reached(value):
    """An address that an instruction went for, in words; 0 is an address too."""
    return address(value) or "a NULL pointer"


def context(value):
    """A CONTEXT."""
    if not is_readable(value, size_of("CONTEXT")):
        return address(value)
    return f"registers at {code_place(int(structure('CONTEXT', value)['Rip']))} (.cxr {value:#x})"


def trap_frame(value):
    if not is_readable(value, size_of("KTRAP_FRAME")):
        return address(value)
    found = structure("KTRAP_FRAME", value)
    return f"trap {int(found['Vector']):#x} at {code_place(int(found['Rip']))}"


def tag(value):
    return f"'{tag_text(value & 0xFFFFFFFF)}'"


def prcb(value):
    return next((f"CPU {found.number}" for found in processors() if found.prcb == value), "")


def thing(value):
    """A dispatcher object."""
    kind = object_kind(value)
    return " ".join(filter(None, (kind, object_detail(value, kind)))) if kind else address(value)


def number(value):
    return str(value - (value >> 63 << 64))


def access(value):
    return ACCESS.get(value, "?")


def raw_access(value):
    what = "execute" if value & 0x10 else "write" if value & 2 else "read"
    return what + (", forbidden by a page that is present" if value & 1 else "")


def text(value):
    return text_at(value, 80) if is_readable(value) else ""


DECODERS = {"NUMBER": number, "ADDRESS": address, "LEVEL": level, "ACCESS": access, "RAWACCESS": raw_access,
            "CODE": code_place, "STATUS": status, "THREAD": thread, "OBJECT": thing, "LOCK": lock, "PRCB": prcb,
            "TAG": tag,
            "FRAME": trap_frame, "RECORD": record, "CONTEXT": context, "TEXT": text}
