""".exr and .cxr: an exception without a handler, and the registers at its moment.

!analyze -v prints both.
"""

from kd.commands.stackcommands import print_instruction, print_registers
from kd.model.bugcodes import status
from kd.model.exceptions import record_at, touch_of
from kd.target.command import KdError, command
from kd.target.expression import evaluate
from kd.target.memory import MASK, is_readable, size_of, structure, unreadable
from kd.target.symbols import symbol

VERBS = {0: "read from", 1: "write to", 8: "execute at"}

REGISTERS = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
             "r15", "rip")


def print_record(address):
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
