"""The guide: announces a step, asks for a guess, does it, shows the machine, tells why.

A subject is a module with TITLE, LESSON, begin() and panel(); its steps are functions under @step("what will be done",
ask="what to predict", told="what came of it, and why"): the answer is in `told` alone. A step returns its promises, a list of
(what, what the machine shows, what it should): one that is not kept is shown, and makes the walk fail. panel() returns the
lines above the values, and rows of values: [(title, {name: value})].
"""

import contextlib
import io
import os
import shutil
import textwrap

import gdb

from kd.target.session import ask
from steps.cpus import Cpu, WalkError, selected

BOLD, PLAIN = ("\x1b[1m", "\x1b[0m") if os.isatty(1) else ("", "")
WIDEST, UNKNOWN = 120, 112                       # columns that are used at most; and where there is no terminal
INDENT = 4
PLACES = ("in",)                                # values that say where, and are shown without what they were before


def columns():
    """How wide a line may be: the terminal's width."""
    return min(WIDEST, shutil.get_terminal_size((UNKNOWN, 50)).columns - 1) if os.isatty(1) else UNKNOWN


class Guide:
    """Leads through one subject."""

    def __init__(self, subject):
        self.subject, self.steps = subject, subject.STEPS
        self.done, self.broken = 0, []
        self.shown = {}                         # the values of the last panel

    def introduce(self, at=0):
        """Brings the machine to the place, and shows it; at: after so many steps, which are done in silence."""
        self.subject.begin()
        if at:
            self.replay(at)
            print(f"\n{BOLD}After step {at} of {len(self.steps)}, on the same machine, started again{PLAIN}")
        else:
            print(f"\n{BOLD}{self.subject.TITLE}{PLAIN}\n")
            say(self.subject.INTRODUCTION)
        self.show()

    def announce(self):
        """Says what the next step will do, and asks what will come of it."""
        if self.done < len(self.steps):
            step = self.steps[self.done]
            if step.act:
                print(f"\n{BOLD}==== {step.act} ===={PLAIN}")
            print()
            lead = f"[{self.done + 1}/{len(self.steps)}] "
            say(self.fill(step.sentence), lead)
            if step.ask:
                say(f"Predict: {self.fill(step.ask)}", " " * len(lead))

    def fill(self, text):
        """A text with the words that depend on the kernel at hand."""
        return getattr(self.subject, "fill", str)(text)

    def advance(self):
        """Does the step that was announced, shows what came of it, and tells why."""
        step = self.steps[self.done]
        promises = step.routine() or []
        self.done += 1
        self.show(Cpu.moved)
        if step.told:
            print()
            say(self.fill(step.told), " " * INDENT)
        for what, seen, promised in promises:
            if seen != promised:
                self.broken.append(what)
                say(f"NOT as announced: {what} is {legible(seen)}, and should be {legible(promised)}.", "  *** ")
        if self.done == len(self.steps):
            self.conclude()

    def replay(self, count):
        """Does the first steps in silence: the machine is a new one, and does what the last one did."""
        with contextlib.redirect_stdout(io.StringIO()):
            for _ in range(count):
                self.advance()
        self.broken.clear()

    def conclude(self):
        print()
        say(self.subject.LESSON)
        print()
        if self.broken:
            say(f"{len(self.broken)} of the values {'was' if len(self.broken) == 1 else 'were'} not as announced: "
                f"{', '.join(self.broken)}.")
        else:
            say(f"All {len(self.steps)} steps went as announced.")

    def show(self, cpu=None):
        """The panel: what the subject draws, then its values, with those that have changed as `before -> after`.

        It looks at every CPU, and leaves GDB at the one given, or at that which the reader has chosen."""
        cpu = cpu or selected()
        lines, rows = self.subject.panel()
        cpu.select()
        print()
        for line in lines:
            print(f"    {line}".rstrip())
        if lines:
            print()
        wide = max(len(title) for title, _ in rows)
        shown = {}
        for title, values in rows:
            cells = [self.cell(title, name, text) for name, text in values.items()]
            shown.update({(title, name): text for name, text in values.items()})
            print_row(f"{title:{wide}}", cells)
        self.shown = shown

    def cell(self, title, name, text):
        """(a value with its name, and what it was before where it has changed; its width)."""
        before = self.shown.get((title, name), text) if name not in PLACES else text
        if before == text:
            return f"{name} {text}", len(f"{name} {text}")
        return f"{name} {before} -> {BOLD}{text}{PLAIN}", len(f"{name} {before} -> {text}")


