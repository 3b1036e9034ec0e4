"""A machine that runs: started, watched on COM1 and COM2, and ended in every case.

    with Run(Machine(way="bios", cmdline="scenario=paged", cpus=2), folder) as run:
        outcome = run.wait(limit=30)
    outcome.verdict["code"]
"""

import atexit
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from host.paths import CannotRun
from host.toolchain import tool
from machine.emulators import Machine, bochs_arguments, qemu_arguments, quote

INTERRUPTS_ON = 0x200                           # EFLAGS.IF


@dataclass
class Outcome:
    """All that a run left behind."""
    machine: Machine
    folder: Path
    ended: str                                  # "left" by itself, "verdict" given, "halted" without one, "limit" reached
    status: int | None                          # of QEMU, where it left
    seconds: float
    serial: str                                 # COM1
    channel: str                                # COM2
    verdict: dict | None
    stderr: str
    times: list = field(default_factory=list)   # (seconds since the start of QEMU, line of COM1)

    def seconds_to(self, text):
        """When the first line of COM1 that contains text was seen, or None."""
        return next((when for when, line in self.times if text in line), None)

    def departure(self):
        """A sentence on a machine that ended without a verdict: whether the emulator failed, and what it last said."""
        spoken = [line for _, line in self.times if line.strip()] or ["(nothing on COM1)"]
        if self.status is not None and self.status < 0:
            return (f"QEMU itself was ended by {signal.Signals(-self.status).name}, which is not the kernel's doing: "
                    f"try again; the last line was: {spoken[-1]}")
        return f"the machine left without a verdict; the last line was: {spoken[-1]}"


class Tail:
    """Reads what is new in a growing file, in whole lines."""

    def __init__(self, path):
        self.path, self.file, self.rest = path, None, b""

    def lines(self):
        if self.file is None:
            try:
                self.file = open(self.path, "rb")
            except FileNotFoundError:
                return []
        whole, mark, self.rest = (self.rest + self.file.read()).rpartition(b"\n")
        return [clean(line) for line in whole.split(b"\n")] if mark else []

    def text(self):
        """The whole file so far."""
        try:
            return "\n".join(clean(line) for line in self.path.read_bytes().split(b"\n"))
        except FileNotFoundError:
            return ""

    def close(self):
        if self.file:
            self.file.close()


def clean(line):
    """A line without carriage return, and without the cursor movements that firmware writes."""
    return re.sub(r"\x1b\[[0-9;=?]*[A-Za-z]", "", line.decode("utf-8", "replace").rstrip("\r"))


def verdict_of(line):
    """The verdict that a line of COM2 is, or None."""
    start = line.find('{"end"')                 # firmware may have left a few characters before it
    try:
        return json.loads(line[start:]) if start >= 0 else None
    except ValueError:
        return None


def keep_to_one_cpu(process, worker=None):
    """Keeps a machine whose CPUs take turns in one thread to one CPU of the host, without preemption at wake-ups.

    Which one follows from worker, the number of the job that runs it among others, or else from the process that asks.

    QEMU wakes its other thread at each timer of the machine, and seeded CPUs change places by timers: across two CPUs of
    the host that costs more than the machine itself.
    """
    if not hasattr(os, "sched_setaffinity"):    # not Linux
        return
    if worker is None:
        worker = re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "")) or os.getpid()
    allowed = sorted(os.sched_getaffinity(0))
    try:
        os.sched_setaffinity(process, {allowed[int(worker) % len(allowed)]})
        os.sched_setscheduler(process, os.SCHED_BATCH, os.sched_param(0))
    except OSError:
        pass                                    # it has left already, or the host forbids it: slower, not other


