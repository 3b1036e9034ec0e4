"""Keeps the sessions in docs/ equal to what the debugger prints on the dump of a seeded run.

In a document, a part of the session is a comment followed by a fenced block that begins with a prompt and what is typed:

    <!-- kd [LINES] -->
    ```text
    1: kd> COMMANDS
    ...
    ```

What follows is what `tools/bugcheck kd` answers on the dump of `run paged --pvh --seed 1 --cpus 2 --mem 64`; with LINES, the
first ones only, and `...` for the rest. Every block of a document is typed into one and the same session, in their order; a
block of `tools/bugcheck kd` itself shows how it opens. Addresses and counts change with each change of the kernel: the check
takes any number of more than one digit for any other. --update writes what is printed now.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from host.paths import TOP
from machine.dumpdisk import keep_dump
from machine.emulators import Machine
from machine.process import Run

MARK = re.compile(r"^<!-- kd(?: (\d+))? -->$")
PROMPT = re.compile(r"^((?:\d+: )?kd> )", re.MULTILINE)
OPENING = "$ tools/bugcheck kd"
NUMBER = re.compile(r"(?:0x)?\b(?=[0-9a-fA-F`,]*\d)[0-9a-fA-F`,]{2,}\b|0x[0-9a-f]\b|\?{8}`\?{8}")
LIMIT = 120
COMPILER = "12"                                 # GCC, of the kernel that the documents show: Debian 12's
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


def ask(dump, lines):
    """Types the lines into one session: [(prompt, answer)], the first of them of how it opens, without a prompt."""
    done = subprocess.run([sys.executable, TOP / "tools/tool", "cli.kd", dump], capture_output=True, text=True, timeout=LIMIT,
                          input="".join(f"{line}\n" for line in lines) + "q\n")
    if done.returncode or done.stderr:
        sys.exit(f"sessions: kd failed:\n{done.stdout}{done.stderr}")
    opening, *parts = PROMPT.split(done.stdout)
    answers = [("", opening)] + list(zip(parts[::2], parts[1::2]))
    if len(answers) < len(lines) + 1:
        sys.exit(f"sessions: kd left after {len(answers) - 1} of {len(lines)} commands:\n{answers[-1][1]}")
    for line, (_, answer) in zip(lines, answers[1:]):
        if re.search(r"^kd: (?!paged out)", answer, re.MULTILINE):
            sys.exit(f"sessions: kd complains of `{line}`:\n{answer}")
    return answers


def shown(text, limit):
    """The lines of an answer, without the empty ones around it."""
    lines = [line.rstrip() for line in text.replace(f"{TOP}/", "").strip("\n").splitlines()]
    return lines[:limit] + [MORE] if limit and limit < len(lines) else lines


def masked(lines):
    """The lines without what changes with each change of the kernel."""
    return [re.sub(r" +", " ", NUMBER.sub("#", line)) for line in lines]


def blocks_of(lines):
    """[(first line, line behind the last, what is typed or None, most lines)] of the blocks of a document, without their fences."""
    found = []
    for number, line in enumerate(lines):
        mark = MARK.match(line)
        if not mark:
            continue
        if not lines[number + 1].startswith("```"):
            sys.exit(f"sessions: after {line} a fenced block must follow")
        start = number + 2
        end = next(at for at in range(start, len(lines)) if lines[at].startswith("```"))
        prompt = PROMPT.match(lines[start])
        if not prompt and lines[start] != OPENING:
            sys.exit(f"sessions: the block after {line} must begin with `{OPENING}`, or with a prompt and a command")
        found.append((start, end, lines[start][prompt.end():] if prompt else None, int(mark[1] or 0)))
    return found


def refresh(text, dump):
    """(the document as it should be, [what differs])."""
    lines, wrong = text.splitlines(), []
    blocks = blocks_of(lines)
    opening, *answers = ask(dump, [typed for _, _, typed, _ in blocks if typed is not None])
    fresh = []
    for _, _, typed, limit in blocks:
        prompt, answer = answers.pop(0) if typed is not None else opening
        fresh.append([f"{prompt}{typed}" if typed is not None else OPENING] + shown(answer, limit))
    for (start, end, typed, _), now in reversed(list(zip(blocks, fresh))):
        if masked(now) != masked(lines[start:end]):
            wrong.insert(0, typed or OPENING)
        lines[start:end] = now
    return "\n".join(lines) + "\n", wrong


def main(words):
    update = words == ["--update"]
    if words and not update:
        return "usage: tools/tool docs.sessions [--update]"
    problems = []
    with tempfile.TemporaryDirectory(prefix="bugcheck-sessions-") as folder:
        dump = make_dump(Path(folder))
        for path in sorted((TOP / "docs").rglob("*.md")):
            text = path.read_text()
            if not any(map(MARK.match, text.splitlines())):
                continue
            fresh, wrong = refresh(text, dump)
            if update:
                path.write_text(fresh)
            else:
                problems += [f"{path.relative_to(TOP)}: kd answers something else to `{typed}`; run: make docs" for typed in wrong]
    for problem in problems:
        print(f"sessions: {problem}", file=sys.stderr)
    return 1 if problems else 0
