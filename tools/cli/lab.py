"""Gives out a lab: its handout and the files to begin with, in a folder of the student's.

`tools/bugcheck lab`                   the labs that there are
`tools/bugcheck lab start 03 FOLDER`   makes FOLDER with README.md, the starter's files, answers.json and lab.json

The folder holds no build and no Makefile: `tools/bugcheck grade` in it compiles its files and says what they are worth.
"""

import json
import shlex
import shutil
from pathlib import Path

from build import labs
from cli.options import Parser
from host.paths import TOP, CannotRun, shown

USAGE = "usage: tools/bugcheck lab [start NUMBER FOLDER]"
NOTE = "lab.json"


def parse(words):
    parser = Parser("tools/bugcheck lab", USAGE)
    parser.add_argument("action", nargs="?", choices=("start",))
    parser.add_argument("number", nargs="?")
    parser.add_argument("folder", nargs="?", type=Path)
    options = parser.parse_intermixed_args(words)
    if options.action and not options.folder:
        raise CannotRun(USAGE)
    return options


def started(folder):
    """The number of the lab that a folder was made for, or None."""
    try:
        return json.loads((folder / NOTE).read_text())["lab"]
    except (OSError, ValueError, KeyError, TypeError):
        return None


def listing():
    for one in labs.labs():
        print(f"{one.number}  {one.title} ({one.hours} hours): {', '.join(one.files)}")
    print("tools/bugcheck lab start NUMBER FOLDER gives you one; docs/labs/README.md tells of all")


def start(lab, folder):
    """Makes the folder; one that has something in it is left alone."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CannotRun(f"{folder} is there and is not empty: name a folder that is new")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in lab.files:
            shutil.copy(lab.starter() / name, folder / Path(name).name)
        shutil.copy(lab.handout(), folder / "README.md")
        blank = {str(number): "" for number, _ in enumerate(lab.questions, 1)}
        (folder / "answers.json").write_text(json.dumps(blank, indent=4) + "\n")
        (folder / NOTE).write_text(json.dumps({"lab": lab.number}) + "\n")
    except OSError as problem:
        raise CannotRun(f"{problem.filename}: {problem.strerror}") from None
    print(f"lab {lab.number}, {lab.title}: {shown(folder)}")
    print(f"  README.md          what to do ({lab.hours} hours)")
    for name in lab.files:
        print(f"  {Path(name).name:18} yours to write; it takes the place of {name}")
    print("  answers.json       your predictions: a letter for each question of the README")
    print(f"then: {shown(TOP / 'tools/bugcheck')} grade --quick {shlex.quote(str(shown(folder)))}")


def main(words):
    options = parse(words)
    if options.action is None:
        listing()
    else:
        start(labs.lab(options.number), options.folder)
    return 0
