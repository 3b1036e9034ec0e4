"""The first commands of a session: what happened, the stack, registers, memory, symbols."""

import shutil
import textwrap

from kd.target.command import KdError, command, commands
from kd.target.expression import evaluate
from kd.target.memory import grave, value_of
from kd.target.session import session

USAGE = 34                                      # columns for a command with its arguments


@command("q", "", "leaves the debugger")
def leave(arguments):
    """Ends the session. So does the end of the input (Ctrl-D)."""
    session.wants_end = True


@command("qq", "", "q")
def leave_too(arguments):
    """As q; so does qd."""
    session.wants_end = True


@command("help", "[COMMAND]", "every command with one line, or one command's page")
def show_help(arguments):
    """Without a name: every command. With one (`help !pool`): what it takes, what it prints."""
    if not arguments:
        for name in sorted(commands, key=lambda name: (name[0] == "!", name[0] == ".", name)):
            print_summary(commands[name])
        return
    found = commands.get(arguments[0]) or commands.get("!" + arguments[0])
    if found is None:
        raise KdError(f"there is no command '{arguments[0]}'; `help` lists them")
    print(found.help())


def print_summary(found):
    """A command's line, or lines where the terminal is narrow or the usage long."""
    usage = f"{found.name} {found.usage}".rstrip()
    if len(usage) > USAGE:
        print(usage)
        usage = ""
    wide = max(shutil.get_terminal_size((120, 50)).columns - 1, 2 * USAGE)
    print(textwrap.fill(found.summary, wide, initial_indent=f"{usage:{USAGE}} ", subsequent_indent=" " * (USAGE + 1)))


@command(".bugcheck", "", "the bugcheck's code and its four parameters")
def bugcheck(arguments):
    """The code as it was rewritten, and the four parameters, from KiBugCheckData."""
    data = value_of("KiBugCheckData")
    print(f"Bugcheck code {int(data[0]):08X}")
    print("Arguments " + " ".join(grave(int(data[index])) for index in range(1, 5)))


@command("?", "EXPRESSION", "the value of an expression")
def show_value(arguments):
    """Decimal, then hexadecimal."""
    value = evaluate(" ".join(arguments))
    print(f"Evaluate expression: {value - (value >> 63 << 64)} = {grave(value)}")
