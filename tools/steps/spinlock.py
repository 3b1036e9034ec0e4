"""Two CPUs and one lock: first the lock that works, then the one that tests and sets, and lets both in."""

from steps.cpus import MASKED, Cpu, address_of, find_instruction, instructions_of, read, selected, stepping, u8
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


class Lock:
    """The names and places of one of the two locks."""

    def __init__(self, kind, taker):
        self.acquire, self.release, self.take = f"KiAcquire{kind}Lock", f"KiRelease{kind}Lock", taker
        self.name = f"{kind.lower()} lock"
        self.word, self.sum = f"Step{kind}Lock", f"Step{kind}Sum"
        self.is_textbook = kind == "Textbook"

    def find(self):
        """Looks up the addresses; the kernel's symbols must be loaded."""
        self.start, self.let_go = address_of(self.acquire), address_of(self.release)
        self.exchange = find_instruction(self.acquire, "^xchg" if self.is_textbook else r"^mov BYTE PTR")
        self.won = find_instruction(self.acquire, "^ret")
        self.load, self.store = (find_instruction("KiAddOne", pattern) for pattern in ("^mov eax,", r"^mov DWORD"))
        calls = [(address, text) for address, text in instructions_of(self.take) if text.startswith("call")]
        self.entered = next(address for address, text in calls if self.acquire in text)
        self.leaving = next(address for address, text in calls if self.release in text)

    def owns(self, cpu):
        """Whether a CPU has the lock, by where it is: its exchange gave it 0 (or it wrote its 1); it is not back."""
        at, function = cpu.pc, cpu.function
        if function == self.acquire:
            return at == self.won or (self.is_textbook and at > self.exchange and cpu.register("al") == 0)
        if function == self.take:
            return self.entered < at <= self.leaving
        return function == "KiAddOne" or at == self.let_go


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


