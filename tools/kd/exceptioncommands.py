""".exr and .cxr: an exception that nobody handled, and the registers at its moment; !analyze -v prints both."""

from collections import namedtuple

from kd.command import KdError, command
from kd.expression import evaluate
from kd.memory import MASK, grave, is_readable, size_of, structure, unreadable
from kd.symbols import symbol

ACCESS_VIOLATION, IN_PAGE_ERROR = 0xC0000005, 0xC0000006
VERBS = {0: "read from", 1: "write to", 8: "execute at"}
ACCESS = {0: "read", 1: "write", 8: "execute"}
MOST_PARAMETERS = 15

Touch = namedtuple("Touch", "address access")       # access: "read", "write", "execute"
REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
             "r15", "rip")


def record_at(address):
    """The EXCEPTION_RECORD at an address; KdError where none can be read."""
    if not is_readable(address, size_of("EXCEPTION_RECORD")):
        raise unreadable(address)
    found = structure("EXCEPTION_RECORD", address)
    if int(found["NumberParameters"]) > MOST_PARAMETERS:
        raise KdError(f"no exception record at {grave(address)}: it would have {int(found['NumberParameters'])} parameters")
    return found


def touch_of(record):
    """What an access violation touched: a Touch, or None for other exceptions."""
    if int(record["ExceptionCode"]) & 0xFFFFFFFF not in (ACCESS_VIOLATION,
                                                         IN_PAGE_ERROR) or int(record["NumberParameters"]) < 2:
        return None
    information = record["ExceptionInformation"]
    return Touch(int(information[1]) & MASK, ACCESS.get(int(information[0]), "read"))


def print_record(address):
    from kd.bugcodes import status
    found = record_at(address)
    print(f"ExceptionAddress: {int(found['ExceptionAddress']):016x} ({symbol(int(found['ExceptionAddress']))})")
    print(f"   ExceptionCode: {int(found['ExceptionCode']) & 0xFFFFFFFF:08x} ({status(int(found['ExceptionCode']))})")
    print(f"  ExceptionFlags: {int(found['ExceptionFlags']):08x}")
    count = int(found["NumberParameters"])
    print(f"NumberParameters: {count}")
    for index in range(count):
        print(f"   Parameter[{index}]: {int(found['ExceptionInformation'][index]) & MASK:016x}")
    touch = touch_of(found)
    if touch is not None:
        verb = VERBS.get(int(found["ExceptionInformation"][0]), "touch")
        print(f"Attempt to {verb} address {touch.address:016x}")


def print_context(address):
    from kd.stackcommands import print_instruction, print_registers
    if not is_readable(address, size_of("CONTEXT")):
        raise unreadable(address)
    found = structure("CONTEXT", address)
    registers = {name: int(found[name.capitalize()]) for name in REGISTERS}
    registers["eflags"] = int(found["EFlags"])
    print_registers(registers)
    print_instruction(registers["rip"], registers)


@command(".exr", "ADDRESS", "an exception record: what happened where")
def exr(arguments):
    """An EXCEPTION_RECORD: the address of the instruction, the code, and for an access violation what was touched how.
    Bugcheck 7E has its address as the third parameter: `.exr poi(nt!KiBugCheckData+18)`."""
    if not arguments:
        raise KdError("usage: .exr ADDRESS")
    print_record(evaluate(" ".join(arguments)))


@command(".cxr", "ADDRESS", "a context record: the registers at the moment of an exception, and the instruction")
def cxr(arguments):
    """A CONTEXT: the registers and the instruction with the memory that it reaches. Bugcheck 7E has its address as the
    fourth parameter: `.cxr poi(nt!KiBugCheckData+20)`. k goes on speaking of the crash."""
    if not arguments:
        raise KdError("usage: .cxr ADDRESS")
    print_context(evaluate(" ".join(arguments)))