class Run:
    """One machine, running. Leaving the `with` block ends it in any case."""
    running = set()

    def __init__(self, machine, folder, on_line=None, on_channel=None, worker=None):
        self.machine, self.folder, self.on_line = machine, Path(folder).absolute(), on_line
        self.worker = worker                    # of several jobs in one process, which one runs it
        self.on_channel = on_channel            # called with each line of COM2
        self.times, self.verdict, self.process = [], None, None
        self.console = None                     # Bochs draws on a terminal of its own
        self.sockets = tempfile.mkdtemp(prefix="bugcheck-")     # a short path: a socket's name has at most 107 bytes
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in ("serial.log", "channel.log", "stderr.log"):
            (self.folder / name).write_bytes(b"")
        self.serial = Tail(self.folder / "serial.log")
        self.channel = Tail(self.folder / "channel.log")

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def start(self):
        if self.machine.way == "bochs":
            line = bochs_arguments(self.machine, self.folder)
            try:
                self.console, terminal = pty.openpty()
            except OSError as error:
                raise CannotRun(f"Bochs needs a pseudo-terminal: {error.strerror or error}") from None
            os.set_blocking(self.console, False)
            channels = dict(stdin=terminal, stdout=terminal, stderr=terminal, env=dict(os.environ, TERM="linux"))
        else:
            line = qemu_arguments(self.machine, self.folder)
            line += ["-qmp", f"unix:{self.sockets}/qmp,server=on,wait=off"]
            terminal = None
            channels = dict(stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                            stderr=open(self.folder / "stderr.log", "wb"))
        # The kernel of the host ends the machine with us, even if we are killed outright.
        line = ["setpriv", "--pdeathsig", "KILL"] + line
        (self.folder / "command").write_text(" ".join(map(quote, line)) + "\n")
        self.started = time.monotonic()
        try:
            self.process = subprocess.Popen(line, **channels, start_new_session=True)
        except OSError as error:
            raise CannotRun(f"cannot start {line[0]}: {error.strerror}") from None
        finally:
            if terminal is None:
                channels["stderr"].close()
            else:
                os.close(terminal)
        Run.running.add(self)
        if self.machine.seed is not None:
            keep_to_one_cpu(self.process.pid, self.worker)

    def end(self):
        """Kills the machine if it still runs; may be called more than once."""
        Run.running.discard(self)
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        if self.console is not None:
            os.close(self.console)
            self.console = None
        self.serial.close()
        self.channel.close()
        shutil.rmtree(self.sockets, ignore_errors=True)

    def poll(self):
        """Takes in what the machine has said since the last call."""
        if self.console is not None:
            try:
                os.read(self.console, 1 << 16)
            except OSError:
                pass                            # nothing drawn, or the terminal closed with Bochs
        now = time.monotonic() - self.started
        for line in self.serial.lines():
            self.times.append((now, line))
            if self.on_line:
                self.on_line(line)
        for line in self.channel.lines():
            if self.on_channel:
                self.on_channel(line)
            self.verdict = verdict_of(line) or self.verdict

    def wait(self, limit, until_verdict=None):
        """Waits until the machine leaves, or has given its verdict if until_verdict, or the limit in seconds is over.

        By default a machine without a port to leave by is waited for until its verdict.
        """
        if until_verdict is None:
            until_verdict = not self.machine.leave
        ended, looked = "limit", time.monotonic()
        while limit is None or time.monotonic() - self.started < limit:
            status = self.process.poll()
            self.poll()
            if status is not None:
                self.verdict = self.verdict or verdict_of(self.channel.rest.decode("utf-8", "replace"))
                ended = "left"
                break
            if self.verdict and until_verdict:
                ended = "verdict"
                break
            if until_verdict and time.monotonic() - looked > 2:
                looked = time.monotonic()
                if self.is_dead():
                    ended = "halted"
                    break
            time.sleep(0.002 if time.monotonic() - self.started < 2 else 0.02)
        return self.outcome(ended)

    def outcome(self, ended):
        return Outcome(self.machine, self.folder, ended, self.process.poll(), time.monotonic() - self.started,
                       self.serial.text(), self.channel.text(), self.verdict,
                       Tail(self.folder / "stderr.log").text(), self.times)

    def press_power_button(self, seconds):
        """Asks a judged kernel for its verdict as it stands; waits for that a while longer."""
        self.qmp("system_powerdown")
        return self.wait(time.monotonic() - self.started + seconds)

    def wait_for_debugger(self, link, limit=60):
        """Waits until QEMU's GDB server listens on the socket `link`; CannotRun says why it does not."""
        deadline = time.monotonic() + limit
        while not link.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise CannotRun(f"QEMU could not start: {self.outcome('left').stderr.strip() or f'no answer in {limit} s'}")
            self.poll()
            time.sleep(0.005)
        self.qmp("query-status")                # what answers has made all its sockets

    def connect(self, link, limit=20):
        """Connects to QMP; a QEMU that has just been started may not listen yet."""
        deadline = time.monotonic() + limit
        while True:
            try:
                return link.connect(f"{self.sockets}/qmp")
            except (FileNotFoundError, ConnectionRefusedError):
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
            time.sleep(0.005)

    def qmp(self, command, **arguments):
        """Asks QEMU one thing; returns its answer, or raises CannotRun."""
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(20)
                self.connect(link)
                stream = link.makefile("rw")
                stream.readline()               # the greeting
                for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(request) + "\n")
                    stream.flush()
                    answer = json.loads(stream.readline())
                    while "event" in answer:
                        answer = json.loads(stream.readline())
        except (OSError, ValueError) as error:
            raise CannotRun(f"QEMU does not answer {command}: {error}") from None
        if "error" in answer:
            raise CannotRun(f"QEMU refuses {command}: {answer['error']['desc']}")
        return answer["return"]

    def screendump(self, path):
        """Writes what the screen shows, as a PNG."""
        self.qmp("screendump", filename=str(Path(path).absolute()), format="png")

    def is_dead(self):
        """Whether every CPU is halted with its interrupts off: a kernel that gave up before it could say so on COM2."""
        if self.machine.way == "bochs":
            return False
        try:
            states = self.states()
        except CannotRun:
            return False                        # it has just left
        self.poll()
        return not self.verdict and all(halted and not flags & INTERRUPTS_ON for _, flags, halted in states)

    def where(self):
        """For each CPU, a line: the function it is in, and its IRQL."""
        kernel, lines = self.machine.files() / "kernel.elf", []
        for number, (place, _, halted) in enumerate(self.states()):
            name = subprocess.run([tool("addr2line"), "-fse", kernel, f"{place:x}"], capture_output=True, text=True, timeout=20)
            priority = re.search(r"TPR 0x([0-9a-f]+)", self.monitor(f"info lapic {number}"))
            lines.append(f"CPU {number}: {'halted' if halted else 'running'} at {place:#x} {' '.join(name.stdout.split())}"
                         + (f", IRQL {int(priority[1], 16) >> 4}" if priority else ""))
        return lines

    def monitor(self, command):
        """The text of one command of QEMU's monitor."""
        return self.qmp("human-monitor-command", **{"command-line": command})

    def states(self):
        """For each CPU: the address it is at, its flags, and whether it is halted."""
        found = re.findall(r"IP=([0-9a-f]+) [ER]FL=([0-9a-f]+).* HLT=([01])", self.monitor("info registers -a"))
        return [(int(place, 16), int(flags, 16), halted == "1") for place, flags, halted in found]


def hang_report(run, limit):
    """Lines that say where a machine was when its time was over."""
    spoken = [line for _, line in run.times if line.strip()]
    lines = [f"no end after {limit:g} s; the last line on COM1 was: {spoken[-1] if spoken else '(none at all)'}"]
    try:
        lines += run.where()
    except (CannotRun, OSError, subprocess.TimeoutExpired):
        lines.append("the machine does not say where its CPUs are")
    return lines


def end_all():
    for run in list(Run.running):
        run.end()


def leave_on_signal(number, _):
    sys.exit(128 + number)                      # the `with` blocks and atexit end the machines; here it may wait for one


def handle_signals():
    """SIGTERM and SIGHUP end the machines too; SIGINT does by Python's own exception."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, leave_on_signal)


atexit.register(end_all)
