"""Two CPUs and one lock: a lock that works, and one that tests and sets, and lets both in.

The lock that works may take its word by any locked read-modify-write: the walk looks for the instruction by its kind.
"""

import re

from steps.cpus import (MASKED, Cpu, WalkError, address_of, find_instruction, instructions_of, read, selected, stepping,
                        u8)
from steps.guide import steps_of
from steps.source import listing

TITLE = "The spin lock, one instruction at a time, on two CPUs"
INTRODUCTION = ("Two threads, one on each CPU, are about to take the same lock and to add 1 to the same sum. The "
                "machine stands still; each step moves one CPU, and only that one. The arrows show what a CPU is "
                "about to execute.")
LESSON = ("The two locks differ in one thing: xchg reads the old value and writes the new one in one step that no "
          "other CPU can come between; `test, then set` are two instructions, and CPU 1 came between. No test finds "
          "that on most days: it takes the same few nanoseconds on both CPUs. KeAcquireSpinLock "
          "(arch/x86_64/spinlock.asm) is the first lock, with CR8 := 2 before it and a `pause` in its loop.")
STEPS, step = steps_of()
FIRST, SECOND = Cpu(0), Cpu(1)
CPUS = (FIRST, SECOND)


ATOMIC = "a locked read-modify-write"
# The trace of a locked instruction that has won the lock: a register or a flag of the CPU, and its value.
WON = {"xchg": ("al", 0), "lock cmpxchg": ("eflags", 1 << 6), "lock bts": ("eflags", 0)}
FLAG = {"lock cmpxchg": 1 << 6, "lock bts": 1}


class Lock:
    """The names and places of one of the two locks."""

    def __init__(self, kind, taker):
        self.acquire, self.release, self.take = f"KiAcquire{kind}Lock", f"KiRelease{kind}Lock", taker
        self.name = f"{kind.lower()} lock"
        self.word, self.sum = f"Step{kind}Lock", f"Step{kind}Sum"
        self.exchange, self.kind = 0, "store"

    def find(self):
        """Looks up the addresses; the kernel's symbols must be loaded."""
        self.start, self.let_go = address_of(self.acquire), address_of(self.release)
        self.exchange, self.kind = self.taking_instruction()
        self.won = find_instruction(self.acquire, "^ret")
        self.load, self.store = (find_instruction("KiAddOne", pattern) for pattern in ("^mov eax,", r"^mov DWORD"))
        calls = [(address, text) for address, text in instructions_of(self.take) if text.startswith("call")]
        self.entered = next(address for address, text in calls if self.acquire in text)
        self.leaving = next(address for address, text in calls if self.release in text)

    def taking_instruction(self):
        """(address, kind) of what takes the lock: the first locked read-modify-write (xchg with memory is one by itself);
        where there is none, the first plain store."""
        code = instructions_of(self.acquire)
        for address, text in code:
            if re.match(r"xchg .*\[", text) or text.startswith("lock "):
                return address, re.match(r"(lock )?\w+", text)[0]
        return next(((address, "store") for address, text in code if re.match(r"\w+ (\w+ PTR )?\[", text)
                     and not text.startswith(("cmp", "test"))), (0, "store"))

    def described(self):
        return "a plain store, behind a test that another CPU can come between" if self.kind == "store" else ATOMIC

    def owns(self, cpu):
        """Whether a CPU has the lock, by where it is: its exchange has won (or it wrote its 1); it is not back."""
        at, function = cpu.pc, cpu.function
        if function == self.acquire:
            return 0 < self.exchange < at and (at == self.won or self.has_won(cpu))
        if function == self.take:
            return self.entered < at <= self.leaving
        return function == "KiAddOne" or at == self.let_go

    def has_won(self, cpu):
        """Whether what a CPU has just executed gave it the lock, as long as no other instruction has changed the sign of it."""
        if self.kind not in WON:
            return self.kind == "store" and self.name != BROKEN.name
        register, value = WON[self.kind]
        return cpu.register(register) & FLAG.get(self.kind, ~0) == value


TEXTBOOK, BROKEN = Lock("Textbook", "StepTakeTextbookLock"), Lock("Broken", "StepTakeBrokenLock")
current = TEXTBOOK


def meet(lock):
    """Brings both CPUs to the call of one lock's routine."""
    global current
    current = lock
    place = address_of(lock.take)
    FIRST.run_to(place, alone=False)            # whichever comes first stops both
    arrived = selected()
    for cpu in CPUS:
        if cpu.number != arrived.number:
            cpu.run_to(place)
    lock.find()


def begin():
    meet(TEXTBOOK)
    stepping(MASKED)


def fill(text):
    """A sentence with the instruction that takes the lock."""
    return text.replace("{atomic}", current.kind)