def print_row(title, cells):
    """A row of values; what does not fit goes on below the first value."""
    margin, line = " " * INDENT, f"{' ' * INDENT}{title}"
    length = len(line)
    for number, (cell, wide) in enumerate(cells):
        if number and length + 3 + wide > columns():
            print(line)
            line, length = f"{margin}{' ' * len(title)}", INDENT + len(title)
        line, length = f"{line}   {cell}", length + 3 + wide
    print(line)


class Step:
    """The step, the prediction, the outcome."""

    def __init__(self, sentence, routine, act, ask, told):
        self.sentence, self.routine, self.act, self.ask, self.told = sentence, routine, act, ask, told


def steps_of():
    """An empty list of steps, and the decorator that fills it; act is a heading above the step."""
    steps = []

    def step(sentence, act=None, ask=None, told=None):
        def note(routine):
            steps.append(Step(sentence, routine, act, ask, told))
            return routine
        return note
    return steps, step


def legible(seen):
    """A number as one reads it best: an address in hexadecimal."""
    return f"{seen:X}" if type(seen) is int and seen > 0xFFFF else seen


def say(text, lead=""):
    """Prints a paragraph."""
    print(textwrap.fill(text, columns(), initial_indent=lead, subsequent_indent=" " * len(lead)))


MOVED = ("Have you moved the machine yourself? `back {}` returns to this step, `restart` to the first one, on the same machine "
         "started again.")


class Prompt:
    """The reader's prompt: an empty line does the next step; what is none of the guide's words is GDB's."""
    WORDS = {"n": "next", "next": "next", "panel": "panel", "plan": "plan", "back": "back", "restart": "restart",
             "help": "help", "q": "quit", "quit": "quit"}
    HELP = ("Enter or n: the next step. back [N]: N steps back (1 unless told). restart: from the first step. panel: the values "
            "again. plan: all steps. quit: ends it, and the machine. Anything else is GDB's: stepi, info registers, x/8gx $rsp, "
            "backtrace, help NAME; `gdb` leaves the guide for GDB's own prompt, with layout asm and all.")

    def __init__(self, guide, again):
        self.guide, self.again = guide, again   # again(number): ends this GDB, and does so many steps on a new machine
        self.is_touched = False                 # by a command of GDB's, since the last step

    def interact(self):
        """Until `gdb`, after which GDB reads on by itself; True: the reader wants to leave."""
        while True:
            try:
                line = ask("(step) ").strip()
            except EOFError:
                print()
                return True
            except KeyboardInterrupt:
                print()
                continue
            word, _, rest = line.partition(" ")
            if word == "gdb" and not rest:
                return False
            if self.WORDS.get(word) == "quit" or word == "exit":
                return True
            self.run(line, word, rest.strip())
            if word in ("layout", "tui"):
                return False

    def run(self, line, word, rest):
        """One line of the reader's."""
        name = "next" if not line else self.WORDS.get(word)
        if name == "help" and rest or name == "next" and rest:
            name = None
        try:
            if name:
                getattr(self, f"do_{name}")(rest)
            else:
                self.is_touched = True
                gdb.execute(line, from_tty=True)
        except WalkError as problem:
            say(f"step: {problem}")
            say(MOVED.format(0))
        except gdb.error as problem:
            print(f"{problem}")
        except KeyboardInterrupt:
            print("stopped by Ctrl-C")

    def do_next(self, _):
        if self.guide.done == len(self.guide.steps):
            say("The walk is over. All of GDB still works; `back N` and `restart` go back, `quit` ends it, and the machine.")
            return
        told = len(self.guide.broken)
        self.guide.advance()
        if self.is_touched and len(self.guide.broken) > told:
            say(MOVED.format(1), "      ")
        self.is_touched = False
        self.guide.announce()

    def do_panel(self, _):
        self.guide.show()

    def do_plan(self, _):
        for number, step in enumerate(self.guide.steps):
            if step.act:
                print(f"\n==== {step.act} ====")
            say(self.guide.fill(step.sentence), f"{'=>' if number == self.guide.done else '  '} {number + 1:2} ")

    def do_help(self, _):
        say(self.HELP)

    def do_back(self, rest):
        if rest and not rest.isdigit():
            say("back [N]: N steps back, 1 unless told")
            return
        self.again(max(0, self.guide.done - int(rest or 1)))

    def do_restart(self, _):
        self.again(0)
