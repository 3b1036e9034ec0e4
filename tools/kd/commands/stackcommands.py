"""k kb kn .frame .trap .thread r: stacks of a CPU, a waiting thread, or a trap frame."""

import re

import gdb

from kd.model.threads import (is_thread, is_trap_frame, name_of, processor_stack, running_on, source_of, stack_in_scope,
                        stack_of)
from kd.model.unwinder import saved_registers
from kd.target import scope
from kd.target.command import KdError, command
from kd.target.disassembly import effective, show_at
from kd.target.expression import evaluate
from kd.target.memory import grave, structure, try_read
from kd.target.processors import current_number, processor, processors
from kd.target.registers import NAMES, context_registers, flags_text, trap_registers, value_of_register
from kd.target.symbols import symbol

ROWS = (("rax", "rbx", "rcx"), ("rdx", "rsi", "rdi"), ("rip", "rsp", "rbp"), ("r8", "r9", "r10"), ("r11", "r12", "r13"),
        ("r14", "r15"))


def return_address(frames, index):
    """A frame's return address: 0 for the outermost."""
    return frames[index + 1].rip if index + 1 < len(frames) else 0


def home_words(frames, index):
    """The four words above a frame's return address, as text."""
    above = frames[index + 1].rsp if index + 1 < len(frames) else frames[index].rbp + 16
    words = []
    for number in range(4):
        data = try_read(above + 8 * number, 8)
        words.append(grave(int.from_bytes(data, "little")) if data else "????????`????????")
    return " ".join(words)


def where(frame):
    """" [secret.c @ 23]", or nothing."""
    file, line = source_of(frame)
    return f" [{file} @ {line}]" if file else ""


def print_stack(frames, with_words=False, with_numbers=True, with_lines=True, count=None):
    """Prints a stack, or its first count frames, in the columns of the field."""
    number = " # " if with_numbers else ""
    if with_words:
        print(f"{number}{'RetAddr':17} : {'Args to Child':71} : Call Site")
    else:
        print(f"{number}{'Child-SP':17} {'RetAddr':17} Call Site")
    for index, frame in enumerate(frames[:count]):
        number = f"{index:02x} " if with_numbers else ""
        back, line = grave(return_address(frames, index)), where(frame) if with_lines else ""
        if with_words:
            print(f"{number}{back} : {home_words(frames, index)} : {frame.symbol}{line}")
        else:
            print(f"{number}{grave(frame.rsp)} {back} {frame.symbol}{line}")


def count_of(arguments):
    """How many frames are wanted; None: all."""
    return evaluate(arguments[0]) if arguments else None


@command("k", "[COUNT]", "the stack, with source lines")
def stack(arguments):
    """Of the selected CPU, or of what .thread or .trap chose. On a machine that has died: of the moment of the crash.

    Child-SP is the stack pointer while the frame's call runs; RetAddr what the frame returns to; a call site is named by
    the call, an interrupted instruction by itself. kn adds numbers (for .frame), kb four words of each stack frame."""
    print_stack(stack_in_scope(), with_numbers=False, count=count_of(arguments))


@command("kn", "[COUNT]", "the stack with frame numbers")
def stack_with_numbers(arguments):
    """As k; the numbers are those of .frame."""
    print_stack(stack_in_scope(), count=count_of(arguments))


@command("kb", "[COUNT]", "the stack with four words of each frame")
def stack_with_words(arguments):
    """The four words above each return address: what Windows has as home space of the arguments. This kernel passes
    arguments in registers (rdi rsi rdx rcx r8 r9), so here they are the caller's locals."""
    print_stack(stack_in_scope(), with_words=True, count=count_of(arguments))


@command("kv", "[COUNT]", "the stack with four words of each frame, and the trap frames in it")
def stack_with_traps(arguments):
    """As kb; a line below an interrupted instruction names its KTRAP_FRAME, for .trap."""
    frames, count = stack_in_scope(), count_of(arguments)
    print_stack(frames, with_words=True, count=count)
    for index, frame in enumerate(frames[:count]):
        if frame.trap_frame:
            print(f"frame {index:02x} was interrupted: TrapFrame @ {grave(frame.trap_frame)}")


@command("kL", "[COUNT]", "the stack without source lines")
def stack_without_lines(arguments):
    """As k."""
    print_stack(stack_in_scope(), with_lines=False, count=count_of(arguments))


def print_registers(registers):
    """The block of registers that .trap, r and .frame /r begin with."""
    for row in ROWS:
        print(" ".join(f"{name:>3}={registers[name]:016x}" if registers.get(name) is not None else f"{name:>3}={'?' * 16}"
                       for name in row))
    if registers.get("eflags") is not None:
        print(flags_text(registers["eflags"]))


def print_instruction(rip, registers):
    """The line of the instruction at rip, with what it reaches in memory."""
    print(f"{symbol(rip)}:")
    show_at(rip, effective(rip, registers))


@command(".trap", "[ADDRESS|0]", "a trap frame: its registers and instruction; the stack starts there")
def trap(arguments):
    """Shows a KTRAP_FRAME and makes it the context of k, r and .frame. Without an address: the trap frame of the crash, or
    of the interrupt that froze the selected CPU. With 0: back to the selected CPU."""
    address = evaluate(" ".join(arguments)) if arguments else default_trap()
    if address == 0:
        scope.reset()
        print("Resetting default scope")
        return
    if not is_trap_frame(address):
        structure("KTRAP_FRAME", address)["Rip"].fetch_lazy()
        raise KdError(f"no trap frame at {grave(address)}: its links do not repeat its rip and rbp")
    registers = trap_registers(address)
    scope.choose("trap", address, registers)
    print_registers(registers)
    print_instruction(registers["rip"], registers)


