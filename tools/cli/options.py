"""The common ground of the commands: a parser, notes for the user, the scenarios' names."""

import argparse
import subprocess
import sys

from host.paths import TOP, CannotRun


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line: what is wrong, and the hint; without a hint, all options that there are."""

    def __init__(self, prog, hint=None):
        super().__init__(prog=prog, add_help=False, allow_abbrev=False)
        self.hint = hint

    def error(self, message):
        options = " ".join(sorted(option for action in self._actions for option in action.option_strings
                                  if option.startswith("--") and action.help != argparse.SUPPRESS))
        raise CannotRun(f"{message}; {self.hint or f'the options are: {options}'}")


def whole(least, most):
    """A type for argparse: a whole number within bounds."""
    def convert(text):
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {least} to {most}")
        return int(text)
    return convert


def say(text):
    """A note for the user, beside the output."""
    print(f"bugcheck: {text}", file=sys.stderr, flush=True)


def scenarios():
    """The names of the scenarios."""
    lines = subprocess.run([TOP / "tools/scenarios"], capture_output=True, text=True, check=True).stdout
    return [line.split("\t")[0] for line in lines.splitlines()]
