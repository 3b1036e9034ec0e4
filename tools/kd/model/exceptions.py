"""Exception records: what happened where, and for an access violation what was touched how."""

from collections import namedtuple

from kd.target.command import KdError
from kd.target.memory import MASK, grave, is_readable, size_of, structure, unreadable

ACCESS_VIOLATION, IN_PAGE_ERROR = 0xC0000005, 0xC0000006
ACCESS = {0: "read", 1: "write", 8: "execute"}
MOST_PARAMETERS = 15

Touch = namedtuple("Touch", "address access")       # access: "read", "write", "execute"


def record_at(address):
    """The EXCEPTION_RECORD at an address; KdError where none can be read."""
    if not is_readable(address, size_of("EXCEPTION_RECORD")):
        raise unreadable(address)
    found = structure("EXCEPTION_RECORD", address)
    if int(found["NumberParameters"]) > MOST_PARAMETERS:
        raise KdError(f"no exception record at {grave(address)}: it would have {int(found['NumberParameters'])} parameters")
    return found


def touch_of(record):
    """The Touch of an access violation, or None for other exceptions."""
    if int(record["ExceptionCode"]) & 0xFFFFFFFF not in (ACCESS_VIOLATION,
                                                         IN_PAGE_ERROR) or int(record["NumberParameters"]) < 2:
        return None
    information = record["ExceptionInformation"]
    return Touch(int(information[1]) & MASK, ACCESS.get(int(information[0]), "read"))
