"""Judges a driver: builds, boots, loads, watches it; the last line says how it ended.

The exit status is 0 completed, 1 failed or undecided, 2 unbuildable (or it could not be run), 3 bugcheck, 4 deadlock, 5 race.
tools/bugcheck calls this after it has seen to the packages; `tools/bugcheck help` explains the options. The kernel's half is
kernel/judge/judge.c: what it says on COM2, one JSON object a line, is put together here.
"""

import argparse
import contextlib
import hashlib
import json
import os
import re
import shutil
import sys

from build.driverbuild import Settings, Unbuildable, build, check_clients, make_archive, make_kernel
from cli.options import Parser, say, whole
from host.folderlock import alone_in
from host.paths import CannotRun, shown
from kd.model.statuses import status_name
from machine.dumpdisk import dump_line, forget_dump, keep_dump
from machine.emulators import DUMP_LEVELS, Machine, qemu_version
from machine.lastcrash import remember
from machine.process import Run, handle_signals, hang_report
from machine.volume import VolumeError, copy_out

EXITS = {"completed": 0, "failed": 1, "undecided": 1, "unbuildable": 2, "bugcheck": 3, "deadlock": 4, "race": 5}
WHERE = re.compile(r"(?P<module>[^!\s]+)(?:!(?P<function>[^+\s]+)(?:\+(?P<offset>0x[0-9a-fA-F]+))?)?"
                   r"(?: \((?P<file>[^():]+):(?P<line>\d+)\))?$")
VERIFIER_WORDS = re.compile(r"[a-z0-9][a-z0-9,=-]*\Z")
# As kernel/vf/verifier.c has them; or a mask.
VERIFIER_OPTIONS = "special-pool irql tracking deadlock lowres io misc standard all".split()
DEFAULT_SEED = 1
# An instruction takes 128 ns: what waits for the clock, or spins with `pause`, comes to its end in seconds of ours.
SEEDED_SHIFT = 7
# The watchdogs count each tick this many times, so that NT's two minutes at DISPATCH_LEVEL are two seconds. With real
# threads on a busy host a driver that works may need those two, mostly waiting for other CPUs: there it is twelve.
HASTE, FREE_RUNNING_HASTE = 60, 10
# A driver makes few accesses beside the kernel's millions: one in so many is watched, with interrupts off, which is slow.
RACE_EVERY, RACE_HASTE = 50, 4
FILES_SHOWN = 20
ANSWER_SECONDS = 10
LOCK_SECONDS = 240
# No machine that a driver is loaded on has just been started: it has been up for five minutes to an hour.
UPTIMES = range(300, 3601)


