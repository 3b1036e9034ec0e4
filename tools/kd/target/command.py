"""The command of the debugger: a function with a name, a line of help and a page of help.

Errors are one line.

    @command("!pool", "ADDRESS [FLAGS]", "the pool block that holds an address, and its page")
    def pool(arguments):
        \"\"\"The long help, which `help !pool` shows.\"\"\"

`!pool` is the name at the prompt; GDB itself gets the same command as `pool`. A command prints its answer, and raises
KdError where it has none. Numbers in its arguments go through kd.target.expression.evaluate().
"""

import inspect
import os
import shlex
import traceback

import gdb

# A name that GDB uses itself, where the arguments do not tell ours from its own, is another one there.
RENAMED = {"handle": "khandle", "trace": "ktrace"}


class KdError(Exception):
    """One line: what, where, what to do."""


class Command:
    """One command as registered."""

    def __init__(self, name, usage, summary, function):
        self.name, self.usage, self.summary, self.function = name, usage, summary, function

    def help(self):
        """The page that `help NAME` shows."""
        return f"{self.name} {self.usage}".rstrip() + f"\n    {self.summary}\n\n{inspect.getdoc(self.function) or ''}".rstrip()

    def run(self, arguments):
        """Runs it; returns whether it succeeded, and has then printed why not."""
        complaint = self.complaint(arguments)
        if complaint:
            print(complaint)
        return not complaint

    def complaint(self, arguments):
        """Runs it; what there is to complain of, or nothing."""
        try:
            self.function(arguments)
        except KdError as problem:
            return f"kd: {self.name}: {problem}"
        except gdb.MemoryError as problem:
            return f"kd: {self.name}: {memory_complaint(problem)}"
        except gdb.error as problem:
            return f"kd: {self.name}: {first_line(problem)}"
        except UnicodeDecodeError:          # GDB's own words with names from the machine's memory in them
            return f"kd: {self.name}: a text in the machine's memory is damaged"
        except KeyboardInterrupt:
            return f"kd: {self.name}: stopped by Ctrl-C"
        except BrokenPipeError:
            raise
        except RecursionError:
            return f"kd: internal error in {self.name}: it called itself too often"
        except Exception as problem:        # the last resort: a defect of ours must not end the session
            if os.environ.get("KD_TRACEBACK"):
                traceback.print_exc()
            return f"kd: internal error in {self.name}: {type(problem).__name__}: {first_line(problem)}"
        finally:
            for routine in afterwards:
                routine()
        return None


commands = {}                               # by the name at the prompt
# Added by the modules above this one, so that none of them is imported here.
afterwards = []                             # called when a command has ended
explanations = []                           # from an address that cannot be read to the KdError that says why


def as_word(path):
    """A path as one word of a command line of GDB's."""
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'


def first_line(problem):
    """The first line of what an exception says."""
    return (str(problem).splitlines() or [type(problem).__name__])[0]


def memory_complaint(problem):
    """GDB's complaint about memory, with the reason why it is not there."""
    words = first_line(problem).split()
    if words and words[-1].startswith("0x") and explanations:
        return str(explanations[0](int(words[-1], 16)))
    return first_line(problem)


def reason(problem):
    """Why something could not be had, in one line: a KdError, or an error of GDB's."""
    return memory_complaint(problem) if isinstance(problem, gdb.MemoryError) else first_line(problem)


class Overlay(gdb.Command):
    """A command of ours as GDB knows it."""

    def __init__(self, command_, name):
        self.command_ = command_
        self.__doc__ = command_.help()
        super().__init__(name, gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    def invoke(self, argument, from_tty):
        complaint = self.command_.complaint(split_words(argument))
        if complaint:
            raise gdb.GdbError(complaint)


def split_words(text):
    """The words of a line; quoted text is one word, an open quote is no error, and a backslash is what NT's paths are of."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
    try:
        return list(lexer)
    except ValueError:
        return text.split()


def command(name, usage, summary):
    """Registers the function below it as a command; kd.everything then makes GDB know it."""
    def register(function):
        commands[name] = Command(name, usage, summary, function)
        return function
    return register