def panel():
    lines = []
    shown = {cpu.function for cpu in CPUS} & {current.acquire, current.release, "KiAddOne"}
    for name in (current.acquire, "KiAddOne", current.release):
        if name in shown:
            lines += listing(name, CPUS) + [""]
    owners = [str(cpu) for cpu in CPUS if current.owns(cpu)]
    rows = [(current.name, {"word": u8(address_of(current.word)), "owner": " and ".join(owners) or "nobody",
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


def leave_sum(cpu):
    """To the first instruction of the release."""
    cpu.step_to(current.let_go)


@step("CPU 0 raises its IRQL to DISPATCH_LEVEL: CR8 := 2. From now on no other thread and no DPC can come in on CPU "
      "0. It goes as far as the lock.", act="Act 1: the lock that works")
def cpu0_raises():
    raise_and_enter(FIRST)
    return [("IRQL of CPU 0", FIRST.irql, 2), ("IRQL of CPU 1", SECOND.irql, 0)]


@step("CPU 1 does the same. IRQL belongs to a CPU: that CPU 0 is at 2 does not keep CPU 1 out of anything. That is "
      "what the lock is for.")
def cpu1_raises():
    raise_and_enter(SECOND)
    return [("IRQL of CPU 1", SECOND.irql, 2), word(0), owner()]


@step("Both put a 1 into AL: it is what they are about to offer to the lock.")
def both_load_one():
    for cpu in CPUS:
        cpu.step_to(current.exchange)
    return [(*al(FIRST), 1), (*al(SECOND), 1), word(0), owner()]


@step("CPU 0 executes xchg: its 1 goes into the lock, what was in the lock comes into AL, in one step that CPU 1 "
      "cannot divide. There was a 0: CPU 0 wins.")
def cpu0_wins():
    FIRST.step()
    return [(*al(FIRST), 0), word(1), owner(0)]


@step("CPU 1 executes the same xchg. Its 1 goes into the lock too, over the 1 of CPU 0, which changes nothing; and "
      "into AL comes a 1: CPU 1 has lost.")
def cpu1_loses():
    SECOND.step()
    return [(*al(SECOND), 1), word(1), owner(0)]


@step("CPU 0 tests its AL: 0, so the jump back is not taken, and it goes in to the sum.")
def cpu0_enters():
    enter_sum(FIRST)
    return [owner(0), summed(0)]


@step("CPU 1 tests its AL: 1, so the jump is taken, and it stands before the xchg again. This is the spinning.")
def cpu1_jumps_back():
    SECOND.step(2)
    return [("where CPU 1 is", SECOND.pc, current.exchange), owner(0)]


@step("CPU 1 goes round three more times. Each xchg writes 1 over 1 and brings 1 back. It would do so for as long as "
      "CPU 0 is inside, at IRQL 2, doing nothing else: that is why a spin lock is held for microseconds.")
def cpu1_spins():
    SECOND.step(9)
    return [("where CPU 1 is", SECOND.pc, current.exchange), (*al(SECOND), 1), word(1), owner(0)]


@step("CPU 0 adds 1 to the sum: load, add, store. Nobody can come between, because whoever wants to must have the "
      "lock.")
def cpu0_adds():
    leave_sum(FIRST)
    return [summed(1), owner(0)]


@step("CPU 0 releases: one plain store of 0. x86 lets no store overtake an earlier one, so whoever sees the 0 sees "
      "the new sum too.")
def cpu0_releases():
    FIRST.step()
    return [word(0), owner()]


@step("CPU 1 executes its xchg once more, and now a 0 comes back: CPU 1 wins.")
def cpu1_wins():
    SECOND.step()
    return [(*al(SECOND), 0), word(1), owner(1)]


@step("CPU 1 goes in, adds its 1, and comes to the release.")
def cpu1_adds():
    enter_sum(SECOND)
    leave_sum(SECOND)
    return [summed(2), owner(1)]


@step("CPU 1 releases, and both lower IRQL to PASSIVE_LEVEL: first the lock, then CR8. Two CPUs have added 1, and "
      "the sum is 2.")
def both_leave():
    for cpu in CPUS:
        cpu.step_until(lambda: cpu.irql == 0, "PASSIVE_LEVEL")
    return [word(0), owner(), summed(2), ("IRQL of both", (FIRST.irql, SECOND.irql), (0, 0))]


@step("Both CPUs go on to the second lock, and raise IRQL as before. It is a plausible lock: look whether it is free "
      "(mov al, [rdi]), and if it is, take it (mov byte [rdi], 1).", act="Act 2: the lock that tests and then sets")
def both_come_to_the_second():
    meet(BROKEN)
    for cpu in CPUS:
        raise_and_enter(cpu)
    return [word(0), summed(0), owner(), ("IRQL of both", (FIRST.irql, SECOND.irql), (2, 2))]


@step("CPU 0 looks at the lock: 0. It is free.")
def cpu0_looks():
    FIRST.step()
    return [(*al(FIRST), 0), word(0)]


@step("Now CPU 1 looks at the lock: 0 as well, for CPU 0 has not written its 1 yet. Two CPUs know that the lock is "
      "free.")
def cpu1_looks():
    SECOND.step()
    return [(*al(SECOND), 0), word(0)]


@step("CPU 0 tests its AL (0: do not spin), writes the 1, and owns the lock.")
def cpu0_sets():
    FIRST.step_to(current.won)
    return [word(1), owner(0)]


@step("CPU 1 tests its AL. There is still the 0 of a moment ago in it: it does not spin either, writes its 1 over "
      "the other 1, and owns the lock too. The word looks exactly as it would with one owner.")
def cpu1_sets():
    SECOND.step_to(current.won)
    return [word(1), owner(0, 1)]


@step("Both go in, and both load the sum: EAX is 0 on either CPU.")
def both_load():
    for cpu in CPUS:
        enter_sum(cpu)
        cpu.step()
    return [("EAX of CPU 0", FIRST.register("eax"), 0), ("EAX of CPU 1", SECOND.register("eax"), 0), owner(0, 1)]


@step("CPU 0 adds 1 and stores: the sum is 1.")
def cpu0_stores():
    leave_sum(FIRST)
    return [summed(1)]


@step("CPU 1 adds 1 to the 0 that it has loaded, and stores: the sum is 1 again. What CPU 0 has done is lost: two "
      "CPUs have added 1, and the sum is 1. In a list it would have been a lost entry, in the pool a block given to "
      "two owners.")
def cpu1_stores():
    leave_sum(SECOND)
    return [summed(1), owner(0, 1)]


@step("CPU 0 releases. The word says: free. But CPU 1 is still inside, and any third CPU may come in.")
def cpu0_lets_go():
    FIRST.step()
    return [word(0), owner(1)]