def parse(words):
    parser = Parser("tools/bugcheck driver")
    parser.add_argument("files", nargs="*", metavar="FILE")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--seed", type=whole(0, (1 << 63) - 1))
    ways.add_argument("--free-running", action="store_true")
    parser.add_argument("--cpus", type=whole(1, 64), default=4)
    parser.add_argument("--mem", type=whole(16, 1 << 16), default=256)
    parser.add_argument("--verifier", nargs="?", const="")
    parser.add_argument("--timeout", type=whole(1, 86400), default=300)
    parser.add_argument("--limit", type=whole(1, 86400))
    parser.add_argument("--uptime", type=whole(0, 365 * 86400))
    parser.add_argument("--with", dest="clients", action="append", default=[], metavar="CLIENT")
    parser.add_argument("-I", dest="includes", action="append", default=[], metavar="DIR")
    parser.add_argument("-D", dest="defines", action="append", default=[], metavar="NAME")
    parser.add_argument("--integritycheck", action="store_true")
    parser.add_argument("--unload", action="store_true")
    kernels = parser.add_mutually_exclusive_group()
    kernels.add_argument("--checked", dest="build", action="store_const", const="checked", default="free")
    kernels.add_argument("--races", dest="build", action="store_const", const="race")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--dump", choices=DUMP_LEVELS, default="full")
    parser.add_argument("--append", default="", help=argparse.SUPPRESS)
    parser.add_argument("--qemu", action="append", default=[], help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_intermixed_args(own_words(words))
    if not options.files:
        raise CannotRun("driver: which file? tools/bugcheck driver FILE...")
    for word in options.defines:
        if not re.match(r"[A-Za-z_]\w*(=.*)?\Z", word, re.S):
            raise CannotRun(f"-D {word}: it wants NAME or NAME=VALUE")
    if options.verifier and not VERIFIER_WORDS.match(options.verifier):
        raise CannotRun(f"--verifier={options.verifier}: the options are words with commas between them")
    for word in (options.verifier or "").split(","):
        if word and word not in VERIFIER_OPTIONS and not re.match(r"0x[0-9a-f]+\Z", word):
            raise CannotRun(f"--verifier={options.verifier}: no such option: '{word}'. Available options: "
                            f"{', '.join(VERIFIER_OPTIONS)}, or a mask such as 0x9")
    if options.seed is None and not options.free_running:
        options.seed = DEFAULT_SEED
    return options


def drawn_uptime(seed):
    """Seconds: the seed's, or any without a seed."""
    drawn = os.urandom(8) if seed is None else hashlib.sha256(f"uptime {seed}".encode()).digest()[:8]
    return UPTIMES[int.from_bytes(drawn, "little") % len(UPTIMES)]


def own_words(words):
    """A bare --verifier takes nothing from the word behind it, which is a file."""
    return ["--verifier=" if word == "--verifier" else word for word in words]


class Recorder:
    """The kernel's report on COM2, put together."""

    def __init__(self, live):
        self.live = live                        # whether to print as it comes
        self.output, self.said, self.waits, self.facts = [], [], [], {}
        self.at_line_start = True

    def line(self, text):
        try:
            data = json.loads(text)
        except ValueError:
            return
        if not isinstance(data, dict):
            return
        if "print" in data:
            self.output.append(data["print"])
            self.put(data["print"])
        elif "say" in data:
            self.said.append(data["say"])
            self.put_line(data["say"])
        elif "wait" in data:
            self.waits.append({**data["wait"], "stack": []})
        elif "wait+" in data and self.waits:
            self.waits[-1].update(data["wait+"])
        elif "frame" in data and self.waits:
            self.waits[-1]["stack"].append(data["frame"])
        elif "text" in data:
            self.facts.update(data)

    def put(self, text):
        if self.live and text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self.at_line_start = text.endswith("\n")

    def put_line(self, text):
        if self.live:
            self.put(("" if self.at_line_start else "\n") + text + "\n")


def machine_of(options, modules, folder, haste=None):
    haste = haste or (RACE_HASTE if options.build == "race" else FREE_RUNNING_HASTE if options.free_running else HASTE)
    words = [f"driver={','.join(module.name for module in modules)}", f"haste={haste}"]
    uptime = drawn_uptime(options.seed) if options.uptime is None else options.uptime
    words += [f"uptime={uptime}"]
    if options.free_running and options.uptime is None:
        say(f"the machine has been up for {uptime} s; --uptime {uptime} gives it the same again")
    words += ["unload"] if options.unload else []
    words += [f"limit={options.limit}"] if options.limit else []
    if options.verifier is not None:
        words.append(f"verifier={options.verifier}" if options.verifier else "verifier")
    words += [f"raceevery={RACE_EVERY}"] if options.build == "race" else []
    machine = Machine(way="pvh", build=options.build, cmdline=" ".join(words + [options.append]).strip(), cpus=options.cpus,
                      mem=options.mem, seed=options.seed, extra=tuple(options.qemu))
    machine.shift = SEEDED_SHIFT if options.seed is not None else 0
    machine.archive = make_archive(folder / "boot.cpio", machine.files() / "boot.cpio", modules)
    machine.volume = True
    machine.dump = None if options.dump == "none" else options.dump
    return machine


def left_files(folder):
    """[{"path", "bytes"}] of what the driver left on C:, copied to folder/C."""
    copies, image = folder / "C", folder / "volume.img"
    copies.mkdir()
    try:
        paths = copy_out(image, copies)
    except VolumeError as problem:
        say(f"C: cannot be read: {problem}")
        return []
    return [{"path": str(path.relative_to(copies)), "bytes": path.stat().st_size} for path in paths]


# ---- The result ----

def where_fields(where):
    """module, function, offset, file and line out of "secret!Store+0x31 (secret.c:42)"."""
    found = WHERE.match(where or "")
    fields = found.groupdict() if found else dict.fromkeys(("module", "function", "offset", "file", "line"))
    return {**fields, "line": int(fields["line"]) if fields["line"] else None}


def report_of(serial):
    """The short form of a bugcheck's report: from its first line to the end of the stack."""
    lines, inside = [], False
    for line in serial.splitlines():
        if line.startswith("*** STOP"):
            inside, lines = True, []
        elif inside and re.match(r"\W*The machine\b", line):
            break
        if inside:
            lines.append(line)
    return [line for line in lines if line.strip()]


def races_of(serial):
    """The lines about data races, which the race build alone prints (kernel/kd/racereport.c)."""
    return re.findall(r"^race: (.*)$", serial, re.M)


def judged(outcome, recorder, options):
    """The result as an object, without its files."""
    verdict = outcome.verdict or {}
    result = {"result": "undecided", "code": None, "name": None, "parameters": None, **where_fields(None), "where": None,
              "caller": None, "text": "", "status": None, "seed": options.seed, "cpus": options.cpus, "mem": options.mem,
              "build": options.build, "verifier": options.verifier,
              "output": "".join(recorder.output), "notes": recorder.said, "report": [], "waits": recorder.waits,
              "races": races_of(outcome.serial),
              "files": [], "guestSeconds": None}
    if verdict.get("end") == "bugcheck":
        result |= {"result": "bugcheck", "code": verdict["code"], "name": verdict["name"],
                   "parameters": [f"0x{int(text, 16):016X}" for text in verdict["p"]], "where": verdict.get("where"),
                   "caller": verdict.get("caller") or None, **where_fields(verdict.get("where")),
                   "report": report_of(outcome.serial)}
    elif verdict.get("end") in EXITS:
        facts = recorder.facts
        refused = re.search(rf"^ldr: {re.escape(facts.get('driver', ''))}\.sys: refused: (.*)$", outcome.serial, re.M)
        if verdict["end"] == "failed" and refused:
            facts["text"] = f"{facts['driver']}.sys: the loader refused it: {refused[1]}, {facts['status']}"
        if verdict["end"] == "failed" and "status" in facts:
            facts["text"] = facts["text"].replace(facts["status"], with_name(facts["status"]))
        result |= {"result": verdict["end"], "text": facts.get("text", ""), "status": facts.get("status"),
                   "guestSeconds": facts["guestMs"] / 1000 if "guestMs" in facts else None}
    elif outcome.ended != "limit":
        result["text"] = outcome.departure()
    if result["races"] and result["result"] in ("completed", "undecided"):
        result |= {"result": "race", "text": result["races"][0]}
    if outcome.seconds > options.timeout and result["result"] == "undecided":
        result["text"] = ": ".join([f"no end within {options.timeout} s"] + [result["text"]] * bool(result["text"]))
    return result


def with_name(text):
    """"0xC000009A (STATUS_INSUFFICIENT_RESOURCES)" of "0xC000009A"."""
    name = status_name(int(text, 16))
    return f"{text} ({name})" if name.startswith("STATUS_") else text


def result_line(result):
    """The last line of the output."""
    kind = result["result"]
    words = [f"result: {kind}"]
    if kind == "bugcheck":
        words.append(f"{result['code']} ({', '.join(result['parameters'])}) {result['name']}")
        words.append(f"in {result['where'] or 'unknown code'}")
        if result["caller"]:
            words.append(f"called from {result['caller']}")
    elif result["text"]:
        words.append(result["text"])
    if kind != "unbuildable":
        words.append(f"[seed {result['seed']}]" if result["seed"] is not None else "[free-running]")
    return " ".join(words)


def finish(result, options):
    """Prints the verdict in the form that was asked for; returns the exit status."""
    result["exit"] = EXITS[result["result"]]
    print(json.dumps(result, indent=2, ensure_ascii=False) if options.json else result_line(result), flush=True)
    return result["exit"]


def unbuildable(problem, options):
    if problem.details and not options.json:
        print(problem.details)
    return finish({"result": "unbuildable", "text": str(problem), "details": problem.details, "seed": None}, options)


def run_machine(machine, folder, options):
    """The result of one run; its output is printed as it comes, unless JSON was asked for."""
    recorder = Recorder(live=not options.json)
    with Run(machine, folder, on_channel=recorder.line) as run:
        outcome = run.wait(options.timeout)
        if outcome.ended == "left" and not outcome.serial.strip() and outcome.stderr.strip():
            raise CannotRun(f"QEMU could not start: {outcome.stderr.strip().splitlines()[0]}")
        if outcome.ended == "limit":
            outcome = told_how_far(run, outcome)
        if outcome.ended == "limit":
            for line in hang_report(run, options.timeout):
                recorder.said.append(line)
                recorder.put_line(line)
    if not recorder.at_line_start:
        recorder.put("\n")
    result = judged(outcome, recorder, options)
    for line in [f"race: {line}" for line in result["races"]] + result["report"]:
        recorder.put_line(line)
    return result


def told_how_far(run, outcome):
    """The outcome of a machine whose time is over: it may still say what the driver is at; if not, the outcome as it is."""
    with contextlib.suppress(CannotRun):
        return run.press_power_button(ANSWER_SECONDS)
    return outcome


def judge(options):
    if options.clients:
        check_clients(options.files, options.clients)
    qemu_version()
    make_kernel(options.build)
    with contextlib.ExitStack() as held:
        return judge_alone(options, lambda folder: held.enter_context(alone_in(folder, LOCK_SECONDS, say)))


def variant_of(options):
    """The options that the folder's name tells: a run under the verifier leaves another's dump and files alone."""
    return "-".join([options.build] * (options.build != "free") + ["verifier"] * (options.verifier is not None))


def judge_alone(options, enter):
    """enter(folder) returns when the folder is this run's alone."""
    settings = Settings(tuple(options.includes), tuple(options.defines), options.integritycheck, variant_of(options))
    modules = build([*options.files, *options.clients], options.build, enter=enter,
                    settings=settings)
    for difference in (text for module in modules for text in module.differences):
        say(difference)
    folder = modules[0].path.parent
    shutil.rmtree(folder / "C", ignore_errors=True)
    (folder / "volume.img").unlink(missing_ok=True)
    forget_dump(folder)
    machine = machine_of(options, modules, folder)
    result = run_machine(machine, folder, options)
    remember(machine, {"end": result["result"], "code": result["code"], "p": result["parameters"]})
    result["files"] = left_files(folder)
    if result["files"] and not options.json:
        print(f"files on C:, copied to {shown(folder / 'C')}/:")
        for file in result["files"][:FILES_SHOWN]:
            print(f"  {file['bytes']:>9}  {file['path']}")
        if len(result["files"]) > FILES_SHOWN:
            print(f"  and {len(result['files']) - FILES_SHOWN} more")
    kept = keep_dump(folder)
    result["dump"] = str(kept[0]) if kept else None
    if kept and not options.json:
        print(dump_line(*kept))
    result["drivers"] = [module.name for module in modules]
    (folder / "verdict.json").write_text(json.dumps(result) + "\n")
    return finish(result, options)


def main(words):
    options = parse(words)
    if options.check:
        return 0
    handle_signals()
    try:
        return judge(options)
    except Unbuildable as problem:
        return unbuildable(problem, options)