def default_trap():
    """The trap frame in which the selected CPU stopped."""
    number = current_number()
    address = processor(number).context.trap_frame
    if not address:
        raise KdError(f"CPU {number} was in no trap; .trap ADDRESS shows another one (kv names those of a stack)")
    return address


@command(".thread", "[ADDRESS]", "makes a thread the one that k, r and .frame speak of")
def thread(arguments):
    """A thread that runs selects its CPU; one that waits or is ready is shown as it left the CPU. Without an address:
    back to the selected CPU's thread."""
    if not arguments:
        scope.reset()
        print(f"Implicit thread is now {grave(processor(current_number()).thread)}")
        return
    address = evaluate(" ".join(arguments))
    if not is_thread(address):
        raise KdError(f"no thread at {grave(address)}; !stacks lists the threads")
    on = running_on(address)
    if on is not None:
        scope.reset()
        select_processor(on.number)
    else:
        scope.choose("thread", address, saved_registers(address))
    print(f"Implicit thread is now {grave(address)}")


def select_processor(number):
    """Makes a CPU the selected one."""
    found = processor(number)
    if found.gdb_thread is None:
        raise KdError(f"the dump has no registers of CPU {number}")
    scope.reset()
    found.gdb_thread.switch()


def show_stacks(chosen):
    """The stack of each CPU, as k prints it."""
    if not chosen:
        raise KdError("there is no such CPU; ~ lists them")
    for found in chosen:
        print(f"\nCPU {found.number}  Thread {grave(found.thread)} {name_of(found.thread)!r}")
        print_stack(processor_stack(found.number), with_numbers=False)


@command("~", "[Ns | *k]", "the CPUs; `~1s` selects CPU 1, `~*k` shows the stack of each")
def choose_processor(arguments):
    """Without an argument: each CPU with its thread, and where it was. ~Ns: the prompt, k and r are then CPU N's."""
    word = "".join(arguments)
    if word.endswith("s") and word[:-1].isdigit():
        select_processor(int(word[:-1]))
        return
    if re.fullmatch(r"(\*|\d+)k[bnvL]?", word):
        show_stacks([found for found in processors() if word[0] == "*" or found.number == int(re.match(r"\d+", word)[0])])
        return
    if word:
        raise KdError(f"'~{word}': ~ lists the CPUs, ~1s selects CPU 1, ~*k shows the stack of each")
    for found in processors():
        mark = "." if found.number == current_number() else " "
        print(f"{mark} {found.number:2}  Prcb {grave(found.prcb)}  Thread {grave(found.thread)} {name_of(found.thread)!r}  "
              f"{symbol(found.context.rip)}")


@command("r", "[REGISTER]", "the registers, or one of them")
def registers(arguments):
    """Of the selected CPU (on a machine that has died: at the moment of the crash), or of what .thread or .trap chose.
    `r rax` prints one; names with @ are taken too. Of a thread that waits only what it has saved is known."""
    known = context_registers()
    if not arguments:
        print_registers(known)
        print_instruction(known["rip"], known)
        return
    for word in arguments:
        for name in filter(None, word.split(",")):
            name = name.lstrip("@$").lower()
            value = value_of_register(name)
            print(f"{name}={value:016x}" if name not in ("efl", "eflags") else f"efl={value:08x}")


@command(".frame", "[/r] [N]", "selects a frame of the stack, or shows the selected one")
def frame(arguments):
    """N is a number of kn, in hexadecimal. GDB's own commands (info locals, print) then speak of that frame. /r adds its
    registers: those that the calls below it have saved are the frame's own."""
    words = [word for word in arguments if word != "/r"]
    frames = stack_in_scope()
    number = evaluate(words[0]) if words else scope.frame_number
    if number >= len(frames):
        raise KdError(f"there is no frame {number:x}; the stack has {len(frames):x}")
    chosen = frames[number]
    found = select_gdb_frame(chosen)
    scope.frame_number = number
    print(f"{number:02x} {grave(chosen.rsp)} {grave(return_address(frames, number))} {chosen.symbol}{where(chosen)}")
    if "/r" in arguments:
        print_registers(frame_registers(found, chosen))


def select_gdb_frame(wanted):
    """Selects GDB's frame of one of ours; None where GDB does not find it."""
    candidate = gdb.newest_frame()
    while candidate is not None:
        if candidate.pc() == wanted.rip and int(candidate.read_register("rsp")) & (1 << 64) - 1 == wanted.rsp:
            candidate.select()
            return candidate
        candidate = candidate.older()
    return None


def frame_registers(found, frame_):
    """{register: number} of a frame; None for what is not known there."""
    if found is None:
        return {"rip": frame_.rip, "rsp": frame_.rsp, "rbp": frame_.rbp}
    registers_ = {}
    for name in NAMES + ("eflags",):
        value = found.read_register(name)
        registers_[name] = None if value.is_optimized_out else int(value) & (1 << 64) - 1
    return registers_


def stack_text(address):
    """The stack of a thread as k prints it; for commands that show threads."""
    print_stack(stack_of(address), with_numbers=False)
