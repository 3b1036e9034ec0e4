"""GDB's side of `explore --gdb`: a schedule up to its last preemption, then line by line.

The contexts run with the trap flag: after each instruction the explorer's handler comes, so `stepi` would lead into it.
`walk` lets it pass: it goes to the next source line of the context that goes on.
"""

import gdb

RIP = 0x78                                      # in a context's frame: tests/kernel/exploreturn.asm


class Turned(gdb.Breakpoint):
    """The place behind the explorer's choice, with the frame that goes on in rax; once for each instruction."""

    def __init__(self):
        super().__init__("KtTurned", internal=True)
        self.silent, self.at = True, 0

    def stop(self):
        return steps() >= self.at


def number(expression):
    return int(gdb.parse_and_eval(expression).cast(gdb.lookup_type("unsigned long")))


def steps():
    return number("'explore.c'::Steps")


def run_on():
    gdb.execute("continue", to_string=True)


class Schedule:
    """The schedule that the machine makes again."""

    def __init__(self):
        self.turned = Turned()

    def to(self, at):
        """Runs until so many instructions are done, and to the one that comes next. False: the schedule is at its end."""
        self.turned.at, self.turned.enabled = at, True
        run_on()
        self.turned.enabled = False
        frame = number("$rax")
        if frame == number("KtMainFrame"):
            print(f"The schedule is at its end, after {steps()} instructions.")
            return False
        self.place = number(f"*(unsigned long *){frame + RIP}")
        gdb.Breakpoint(f"*{self.place:#x}", internal=True, temporary=True).silent = True
        run_on()
        return True

    def context(self):
        """A or B: the one that goes on."""
        return "AB"[number("'explore.c'::Current - 'explore.c'::Contexts")]

    def line(self):
        found = gdb.find_pc_line(self.place)
        return self.context(), str(found.symtab), found.line

    def walk(self):
        """To the next line, of the same context or of the other one."""
        before = self.line()
        while self.to(steps() + 1):
            if self.line() != before:
                return True
        return False

    def show(self):
        print(f"{self.context()}, after {steps()} instruction{'s' if steps() != 1 else ''} of both:")
        gdb.execute("frame")


class Walk(gdb.Command):
    """walk [N]: goes on to the next source line that a context comes to, N times. Then `info registers`, `bt`, `print`."""

    def __init__(self, schedule):
        super().__init__("walk", gdb.COMMAND_RUNNING)
        self.schedule = schedule

    def invoke(self, argument, _):
        if argument and not argument.isdigit():
            raise gdb.GdbError("walk: how many lines?")
        for _ in range(int(argument or 1)):
            if not self.schedule.walk():
                return
            self.schedule.show()


def begin(name, text):
    """Runs to the last preemption of the schedule."""
    numbers = [int(word) for word in text.split(",")[1:]]
    schedule = Schedule()
    Walk(schedule)
    if schedule.to(numbers[-1] if numbers else 1):
        print(f"\n{name} {text}: stopped where the last preemption has been made. `walk` goes on by a line; `quit` leaves.\n")
        schedule.show()
