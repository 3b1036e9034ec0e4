"""A thread switch: two stacks, one CPU, and the one instruction that exchanges RSP."""

from steps.cpus import (MASKED, Cpu, WalkError, address_of, find_instruction, function_at, instructions_of, stepping,
                        u64, value)
from steps.guide import say, steps_of
from steps.source import listing

TITLE = "How one thread stops and another goes on"
INTRODUCTION = ("Two threads share one CPU. The first has just set the event that the second waits for, and now "
                "waits itself, so the scheduler has called KiSwapContext(first, second). The second called the same "
                "function some time ago, and has not come back yet.")
LESSON = ("A thread that does not run is its stack, and nothing else: seven words on it, and a pointer to them in "
          "the KTHREAD. The switch is one `mov rsp`. What calls KiSwapContext is one thread, what returns from it is "
          "the other, by the same `ret`.")
STEPS, step = steps_of()
CPU = Cpu(0)
SAVED_BYTES = 6 * 8                             # rbp rbx r12 r13 r14 r15
FIRST, SECOND = 0, 1
NAMES = ("first thread", "second thread")


class Thread:
    """One of the two KTHREADs."""

    def __init__(self, index):
        self.address = u64(address_of("StepThread") + 8 * index)

    def field(self, name):
        return value(f"((KTHREAD *){self.address:#x})->{name}")

    def has(self, stack):
        return self.field("StackLimit") <= stack <= self.field("StackBase")


threads = []


def begin():
    CPU.run_to(address_of("StepPing"), alone=False)
    threads[:] = [Thread(FIRST), Thread(SECOND)]
    place = address_of("KiSwapContext")
    for _ in range(20):                         # the clock may have others run first
        CPU.run_to(place)
        if (CPU.register("rdi"), CPU.register("rsi")) == tuple(thread.address for thread in threads):
            stepping(MASKED)
            return
    raise WalkError("the two threads did not change places")


def panel():
    rsp = CPU.register("rsp")
    rows = [("CPU 0", {"RSP": f"{rsp:016X}", "on the stack of the": stack_owner(rsp), "IRQL": CPU.irql,
            "in": CPU.function}),
            ("gs:[188h]", {"current thread": named(current_thread())})]
    for name, thread in zip(NAMES, threads):
        rows.append((name, {"stack": f"{thread.field('StackLimit'):X}..{thread.field('StackBase'):X}",
                            "KernelStack": f"{thread.field('KernelStack'):016X}"}))
    lines = listing("KiSwapContext", [CPU]) if CPU.function == "KiSwapContext" else []
    return lines, rows


def stack_owner(rsp):
    return next((name for name, thread in zip(NAMES, threads) if thread.has(rsp)), "none")


def named(address):
    return next((name for name, thread in zip(NAMES, threads) if thread.address == address), "another")


def current_thread():
    return value(f"((KPRCB *){u64(address_of('KiProcessorBlock')):#x})->CurrentThread")


def callers(rip, rbp, limit=12):
    """The functions that will be returned to: the one at rip, then those that the chain of frames names."""
    names = [function_at(rip)]
    while rbp and len(names) < limit:
        names.append(function_at(u64(rbp + 8)))
        rbp = u64(rbp)
    return [name for name in names if not name.startswith("0x")]


def instruction(pattern):
    return find_instruction("KiSwapContext", pattern)


@step("KiSwapContext pushes registers, until it comes to the line that keeps RSP.",
      act="The first thread leaves",
      ask="how many registers, and which? (Which may a C function count on to find unchanged after a call?)",
      told="Six: rbp, rbx and r12 to r15. Everything else of the first thread is on its stack already.")
def pushes():
    before = CPU.register("rsp")
    CPU.step_to(instruction(r"^mov QWORD PTR \[rdi"))
    return [("how far RSP went down", before - CPU.register("rsp"), SAVED_BYTES),
            ("whose stack it is", stack_owner(CPU.register("rsp")), NAMES[FIRST])]


@step("The first thread's RSP goes into its KTHREAD.",
      ask="which field is it, and what else of the thread must be kept?",
      told="KernelStack: the only trace of the thread that is not on its stack. Nothing else is needed.")
def saves():
    before = threads[FIRST].field("KernelStack")
    CPU.step()
    return [("KernelStack of the first thread", threads[FIRST].field("KernelStack"), CPU.register("rsp")),
            ("whether it has changed", before != CPU.register("rsp"), True)]


@step("And this is the switch: RSP := KernelStack of the second thread.",
      act="The second thread comes",
      ask="on whose stack is the CPU after that, and which thread does the kernel believe to be running?",
      told="One instruction ago the CPU stood on one stack, now on the other. The kernel still believes that the "
           "first thread runs.")
def exchanges():
    CPU.step()
    rsp = CPU.register("rsp")
    return [("RSP", rsp, threads[SECOND].field("KernelStack")), ("whose stack it is", stack_owner(rsp), NAMES[SECOND]),
            ("the current thread, as the kernel sees it", named(current_thread()), NAMES[FIRST])]


@step("The kernel learns of it: gs:[188h], the current thread of this CPU.",
      ask="why was no code misled between the two instructions?",
      told="Between them the kernel would have got a wrong answer; at DISPATCH_LEVEL, with the dispatcher lock "
           "held, nothing asks.")
def tells():
    CPU.step()
    return [("the current thread, as the kernel sees it", named(current_thread()), NAMES[SECOND]),
            ("IRQL", CPU.irql, 2)]


@step("The six registers come back.",
      ask="from which stack, and who has put them there?",
      told="From the second thread's, where it pushed them itself when it began to wait.")
def pops():
    CPU.step_to(instruction("^ret"))
    return [("how far RSP is above KernelStack", CPU.register("rsp") - threads[SECOND].field("KernelStack"),
            SAVED_BYTES)]


@step("`ret`.",
      ask="the call came from StepPing's wait: where does the return go?",
      told="To StepPong's: into the same function of the scheduler, but for another thread, on another stack.")
def returns():
    old = threads[FIRST].field("KernelStack")
    waiting = callers(u64(old + SAVED_BYTES), u64(old + SAVED_BYTES - 8))
    CPU.step()
    running = callers(CPU.pc, CPU.register("rbp"))
    print()
    say(" < ".join(waiting), "    the first thread would return through   ")
    say(" < ".join(running), "    the second thread returns through       ")
    return [("whether StepPing is in the first thread's stack", "StepPing" in waiting, True),
            ("whether StepPong is in the second thread's stack", "StepPong" in running, True),
            ("both threads called KiSwapContext from", running[0], waiting[0])]


@step("The second thread goes on, out of the function that it has been waiting in.",
      ask="which function is that, at which IRQL does it return, and who releases the lock that the first "
          "thread took?",
      told="KeWaitForSingleObject in StepPong, at IRQL 0: its wait is over. The second thread has released the "
           "dispatcher lock that the first one took.")
def goes_on():
    code = instructions_of("StepPong")
    call = next(address for address, text in code if "KeWaitForSingleObject" in text)
    CPU.run_to(next(address for address, _ in code if address > call))
    return [("the function", CPU.function, "StepPong"), ("IRQL", CPU.irql, 0),
            ("what the wait returned", CPU.register("eax"), 0),
            ("whose stack it is", stack_owner(CPU.register("rsp")), NAMES[SECOND])]
