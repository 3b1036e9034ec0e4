"""The machines that the kernel runs on, as command lines of QEMU and Bochs.

Ways to boot: "pvh" (qemu -kernel, the quick one), "bios" and "uefi" (QEMU from the GRUB ISO), "bochs" (the same files
under a second, independent x86). A seed makes a pvh machine repeatable to the last instruction: one host thread, a
clock that counts instructions, and shared memory in place of the disk, because QEMU's disks answer at host time.
The kernel's text comes on COM1, its machine-readable lines on COM2; both are files in the run's folder.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from host.paths import OUT, TOP, CannotRun
from machine.volume import VolumeError, fresh_volume

OVMF = Path("/usr/share/OVMF")
QEMU = "qemu-system-x86_64"
SMALL_FIRMWARE = "../share/qemu/qboot.rom"      # beside QEMU
OLDEST_QEMU = (7, 2)
PAGE_FILE_BYTES = 64 << 20
SHARED_DISK_BYTES = 16 << 20
DUMP_MARK = b"BUGCHECK DUMP DISK\n"             # kernel/io/block.c looks for it
DUMP_LEVELS = ("full", "small", "none")
DUMP_GROWS_TO = 64 << 20                        # what a dump may need of the host's disk; the rest of it stays a hole
LARGEST_SHARED_DUMP = 256 << 20                 # kernel/drivers/block/ivshmem.c maps no more


@dataclass
class Machine:
    """The system to boot, and its machine; everything that changes the run, and nothing that only observes it."""
    way: str = "pvh"
    build: str = "checked"
    cmdline: str = ""
    cpus: int = 4
    mem: int = 256                              # MiB
    seed: int | None = None                     # a number makes the run repeatable
    disk: bool = True                           # without one the kernel keeps its page file in RAM
    volume: bool | Path = False                 # a disk for C:, fresh or this image; without one C: is in RAM
    dump: str | None = None                     # a disk for the crash dump, and how much goes onto it: "full", "small"
    leave: bool = True                          # QEMU has the port by which the kernel ends it
    display: str = "none"
    archive: Path | None = None                 # another boot archive than the build's own (pvh)
    shift: int = 0                              # a seeded instruction takes 2^shift ns
    extra: tuple = ()                           # further arguments of QEMU

    def files(self):
        return OUT / self.build

    def words(self):
        """The kernel's command line."""
        return " ".join(filter(None, [self.cmdline, f"seed={self.seed}" if self.seed is not None else "",
                                      f"shift={self.shift}" if self.shift else "",
                                      f"dump={self.dump}" if self.dump else ""]))


def qemu_version():
    """The version of the QEMU on the PATH as a tuple; CannotRun where there is none, or one too old."""
    try:
        text = subprocess.run([QEMU, "--version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.TimeoutExpired):
        raise CannotRun(f"no QEMU: {QEMU} is not on the PATH (Debian package qemu-system-x86)") from None
    found = re.search(r"version (\d+)\.(\d+)", text)
    version = tuple(map(int, found.groups())) if found else (0, 0)
    if version < OLDEST_QEMU:
        raise CannotRun("QEMU %d.%d is too old: " % version + "%d.%d or newer is needed; " % OLDEST_QEMU +
                        "the container has one: tools/bugcheck container run")
    return version


def make_disk(path, size, mark=b"", grows_to=None):
    """A fresh sparse image of zeros behind a mark; CannotRun where the disk has no room for what it may grow to."""
    grows_to = min(size, grows_to or size)
    try:
        path.unlink(missing_ok=True)
        if shutil.disk_usage(path.parent).free < grows_to:
            raise CannotRun(f"no space for {path}: it may grow to {grows_to >> 20} MiB")
        with open(path, "wb") as image:
            image.write(mark)
            image.truncate(size)
    except OSError as error:
        raise CannotRun(f"cannot make {path} of {size >> 20} MiB: {error.strerror}") from None


def make_snapshots(path, size):
    """A fresh qcow2 image of this size, the only kind that QEMU keeps snapshots in."""
    try:
        done = subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, size], capture_output=True, text=True, timeout=60)
    except FileNotFoundError:
        raise CannotRun("no qemu-img: Debian package qemu-utils is not installed") from None
    if done.returncode:
        raise CannotRun(f"no room for snapshots: {done.stderr.strip()}")


def volume_image(machine, folder):
    """The image of C: of a machine that has a disk for it."""
    return folder / "volume.img" if machine.volume is True else Path(machine.volume)


def volume_arguments(machine, folder):
    """QEMU's arguments for the disk of C:; a fresh volume is made in folder."""
    image = volume_image(machine, folder)
    try:
        if machine.volume is True:
            machine.files().mkdir(parents=True, exist_ok=True)
            fresh_volume(image, machine.files())
        size = image.stat().st_size
    except (OSError, VolumeError, subprocess.SubprocessError) as problem:
        raise CannotRun(f"no volume for C:: {problem}") from None
    if machine.seed is None:
        return ["-drive", f"if=none,id=volume,format=raw,file={image}",
                "-device", "virtio-blk-pci,drive=volume,disable-legacy=on"]
    if size & (size - 1):
        raise CannotRun(f"{image}: under a seed the volume's size must be a power of two, and it is {size} bytes")
    return ["-object", f"memory-backend-file,id=volume,share=on,mem-path={image},size={size}",
            "-device", "ivshmem-plain,memdev=volume,master=on"]


