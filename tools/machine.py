"""The machines the kernel runs on: builds the command line of each, runs it under a time limit, and always ends it.

    spec = Machine(way="bios", cmdline="scenario=paged", cpus=2)
    with Run(spec, folder) as run:
        outcome = run.wait(limit=30)
    outcome.verdict["code"]

Ways to boot: "pvh" (qemu -kernel, the quick one), "bios" and "uefi" (QEMU from the GRUB ISO), "bochs" (the same files
under a second, independent x86). A seed makes a pvh machine repeatable to the last instruction: one host thread, a
clock that counts instructions, and shared memory in place of the disk, because QEMU's disks answer at host time.
The kernel's text comes on COM1, its machine-readable lines on COM2; both are files in the run's folder.
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

TOP = Path(os.path.abspath(__file__)).parent.parent
OUT = Path(os.environ.get("OUT") or TOP / "build")
OVMF = Path("/usr/share/OVMF")
QEMU = "qemu-system-x86_64"
OLDEST_QEMU = (7, 2)
PAGE_FILE_BYTES = 64 << 20
SHARED_DISK_BYTES = 16 << 20
INTERRUPTS_ON = 0x200                           # EFLAGS.IF


class CannotRun(Exception):
    """The machine could not be started at all; the text is one line for the user."""


@dataclass
class Machine:
    """What to boot and on what; everything that changes the run, and nothing that only observes it."""
    way: str = "pvh"
    build: str = "checked"
    cmdline: str = ""
    cpus: int = 4
    mem: int = 256                              # MiB
    seed: int | None = None                     # a number makes the run repeatable
    disk: bool = True                           # without one the kernel keeps its page file in RAM
    leave: bool = True                          # QEMU has the port by which the kernel ends it
    display: str = "none"
    extra: tuple = ()                           # further arguments of QEMU

    def files(self):
        return OUT / self.build

    def words(self):
        """The kernel's command line."""
        return " ".join(filter(None, [self.cmdline, f"seed={self.seed}" if self.seed is not None else ""]))


def qemu_version():
    """The version of the QEMU on the PATH as a tuple; CannotRun where there is none, or one too old."""
    try:
        text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        raise CannotRun(f"no QEMU: {QEMU} is not on the PATH (Debian package qemu-system-x86)") from None
    found = re.search(r"version (\d+)\.(\d+)", text)
    version = tuple(map(int, found.groups())) if found else (0, 0)
    if version < OLDEST_QEMU:
        raise CannotRun("QEMU %d.%d is too old: " % version + "%d.%d or newer is needed" % OLDEST_QEMU)
    return version


def make_disk(path, size):
    """A fresh sparse image full of zeros; CannotRun where the disk has no room for all of it."""
    try:
        path.unlink(missing_ok=True)
        if shutil.disk_usage(path.parent).free < size:
            raise CannotRun(f"no space for {path}: it may grow to {size >> 20} MiB")
        with open(path, "wb") as image:
            image.truncate(size)
    except OSError as error:
        raise CannotRun(f"cannot make {path} of {size >> 20} MiB: {error.strerror}") from None


def qemu_arguments(machine, folder):
    """The whole command line of QEMU; makes the disk images and firmware variables it names in folder."""
    files, words = machine.files(), machine.words()
    # Without a CD there is no need of SATA, and under a counted clock the firmware's search of it takes a second.
    board = "q35,sata=off" if machine.way == "pvh" else "q35"
    line = [QEMU, "-machine", board, "-cpu", "max", "-m", f"{machine.mem}M", "-smp", str(machine.cpus),
            "-nodefaults", "-no-reboot", "-vga", "std", "-display", machine.display,
            "-serial", f"file:{folder}/serial.log", "-serial", f"file:{folder}/channel.log"]
    if machine.leave:
        line += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]

    if machine.seed is None:
        line += ["-accel", "tcg"]
    elif machine.way == "pvh":
        line += ["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-seed", "1",
                 "-rtc", "base=2024-01-01T00:00:00,clock=vm"]
    else:
        raise CannotRun("a seed needs the pvh way: GRUB reads its ISO at host time, which is not repeatable")

    if machine.disk and machine.seed is None:
        make_disk(folder / "pagefile.img", PAGE_FILE_BYTES)
        line += ["-drive", f"if=none,id=pagefile,format=raw,file={folder}/pagefile.img",
                 "-device", "virtio-blk-pci,drive=pagefile,disable-legacy=on"]
    elif machine.disk:
        make_disk(folder / "shared.img", SHARED_DISK_BYTES)
        line += ["-object", f"memory-backend-file,id=pm,share=on,mem-path={folder}/shared.img,"
                            f"size={SHARED_DISK_BYTES}", "-device", "ivshmem-plain,memdev=pm"]

    if machine.way == "pvh":
        line += ["-kernel", str(files / "kernel.elf"), "-initrd", str(files / "boot.cpio"), "-append", words]
    else:
        oem = f"bugcheck: {words}".replace(",", ",,")
        line += ["-cdrom", str(files / "bugcheck.iso"), "-smbios", f"type=11,value={oem}"]
    if machine.way == "uefi":
        if not (OVMF / "OVMF_CODE_4M.fd").exists():
            raise CannotRun("no UEFI firmware: Debian package ovmf is not installed")
        shutil.copyfile(OVMF / "OVMF_VARS_4M.fd", folder / "vars.fd")
        line += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd",
                 "-drive", f"if=pflash,format=raw,file={folder}/vars.fd"]
    return line + list(machine.extra)


