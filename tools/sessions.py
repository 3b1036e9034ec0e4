#!/usr/bin/python3
"""Keeps what docs/ shows of the debugger equal to what the debugger prints: on the dump of a seeded run.

In a document, a session is a comment followed by a fenced block:

    <!-- kd [LINES] COMMANDS -->
    ```text
    ...
    ```

The block is what `tools/bugcheck kd -c COMMANDS` prints of the dump of `run paged --pvh --seed 1 --cpus 2 --mem 64`; with LINES, the
first ones only, and `...` for the rest. Addresses and counts change with each change of the kernel: the check takes
any number of more than one digit for any other. --update writes what is printed now.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from crashdump import keep_dump
from machine import TOP, Machine
from running import Run

MARK = re.compile(r"^<!-- kd (?:(\d+) )?(.+?) -->$")
NUMBER = re.compile(r"(?:0x)?\b(?=[0-9a-fA-F`,]*\d)[0-9a-fA-F`,]{2,}\b|0x[0-9a-f]\b|\?{8}`\?{8}")
LIMIT = 120
MORE = "..."


def make_dump(folder):
    """The dump of the run that the documents speak of."""
    with Run(Machine(cmdline="scenario=paged", cpus=2, mem=64, seed=1, dump="full"), folder) as run:
        outcome = run.wait(LIMIT)
    if not outcome.verdict or outcome.verdict["end"] != "bugcheck":
        sys.exit(f"sessions: the run did not crash: {outcome.verdict}")
    if keep_dump(folder) is None:
        sys.exit("sessions: the run left no dump")
    return folder / "crash.elf"


def ask(dump, commands):
    """What the debugger prints."""
    done = subprocess.run([sys.executable, TOP / "tools/kdrun.py", dump, "-c", commands], capture_output=True, text=True,
                          timeout=LIMIT, stdin=subprocess.DEVNULL)
    if done.returncode:
        sys.exit(f"sessions: kd -c '{commands}' failed:\n{done.stdout}{done.stderr}")
    return [line.rstrip() for line in done.stdout.splitlines()]


def shown(lines, limit):
    """The lines of a block."""
    while lines and not lines[0]:
        lines = lines[1:]
    while lines and not lines[-1]:
        lines = lines[:-1]
    lines = [line.replace(f"{TOP}/", "") for line in lines]
    return lines[:limit] + [MORE] if limit and limit < len(lines) else lines


def masked(lines):
    """The lines without what changes with each change of the kernel."""
    return [re.sub(r" +", " ", NUMBER.sub("#", line)) for line in lines]


def refresh(text, dump):
    """(the document as it should be, [what differs])."""
    lines, result, wrong, i = text.splitlines(), [], [], 0
    while i < len(lines):
        result.append(lines[i])
        mark = MARK.match(lines[i])
        i += 1
        if not mark:
            continue
        if i >= len(lines) or not lines[i].startswith("```"):
            sys.exit(f"sessions: after {mark[0]} a fenced block must follow")
        end = next(at for at in range(i + 1, len(lines)) if lines[at].startswith("```"))
        now = shown(ask(dump, mark[2]), int(mark[1] or 0))
        if masked(now) != masked(lines[i + 1:end]):
            wrong.append(mark[2])
        result += [lines[i], *now]
        i = end
    return "\n".join(result) + "\n", wrong


def main():
    update = sys.argv[1:] == ["--update"]
    if sys.argv[1:] and not update:
        sys.exit("usage: sessions.py [--update]")
    problems = []
    with tempfile.TemporaryDirectory(prefix="bugcheck-sessions-") as folder:
        dump = make_dump(Path(folder))
        for path in sorted((TOP / "docs").rglob("*.md")):
            text = path.read_text()
            if "\n<!-- kd " not in text:
                continue
            fresh, wrong = refresh(text, dump)
            if update and wrong:
                path.write_text(fresh)
            elif not update:
                problems += [f"{path.relative_to(TOP)}: kd prints something else for `{commands}`; run: make docs"
                             for commands in wrong]
    for problem in problems:
        print(f"sessions: {problem}", file=sys.stderr)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