def panel():
    lines = []
    shown = {cpu.function for cpu in CPUS} & {current.acquire, current.release, "KiAddOne"}
    for name in (current.acquire, "KiAddOne", current.release):
        if name in shown:
            lines += listing(name, CPUS) + [""]
    owners = [str(cpu) for cpu in CPUS if current.owns(cpu)]
    rows = [(current.name, {"word": u8(address_of(current.word)), "owner": " and ".join(owners) or "none",
                          "sum": read(address_of(current.sum), 4)})]
    return lines[:-1], rows + [(str(cpu), state(cpu)) for cpu in CPUS]


def state(cpu):
    """IRQL, the register that matters where the CPU is, and where that is."""
    function = cpu.function
    register = {current.acquire: "al", "KiAddOne": "eax"}.get(function)
    shown = {register.upper(): cpu.register(register)} if register else {}
    return {"IRQL": cpu.irql, **shown, "in": function}


def al(cpu):
    return f"AL of {cpu}", cpu.register("al")


def read_by(cpu, promised):
    """The old word, where the instruction leaves it in AL."""
    return [(*al(cpu), promised)] if current.kind in ("xchg", "lock cmpxchg") else []


def word(promised):
    return "the lock word", u8(address_of(current.word)), promised


def summed(promised):
    return "the sum", read(address_of(current.sum), 4), promised


def owner(*promised):
    return "who owns the lock", tuple(cpu.number for cpu in CPUS if current.owns(cpu)), promised


def raise_and_enter(cpu):
    """From the start of the routine to the first instruction of the acquire."""
    cpu.step_to(current.start)


def enter_sum(cpu):
    """From inside the acquire, with the lock, to the first instruction of the sum."""
    cpu.step_to(address_of("KiAddOne"))


def spin(cpu):
    """Round the loop of a CPU that has lost: to the exchange again, or as long as it takes to see that it only waits."""
    for _ in range(12):
        if cpu.pc == current.exchange or cpu.function != current.acquire:
            return
        cpu.step()


def leave_sum(cpu):
    """To the first instruction of the release."""
    cpu.step_to(current.let_go)


@step("CPU 0 raises its IRQL to DISPATCH_LEVEL, 2, and goes as far as the lock.", act="Act 1: the lock that works",
      ask="which register holds the IRQL, and what does the raise change on CPU 1?",
      told="CR8 := 2, on CPU 0 alone. From now on no other thread and no DPC can come in on CPU 0.")
def cpu0_raises():
    raise_and_enter(FIRST)
    return [("IRQL of CPU 0", FIRST.irql, 2), ("IRQL of CPU 1", SECOND.irql, 0)]


@step("CPU 1 does the same.", ask="CPU 0 is at IRQL 2 already: does that keep CPU 1 out?",
      told="No. IRQL belongs to a CPU: that CPU 0 is at 2 does not keep CPU 1 out of anything. That is what the lock is for.")
def cpu1_raises():
    raise_and_enter(SECOND)
    return [("IRQL of CPU 1", SECOND.irql, 2), word(0), owner()]


@step("Both CPUs go on to the instruction that takes the lock: one that reads the word and writes it, in one step.",
      ask="what have they put into AL by then, and is the lock taken?",
      told="Both stand before `{atomic}`. What they are about to offer to the lock is in their registers; the word is still 0.")
def both_come_to_the_exchange():
    if not current.exchange:
        raise WalkError(f"{current.acquire} never writes the lock's word: it takes nothing")
    for cpu in CPUS:
        cpu.step_to(current.exchange)
    registers = [(*al(FIRST), 1), (*al(SECOND), 1)] if current.kind == "xchg" else []
    return [("the instruction that takes the lock", current.described(), ATOMIC), *registers, word(0), owner()]


@step("CPU 0 executes its `{atomic}`: the old word comes out, the new one goes in, in one step that CPU 1 cannot divide.",
      ask="what will be in the lock word, what will CPU 0 have read, and who owns the lock?",
      told="CPU 0 has read a 0 and left a 1: the lock was free, and now it is CPU 0's.")
def cpu0_wins():
    FIRST.step()
    return [*read_by(FIRST, 0), word(1), owner(0)]


@step("CPU 1 executes the same instruction.", ask="does it change the word? What does CPU 1 read, and who owns the lock?",
      told="CPU 1 has read a 1: it has lost. An xchg writes its own 1 over the 1 of CPU 0, which changes nothing.")
def cpu1_loses():
    SECOND.step()
    return [*read_by(SECOND, 1), word(1), owner(0)]


@step("CPU 0 tests what it has read.", ask="where does CPU 0 go?",
      told="It has read a 0, so the jump back is not taken: it goes in, to the sum.")
def cpu0_enters():
    enter_sum(FIRST)
    return [owner(0), summed(0)]


@step("CPU 1 tests what it has read.", ask="where does CPU 1 go?",
      told="It has read a 1, so it goes round: it is still in the acquire, and will try again. This is the spinning.")
def cpu1_jumps_back():
    spin(SECOND)
    return [("the function that CPU 1 is in", SECOND.function, current.acquire), owner(0)]