BOCHS_CONFIGURATION = """\
display_library: term
config_interface: textconfig
cpu: model=corei7_icelake_u, count={cpus}:1:1, ips=20000000, reset_on_triple_fault=0
memory: guest={mem}, host={mem}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: extension=vbe, update_freq=1, realtime=0
pci: enabled=1, chipset=i440fx, slot1=pcivga
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=0, parallel=0, gameport=0
sound: driver=dummy, waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy
clock: sync=none, time0=1704067200
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={folder}/bochs.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev={folder}/serial.log
com2: enabled=1, mode=file, dev={folder}/channel.log
log: {folder}/bochs.log
panic: action=fatal
error: action=report
info: action=ignore
debug: action=ignore
"""


def bochs_arguments(machine, folder):
    """The command line of Bochs; makes its configuration and an ISO that holds the kernel's command line in folder."""
    if not shutil.which("bochs"):
        raise CannotRun("no Bochs: Debian packages bochs bochsbios vgabios bochs-term are not installed")
    files = machine.files()
    subprocess.run([TOP / "tools/mkiso", "--cmdline", machine.words(), "--text",
                    files / "kernel.elf", files / "boot.cpio", folder / "bochs.iso"], check=True, timeout=60)
    (folder / "bochsrc").write_text(BOCHS_CONFIGURATION.format(folder=folder, cpus=machine.cpus, mem=machine.mem))
    (folder / "continue").write_text("c\n")     # Debian's Bochs starts in its debugger
    return ["bochs", "-q", "-f", str(folder / "bochsrc"), "-rc", str(folder / "continue")]


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


class Run:
    """One machine, running. Leaving the `with` block ends it, whatever happened."""
    running = set()

    def __init__(self, machine, folder, on_line=None):
        self.machine, self.folder, self.on_line = machine, Path(folder).absolute(), on_line
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
            self.console, terminal = pty.openpty()
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

    def qmp(self, command, **arguments):
        """Asks QEMU one thing; returns its answer, or raises CannotRun."""
        try:
            with socket.socket(socket.AF_UNIX) as link:
                link.settimeout(20)
                link.connect(f"{self.sockets}/qmp")
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
            name = subprocess.run(["addr2line", "-fse", kernel, f"{place:x}"], capture_output=True, text=True, timeout=20)
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


def quote(word):
    """A word as a shell reads it back."""
    word = str(word)
    return word if re.fullmatch(r"[\w@%+=:,./-]+", word) else "'" + word.replace("'", "'\\''") + "'"


def repeat_command(machine):
    """The one command that repeats a run by hand."""
    words = machine.cmdline.split()
    chosen = {key: value for key, _, value in (word.partition("=") for word in words) if key in ("scenario", "test")}
    others = " ".join(word for word in words if not word.startswith(("scenario=", "test=")))
    line = ["tools/bugcheck", "run"] + ([chosen["scenario"]] if "scenario" in chosen else []) + ["--headless"]
    line += ["--build", machine.build] if machine.build != "checked" else []
    line += [f"--{machine.way}"]
    line += ["--cpus", str(machine.cpus)] if machine.cpus != 4 else []
    line += ["--mem", str(machine.mem)] if machine.mem != 256 else []
    line += ["--seed", str(machine.seed)] if machine.seed is not None else []
    line += [] if machine.disk else ["--no-disk"]
    line += ["--test", chosen["test"]] if "test" in chosen else []
    line += [f"--append={others}"] if others else []
    line += [f"--qemu={argument}" for argument in machine.extra]
    return " ".join(quote(word) for word in line)


def end_all(*_):
    for run in list(Run.running):
        run.end()


def end_on_signal(number, _):
    end_all()
    sys.exit(128 + number)


def handle_signals():
    """SIGTERM and SIGHUP end the machines too; SIGINT does by Python's own exception."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, end_on_signal)


atexit.register(end_all)
