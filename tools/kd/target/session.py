"""One session of the debugger: its target, its prompt, and a line turned into commands."""

import difflib
import os
import re
import signal
import threading
import sys
import traceback

import gdb

from kd.target.command import KdError, commands, first_line, memory_complaint, split_words
from kd.target.processors import current_number

LONGEST_RUN = 60                            # seconds, of a machine that goes on in rewind
elsewhere = {}                              # WinDbg's words that are no commands here: what to do instead (habitcommands)
WORD = re.compile(r"\s*([!.]?[a-zA-Z_][\w]*|~|\?)")


class Session:
    """The target of a session."""

    def __init__(self):
        self.kind = "none"                  # "dump", "live"
        self.path = None                    # of the dump or the socket
        self.dump = None                    # what tools/machine/dumpfile.py knows of it, or None
        self.thread = None                  # the KTHREAD that .thread chose, or None
        self.wants_end = False


session = Session()


def split_commands(line):
    """The commands of a line: split at ';', which in quotes and parentheses is a letter like any other."""
    parts, current, quote = [], "", None
    for letter in line:
        if quote:
            quote = None if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == ";":
            parts.append(current)
            current = ""
            continue
        current += letter
    return [part.strip() for part in parts + [current] if part.strip()]


def run_line(line):
    """Runs each command of a line; returns whether all succeeded. A line of Python is one command."""
    good = True
    for text in [line.strip()] if re.match(r"\s*(gdb\s+)?(python|py|shell|pipe)\b", line) else split_commands(line):
        good = run_command(text) and good
        if session.wants_end:
            break
    return good


def run_command(text):
    """Runs one command: ours, or GDB's."""
    if text.startswith("gdb "):
        return run_gdb(text[4:].strip())
    name, rest = find_command(text)
    if name is None:
        word = text.split()[0]
        return refuse(word) if text[0] in "!.~" or is_elsewhere(word) else run_gdb(text)
    return commands[name].run(split_words(rest))


def is_elsewhere(word):
    """Whether a word is WinDbg's, and means something else to GDB or nothing."""
    return word in elsewhere


def refuse(word):
    """One line on a word that is no command here: what it would be, if it is one of WinDbg's."""
    if word in elsewhere:
        print(f"kd: {word}: {elsewhere[word]}")
    else:
        near = difflib.get_close_matches(word, list(commands) + list(elsewhere), 2, 0.75)
        print(f"kd: unknown command '{word}'; " + (f"is it {' or '.join(near)}? " if near else "") + "`help` lists the commands")
    return False


def find_command(text):
    """(name of our command, the rest of the line); (None, text) where there is none."""
    match = WORD.match(text)
    if match and match[1] in commands:
        rest = text[match.end():]
        if not rest or not (rest[0].isalnum() or rest[0] == "_") or match[1] in "~?":
            return match[1], rest
    return None, text


class Limit:
    """Interrupts what runs inside after so many seconds, as Ctrl-C does."""

    def __init__(self, seconds):
        self.timer = threading.Timer(seconds, self.interrupt)
        self.timer.daemon = True
        self.is_over = False

    def interrupt(self):
        self.is_over = True
        os.kill(os.getpid(), signal.SIGINT)

    def __enter__(self):
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.timer.cancel()


def commands_of_gdb(text):
    """Runs a command of GDB's for one of ours; its complaint is a KdError."""
    try:
        gdb.execute(text, from_tty=True)
    except gdb.error as problem:
        raise KdError(first_line(problem)) from None


def run_to_the_end():
    """Lets a machine of rewind's go on, to a breakpoint of the reader's or to the halt behind its bugcheck, and comes back."""
    if gdb.newest_frame().name() == "KiReportOnSerial":
        raise KdError("here the run ends; `to EVENT` and `back` go to what came before")
    end = gdb.Breakpoint("KiReportOnSerial", gdb.BP_HARDWARE_BREAKPOINT, internal=True)
    try:
        with Limit(LONGEST_RUN) as limit:
            gdb.execute("continue", from_tty=True)
        if limit.is_over:
            raise KdError(f"the machine did not stop within {LONGEST_RUN} s: {gdb.newest_frame().name()}; `to EVENT` goes to an event")
    except gdb.error as problem:
        raise KdError(first_line(problem)) from None
    finally:
        end.delete()
    if gdb.newest_frame().name() == "KiReportOnSerial":
        print("kd: this is the bugcheck, where the run ends; `to EVENT` and `back` go to what came before")


def run_gdb(text):
    """Runs a command of GDB's own."""
    if session.kind == "past" and re.fullmatch(r"c|cont|continue|fg", text):
        return commands["g"].run([])
    try:
        gdb.execute(text, from_tty=True)
        return True
    except gdb.MemoryError as problem:
        print(f"kd: {memory_complaint(problem)}")
    except gdb.error as problem:
        if str(problem).startswith(("Ambiguous command", "Undefined command")):
            return refuse(text.split()[0])
        print(f"kd: {first_line(problem)}" if str(problem) else "", end="\n" if str(problem) else "")
    except KeyboardInterrupt:
        print("kd: stopped by Ctrl-C")
    return False


def prompt():
    """"0: kd> ", with the number of the selected CPU."""
    try:
        return f"{current_number()}: kd> "
    except (KdError, gdb.error):
        return "kd> "


def ask(text):
    """A line of the reader's; at a terminal GDB's readline reads it, with its history: Python asks it where both ends are its own."""
    gdb.flush()
    ours = sys.stdout
    if sys.stdin.isatty() and sys.__stdout__.isatty():
        sys.stdout = sys.__stdout__
    try:
        return input(text)
    finally:
        sys.stdout = ours


def interact():
    """Reads and runs lines until q or the end of the input."""
    while not session.wants_end:
        try:
            line = ask(prompt())
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print()
            continue
        try:
            run_line(line)
        except KeyboardInterrupt:
            print("kd: stopped by Ctrl-C")


def begin(main):
    """Runs what opens a session; a defect of ours in it is one line and status 2, never a GDB that has nothing to debug."""
    try:
        main()
    except KeyboardInterrupt:
        leave(130)
    except Exception as problem:            # the last resort: GDB would print it, go on, and leave with 0
        print(f"bugcheck: internal error: {type(problem).__name__}: {first_line(problem)}", file=sys.stderr)
        if os.environ.get("KD_TRACEBACK"):
            traceback.print_exc()
        leave(2)


def leave(status):
    """Ends GDB at once, with what was printed."""
    gdb.execute("set confirm off")
    try:
        gdb.flush()
    except gdb.error:
        pass
    gdb.execute(f"quit {status}")
    os._exit(status)
