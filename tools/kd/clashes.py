"""Commands that share a name with GDB's: ours on a kernel address, GDB's own otherwise.

A command that Python registers under GDB's name replaces GDB's, with its subcommands. So what GDB's command would do is
done here by the other ways that lead to it: `file` is exec-file and symbol-file, `thread` is made of GDB's own threads.
"""

import re

import gdb

from kd.target.command import RENAMED, Overlay, commands, split_words
from kd.target.expression import is_kernel_expression


def is_ours(argument):
    """Whether an argument is a kernel address, and so nothing that GDB's command of this name would take."""
    return is_kernel_expression(argument)


class File(gdb.Command):
    """file ADDRESS: a FILE_OBJECT. file PATH: GDB's own, the program and its symbols."""

    def __init__(self, ours):
        self.ours = ours
        super().__init__("file", gdb.COMMAND_FILES, gdb.COMPLETE_FILENAME)

    def invoke(self, argument, from_tty):
        if is_ours(argument):
            run_ours(self.ours, argument)
        else:
            gdb.execute(f"exec-file {argument}", from_tty)
            gdb.execute(f"symbol-file {argument}", from_tty)


class Thread(gdb.Command):
    """thread ADDRESS: a KTHREAD. thread [N], thread apply, thread name, thread find: GDB's own, which are the CPUs."""

    def __init__(self, ours, name):
        self.ours = ours
        super().__init__(name, gdb.COMMAND_RUNNING, gdb.COMPLETE_NONE)

    def invoke(self, argument, from_tty):
        word, _, rest = argument.strip().partition(" ")
        if is_ours(argument):
            run_ours(self.ours, argument)
        elif word == "apply":
            apply(rest.strip(), from_tty)
        elif word == "name":
            gdb.selected_thread().name = rest.strip() or None
        elif word == "find":
            find(rest.strip())
        else:
            choose(word)


def run_ours(ours, argument):
    complaint = ours.complaint(split_words(argument))
    if complaint:
        raise gdb.GdbError(complaint)


def described(thread):
    """A thread of GDB's as GDB names it."""
    name = f' "{thread.name}"' if thread.name else ""
    return f"{thread.num} (Thread {thread.ptid[1] or thread.ptid[2]}{name})"


def choose(word):
    """thread [N]: shows the current thread, or makes another one current."""
    if word:
        wanted = threads_of(word)
        if len(wanted) != 1:
            raise gdb.GdbError(f"Invalid thread ID: {word}")
        wanted[0].switch()
        print(f"[Switching to thread {described(wanted[0])}]")
        gdb.execute("frame")
    elif gdb.selected_thread() is None:
        raise gdb.GdbError("No thread selected")
    else:
        print(f"[Current thread is {described(gdb.selected_thread())}]")


def all_threads():
    return sorted(gdb.selected_inferior().threads(), key=lambda thread: thread.num)


def threads_of(text):
    """The threads of a list of numbers: "1 3-4", "$_thread", "all", "1.2"."""
    found = []
    for word in text.split():
        if word.startswith("$"):
            word = str(int(gdb.parse_and_eval(word)))
        match = re.fullmatch(r"(?:1\.)?(\d+|\*)(?:-(\d+))?", word)
        if match is None:
            raise gdb.GdbError(f"Invalid thread ID: {word}")
        first = match[1]
        numbers = None if first == "*" else range(int(first), int(match[2] or first) + 1)
        fitting = [thread for thread in all_threads() if numbers is None or thread.num in numbers]
        if not fitting:
            raise gdb.GdbError(f"Unknown thread {word}.")
        found += fitting
    return found


def apply(text, from_tty):
    """thread apply LIST|all [-ascending] [-q -c -s] COMMAND."""
    match = re.match(r"all\b\s*|((?:[\d.*-]+|\$\w+)\s+)+", text)
    if match is None:
        raise gdb.GdbError("Please specify a thread ID list")
    chosen = all_threads()[::-1] if match[0].startswith("all") else threads_of(match[0])
    options, rest = set(), text[match.end():]
    while option := re.match(r"-(ascending|q|c|s|--)(\s+|$)", rest):
        options.add(option[1])
        rest = rest[option.end():]
    if not rest:
        raise gdb.GdbError("Please specify a command to apply")
    previous = gdb.selected_thread()
    try:
        for thread in sorted(chosen, key=lambda t: t.num) if "ascending" in options else chosen:
            thread.switch()
            apply_one(thread, rest, options, from_tty)
    finally:
        if previous is not None and previous.is_valid():
            previous.switch()


def apply_one(thread, text, options, from_tty):
    """Runs one command in a thread that is current; -c shows errors and goes on, -s hides them."""
    title = "" if "q" in options else f"\nThread {described(thread)}:\n"
    try:
        answer = gdb.execute(text, from_tty, True)
    except gdb.error as problem:
        if "s" in options:
            return
        if "c" not in options:
            print(title, end="")
            raise
        answer = f"{problem}\n"
    print(f"{title}{answer}", end="")


def find(pattern):
    """thread find REGEX."""
    fitting = [thread for thread in all_threads() if re.search(pattern, thread.name or "")]
    for thread in fitting:
        print(f"Thread {thread.num} has name '{thread.name}'")
    if not fitting:
        print(f"No threads match '{pattern}'")


def overlay_all():
    """Makes GDB know each command of ours with a `!`, without it."""
    for name, made in commands.items():
        if name.startswith("!"):
            plain = RENAMED.get(name[1:], name[1:])
            if not overlay(made, plain):
                Overlay(made, plain)


def overlay(command, name):
    """Registers a command under a name that GDB uses too; False: the name is free."""
    if name == "file":
        File(command)
    elif name in ("thread", "t"):
        Thread(command, name)
    else:
        return False
    return True
