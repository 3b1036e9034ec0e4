"""One session of the debugger: what it looks at, its prompt, and how a line becomes commands."""

import os
import re
import sys
import traceback

import gdb

from kd.command import KdError, commands, first_line, split_words

WORD = re.compile(r"\s*([!.]?[a-zA-Z_][\w]*|~|\?)")


class Session:
    """What is being debugged."""

    def __init__(self):
        self.kind = "none"                  # "dump", "live"
        self.path = None                    # of the dump or the socket
        self.dump = None                    # what tools/dumpfile.py knows of it, or None
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
        if text[0] in "!.~":
            word = text.split()[0]
            print(f"kd: unknown command '{word}'; `help` lists the commands")
            return False
        return run_gdb(text)
    return commands[name].run(split_words(rest))


def find_command(text):
    """(name of our command, the rest of the line); (None, text) where there is none."""
    match = WORD.match(text)
    if match and match[1] in commands:
        rest = text[match.end():]
        if not rest or not (rest[0].isalnum() or rest[0] == "_") or match[1] in "~?":
            return match[1], rest
    return None, text


def run_gdb(text):
    """Runs a command of GDB's own."""
    try:
        gdb.execute(text, from_tty=True)
        return True
    except gdb.MemoryError as problem:
        from kd.command import memory_complaint
        print(f"kd: {memory_complaint(problem)}")
    except gdb.error as problem:
        print(f"kd: {first_line(problem)}" if str(problem) else "", end="\n" if str(problem) else "")
    except KeyboardInterrupt:
        print("kd: stopped by Ctrl-C")
    return False


def prompt():
    """"0: kd> ", with the number of the selected CPU."""
    try:
        from kd.processors import current_number
        return f"{current_number()}: kd> "
    except (KdError, gdb.error):
        return "kd> "


def interact():
    """Reads and runs lines until q or the end of the input."""
    while not session.wants_end:
        try:
            line = input(prompt())
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
