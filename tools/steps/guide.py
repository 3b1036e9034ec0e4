"""The guide: announces each step in a plain sentence, does it, shows what the machine has become, and compares.

A subject is a module with TITLE, LESSON, begin() and panel(); its steps are functions under @step("the sentence"). A
step returns its promises, a list of (what, what the machine shows, what was announced): one that is not kept is told,
and makes the walk fail. panel() returns the lines above the values, and rows of values: [(title, {name: value})].
"""

import os
import textwrap

import gdb

from steps.cpus import Cpu, WalkError, selected

BOLD, PLAIN = ("\x1b[1m", "\x1b[0m") if os.isatty(1) else ("", "")
COLUMNS = 112
PLACES = ("in",)                                # values that say where, and are shown without what they were before


class Guide:
    """Leads through one subject."""

    def __init__(self, subject):
        self.subject, self.steps = subject, subject.STEPS
        self.done, self.broken = 0, []
        self.shown = {}                         # the values of the last panel

    def introduce(self):
        self.subject.begin()
        print(f"\n{BOLD}{self.subject.TITLE}{PLAIN}\n")
        say(self.subject.INTRODUCTION)
        self.show()

    def announce(self):
        """Says what the next step will do."""
        if self.done < len(self.steps):
            step = self.steps[self.done]
            if step.act:
                print(f"\n{BOLD}==== {step.act} ===={PLAIN}")
            print()
            say(step.sentence, f"[{self.done + 1}/{len(self.steps)}] ")

    def advance(self):
        """Does the step that was announced, and shows what came of it."""
        step = self.steps[self.done]
        promises = step.routine() or []
        self.done += 1
        self.show(Cpu.moved)
        for what, seen, promised in promises:
            if seen != promised:
                self.broken.append(what)
                say(f"NOT as announced: {what} is {legible(seen)}, and should be {legible(promised)}.", "  *** ")
        if self.done == len(self.steps):
            self.conclude()

    def conclude(self):
        print()
        say(self.subject.LESSON)
        print()
        if self.broken:
            say(f"{len(self.broken)} of the values were not as announced: {', '.join(self.broken)}.")
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
            print(f"    {title:{wide}}   " + "   ".join(cells))
        self.shown = shown

    def cell(self, title, name, text):
        before = self.shown.get((title, name), text) if name not in PLACES else text
        return f"{name} {text}" if before == text else f"{name} {before} -> {BOLD}{text}{PLAIN}"


class Step:
    """A sentence and what it announces."""

    def __init__(self, sentence, routine, act):
        self.sentence, self.routine, self.act = sentence, routine, act


def steps_of():
    """An empty list of steps, and the decorator that fills it: step(sentence, act="a heading above the step")."""
    steps = []

    def step(sentence, act=None):
        def note(routine):
            steps.append(Step(sentence, routine, act))
            return routine
        return note
    return steps, step


def legible(seen):
    """A number as one reads it best: an address in hexadecimal."""
    return f"{seen:X}" if type(seen) is int and seen > 0xFFFF else seen


def say(text, lead=""):
    """Prints a paragraph."""
    print(textwrap.fill(text, COLUMNS, initial_indent=lead, subsequent_indent=" " * len(lead)))


def install_commands(guide):
    """The reader's commands. Whatever else is typed is GDB's."""

    class Next(gdb.Command):
        """n, or Enter: do the step that was announced."""

        def __init__(self):
            super().__init__("n", gdb.COMMAND_RUNNING)

        def invoke(self, _, __):
            if guide.done == len(guide.steps):
                say("The walk is over. Everything of GDB still works; `quit` ends it, and the machine.")
                return
            try:
                guide.advance()
            except (WalkError, gdb.error) as problem:
                say(f"step: {problem}")
                return
            guide.announce()

    class Panel(gdb.Command):
        """panel: show the values again, after steps of your own too."""

        def __init__(self):
            super().__init__("panel", gdb.COMMAND_STATUS)

        def invoke(self, _, __):
            self.dont_repeat()
            try:
                guide.show()
            except (WalkError, gdb.error) as problem:
                say(f"step: {problem}")

    class Plan(gdb.Command):
        """plan: all steps of this walk, and where we are."""

        def __init__(self):
            super().__init__("plan", gdb.COMMAND_SUPPORT)

        def invoke(self, _, __):
            self.dont_repeat()
            for number, step in enumerate(guide.steps):
                if step.act:
                    print(f"\n==== {step.act} ====")
                say(step.sentence, f"{'=>' if number == guide.done else '  '} {number + 1:2} ")

    for command in (Next, Panel, Plan):
        command()