@step("CPU 1 goes round three more times.", ask="how long would it do so, and what else can CPU 1 do meanwhile?",
      told="For as long as CPU 0 is inside, at IRQL 2, and nothing else: that is why a spin lock is held for microseconds.")
def cpu1_spins():
    for _ in range(3):
        SECOND.step()
        spin(SECOND)
    return [("the function that CPU 1 is in", SECOND.function, current.acquire), word(1), owner(0)]


@step("CPU 0 adds 1 to the sum: load, add, store.", ask="can CPU 1 come between the three?",
      told="No CPU can come between them, for it would need the lock.")
def cpu0_adds():
    leave_sum(FIRST)
    return [summed(1), owner(0)]


@step("CPU 0 releases the lock, by one plain store of 0.", ask="must that store be locked too? Who owns the lock now?",
      told="A plain store is enough: x86 lets no store overtake an earlier one, so a CPU that sees the 0 sees the new sum too. "
           "The lock is free; CPU 1 has not looked yet.")
def cpu0_releases():
    FIRST.step()
    return [word(0), owner()]


@step("CPU 1 tries once more.", ask="what does it read this time?", told="A 0: CPU 1 has won.")
def cpu1_wins():
    SECOND.step_until(lambda: current.owns(SECOND), "the lock", 60)
    return [*read_by(SECOND, 0), word(1), owner(1)]


@step("CPU 1 goes in, adds its 1, and comes to the release.", ask="what is the sum?", told="Two CPUs, two additions: 2.")
def cpu1_adds():
    enter_sum(SECOND)
    leave_sum(SECOND)
    return [summed(2), owner(1)]


@step("CPU 1 releases, and both lower IRQL.", ask="why first the lock, and then CR8?",
      told="At a lower IRQL the owner could be interrupted, or lose its CPU, with the lock still in its hands. Two CPUs have added "
           "1, and the sum is 2.")
def both_leave():
    for cpu in CPUS:
        cpu.step_until(lambda: cpu.irql == 0, "PASSIVE_LEVEL")
    return [word(0), owner(), summed(2), ("IRQL of both", (FIRST.irql, SECOND.irql), (0, 0))]


@step("Both CPUs go on to the second lock, and raise IRQL as before. It is a plausible lock: look whether it is free "
      "(mov al, [rdi]), and if it is, take it (mov byte [rdi], 1).", act="Act 2: the lock that tests and then sets",
      ask="what is wrong with it?", told="Each instruction for itself is as atomic as the xchg was. Let us see.")
def both_come_to_the_second():
    meet(BROKEN)
    for cpu in CPUS:
        raise_and_enter(cpu)
    return [word(0), summed(0), owner(), ("IRQL of both", (FIRST.irql, SECOND.irql), (2, 2))]


@step("CPU 0 looks at the lock.", ask="what does it see?", told="A 0: it is free.")
def cpu0_looks():
    FIRST.step()
    return [(*al(FIRST), 0), word(0)]


@step("Now CPU 1 looks at the lock.", ask="what does CPU 1 see?",
      told="A 0 as well, for CPU 0 has not written its 1 yet. Two CPUs know that the lock is free.")
def cpu1_looks():
    SECOND.step()
    return [(*al(SECOND), 0), word(0)]


@step("CPU 0 tests its AL, and goes on.", ask="what does it do to the word?", told="It does not spin: it writes the 1, and owns the lock.")
def cpu0_sets():
    FIRST.step_to(current.won)
    return [word(1), owner(0)]


@step("CPU 1 tests its AL, and goes on.", ask="the word is 1 by now: does that stop CPU 1?",
      told="There is still the 0 of a moment ago in its AL: it does not spin either, writes its 1 over the other 1, and owns the "
           "lock too. The word looks exactly as it would with one owner.")
def cpu1_sets():
    SECOND.step_to(current.won)
    return [word(1), owner(0, 1)]


@step("Both go in, and both load the sum.", ask="what is in EAX, on each?", told="0 on either CPU.")
def both_load():
    for cpu in CPUS:
        enter_sum(cpu)
        cpu.step()
    return [("EAX of CPU 0", FIRST.register("eax"), 0), ("EAX of CPU 1", SECOND.register("eax"), 0), owner(0, 1)]


@step("CPU 0 adds 1 and stores.", ask="what is the sum now, and what will it be when CPU 1 has stored?", told="1.")
def cpu0_stores():
    leave_sum(FIRST)
    return [summed(1)]


@step("CPU 1 adds 1 to what it has loaded, and stores.", ask="1 or 2?",
      told="The sum is 1 again: CPU 1 had loaded a 0. What CPU 0 has done is lost. In a list it would have been a lost entry, in "
           "the pool a block given to two owners.")
def cpu1_stores():
    leave_sum(SECOND)
    return [summed(1), owner(0, 1)]


@step("CPU 0 releases.", ask="what does the word say, and is it true?",
      told="The word says: free. But CPU 1 is still inside, and any third CPU may come in.")
def cpu0_lets_go():
    FIRST.step()
    return [word(0), owner(1)]