def dump_disk_bytes(machine):
    """Room for all of the kernel's memory; of a seeded machine, whose disks are memory that it maps, for the usual part."""
    if machine.seed is None:
        return (machine.mem + 64) << 20
    size = 64 << 20
    while size < min(machine.mem << 18, LARGEST_SHARED_DUMP):
        size *= 2
    return size


def dump_disk(machine, folder):
    """QEMU's arguments for the disk of the crash dump, made in folder."""
    image, size = folder / "dump.img", dump_disk_bytes(machine)
    make_disk(image, size, DUMP_MARK, DUMP_GROWS_TO)
    if machine.seed is None:
        return ["-drive", f"if=none,id=dump,format=raw,file={image}",
                "-device", "virtio-blk-pci,drive=dump,disable-legacy=on"]
    return ["-object", f"memory-backend-file,id=dump,share=on,mem-path={image},size={size}",
            "-device", "ivshmem-plain,memdev=dump,master=on"]


def cpu_model(machine):
    """The -cpu: all that the emulator has; under a counted clock without x2APIC, by whose rdmsr of the timer's count QEMU 10
    ends with "Bad icount read"."""
    counted = machine.seed is not None or "-icount" in machine.extra
    return "max,-x2apic" if counted else "max"


def firmware_arguments():
    """For a start without a boot loader: the firmware that does little, where QEMU has it. The usual one takes 60 million
    instructions, several times as many as the kernel's own start."""
    qemu = shutil.which(QEMU)
    small = Path(qemu).resolve().parent / SMALL_FIRMWARE if qemu else None
    return ["-bios", str(small.resolve())] if small and small.exists() else []


def qemu_arguments(machine, folder):
    """The whole command line of QEMU; makes the disk images and firmware variables it names in folder."""
    files, words = machine.files(), machine.words()
    # Without a CD there is no need of SATA, and under a counted clock the firmware's search of it takes a second.
    board = "q35,sata=off" if machine.way == "pvh" else "q35"
    line = [QEMU, "-machine", board, "-cpu", cpu_model(machine), "-m", f"{machine.mem}M", "-smp", str(machine.cpus),
            "-nodefaults", "-no-reboot", "-vga", "std", "-display", machine.display,
            "-serial", f"file:{folder}/serial.log", "-serial", f"file:{folder}/channel.log"]
    if machine.leave:
        line += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"]

    if machine.seed is None:
        line += ["-accel", "tcg"]
    elif machine.way == "pvh":
        line += ["-accel", "tcg,thread=single", "-icount", f"shift={machine.shift},sleep=off", "-seed", "1",
                 "-rtc", "base=2024-01-01T00:00:00,clock=vm"]
    else:
        raise CannotRun("a seed needs the pvh way: GRUB reads its ISO at host time, which is not repeatable")

    for name in ("pagefile.img", "shared.img"):     # beside a dump lies the page file of the same run
        (folder / name).unlink(missing_ok=True)
    if machine.disk and machine.seed is None:
        make_disk(folder / "pagefile.img", PAGE_FILE_BYTES)
        line += ["-drive", f"if=none,id=pagefile,format=raw,file={folder}/pagefile.img",
                 "-device", "virtio-blk-pci,drive=pagefile,disable-legacy=on"]
    elif machine.disk:
        make_disk(folder / "shared.img", SHARED_DISK_BYTES)
        line += ["-object", f"memory-backend-file,id=pm,share=on,mem-path={folder}/shared.img,"
                            f"size={SHARED_DISK_BYTES}", "-device", "ivshmem-plain,memdev=pm,master=on"]

    if machine.volume:
        line += volume_arguments(machine, folder)
    if machine.dump in ("full", "small"):
        line += dump_disk(machine, folder)

    if machine.way == "pvh":
        line += firmware_arguments() if machine.build != "core" else []     # it leaves PCI devices to a kernel that places them
        line += ["-kernel", str(files / "kernel.elf"), "-initrd", str(machine.archive or files / "boot.cpio"),
                 "-append", words]
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
cpu: model=corei7_icelake_u, count={cpus}:1:1, ips=5000000, reset_on_triple_fault=0
memory: guest={mem}, host={mem}
romimage: file=/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
vga: extension=none, update_freq=1, realtime=0
pci: enabled=1, chipset=i440fx
port_e9_hack: enabled=1
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
    files, folder = machine.files(), Path(os.path.relpath(folder))      # its configuration takes no space in a path
    subprocess.run([TOP / "tools/build/mkiso", "--cmdline", machine.words(),
                    files / "kernel.elf", files / "boot.cpio", folder / "bochs.iso"], check=True, timeout=60)
    (folder / "bochsrc").write_text(BOCHS_CONFIGURATION.format(folder=folder, cpus=machine.cpus, mem=machine.mem))
    (folder / "continue").write_text("c\n")     # Debian's Bochs starts in its debugger
    return ["bochs", "-q", "-f", str(folder / "bochsrc"), "-rc", str(folder / "continue")]


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
    line += [] if machine.dump == "full" else ["--dump", machine.dump or "none"]
    line += ["--volume", "new" if machine.volume is True else machine.volume] if machine.volume else []
    line += ["--test", chosen["test"]] if "test" in chosen else []
    line += [f"--append={others}"] if others else []
    line += [f"--qemu={argument}" for argument in machine.extra]
    return " ".join(quote(word) for word in line)
