"""The front door: what it says when something is wrong, what it leaves when all is well, and that it does nothing twice."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pexpect
import pytest

import conftest
from build import driverbuild
from cli import hosts, run
from conftest import ensure_built
from host import make as maker
from host.folderlock import alone_in
from host.paths import OUT, TOP, CannotRun
from machine import emulators
from machine.emulators import Machine, repeat_command

BUGCHECK = str(TOP / "tools/bugcheck")


@pytest.fixture
def shell(tmp_path):
    """shell(words..., **environment) runs a command without terminal and display."""
    def runner(*words, **environment):
        clean = {key: value for key, value in os.environ.items() if key not in ("DISPLAY", "WAYLAND_DISPLAY", "CROSS")}
        return subprocess.run(words, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
                              cwd=TOP, env=clean | {key: str(value) for key, value in environment.items()})
    return runner


@pytest.fixture
def own_output(tmp_path, build):
    """An output folder of the test's own that shares the builds: runs there disturb no others."""
    ensure_built("step")                        # what gdb and step take
    for name in (*build, "step"):
        (tmp_path / name).symlink_to(OUT / name)
    return tmp_path


def path_with(folder, *commands, without=()):
    """A folder for PATH that holds links to the host's usual commands, less some, plus scripts of (name, text)."""
    folder.mkdir()
    for place in ("/usr/bin", "/bin", "/usr/sbin"):
        for command in Path(place).iterdir():
            if command.name not in without and not os.path.lexists(folder / command.name):
                (folder / command.name).symlink_to(command)
    for name, text in commands:
        (folder / name).unlink(missing_ok=True)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    return folder


def assert_one_line(done, *words):
    """The command could not run, and said so in one line that holds these words."""
    assert done.returncode == 2, done
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("bugcheck: "), done.stderr
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize("command", ("run", "gdb"))
def test_an_unknown_scenario_is_answered_with_the_list(shell, command):
    names = [line.split()[0] for line in shell(BUGCHECK, "list").stdout.splitlines()]
    assert "story" in names and "paged" in names and len(names) >= 13
    assert_one_line(shell(BUGCHECK, command, "nonsense"), "unknown scenario 'nonsense'", *names)


def test_an_unknown_option_is_answered_with_the_list(shell):
    assert_one_line(shell(BUGCHECK, "run", "--nonsense"), "--nonsense", "--headless", "--seed", "--uefi", "--free")


@pytest.mark.parametrize("words", (("paged", "--headless"), ("--headless", "paged"), ("--cpus", "2", "paged", "--mem", "64")))
def test_the_scenario_may_stand_anywhere_among_the_options(words):
    assert run.machine_of(run.parse(["run", *words])).cmdline == "scenario=paged"


def test_an_unknown_option_of_the_tests_is_refused(shell):
    done = shell(BUGCHECK, "test", "--nonsense")
    assert done.returncode == 2
    assert "--nonsense" in done.stderr and done.stderr.endswith("tools/bugcheck test --help lists the options\n")


def test_a_file_that_is_none_of_the_tests_is_told_before_anything_is_built(shell, tmp_path):
    done = shell(BUGCHECK, "test", "tests/nonsense.py::test", OUT=tmp_path)
    assert done.returncode == 2 and "there is no tests/nonsense.py::test" in done.stderr, done.stderr
    assert not list(tmp_path.glob("*/obj"))


def test_an_unknown_group_of_packages_is_answered_with_the_list(shell):
    assert_one_line(shell(BUGCHECK, "install", "nonsense"), "nonsense", "the groups are: gdb hosts iso models rewind run test uefi window")


def test_an_unknown_command_is_answered_with_the_list(shell):
    assert_one_line(shell(BUGCHECK, "nonsense"), "nonsense", "run", "test", "gdb", "list", "doctor", "help")


@pytest.mark.parametrize("words", (("--cpus", "many"), ("--cpus", "0"), ("--cpus",), ("--mem", "-3"), ("--seed", "x"),
                                   ("--build", "nonsense"), ("--uefi", "--pvh"), ("paged", "resident"),
                                   ("--seed", "3", "--uefi")))
def test_a_wrong_value_is_refused(shell, words):
    assert_one_line(shell(BUGCHECK, "run", *words))


def test_help_names_every_option(shell):
    text = shell(BUGCHECK, "help").stdout
    refused = shell(BUGCHECK, "run", "--nonsense").stderr
    for option in refused.split("the options are: ")[1].split():
        assert option in text, option


def test_a_missing_package_is_named_with_the_command_where_nobody_may_install(shell, tmp_path):
    path = path_with(tmp_path / "bin", ("id", "#!/bin/sh\necho 1000\n"), ("sudo", "#!/bin/sh\nexit 1\n"),
                     without=("nasm", "xorriso"))
    assert_one_line(shell(BUGCHECK, "run", "--headless", PATH=path),
                    "sudo apt-get install -y --no-install-recommends nasm xorriso")


def test_a_missing_package_is_installed_by_root(shell, tmp_path):
    log = tmp_path / "log"
    path = path_with(tmp_path / "bin", ("id", "#!/bin/sh\necho 0\n"), ("apt-get", f'#!/bin/sh\necho "$*" >>{log}\n'),
                     without=("nasm",))
    done = shell(BUGCHECK, "run", "--headless", PATH=path)
    assert done.returncode == 2 and "still missing after apt-get: nasm" in done.stderr
    assert log.read_text().splitlines()[-1].split()[-1] == "nasm"
    assert "install -y" in log.read_text()


def test_a_missing_package_is_installed_through_sudo_if_it_asks_nothing(shell, tmp_path):
    log = tmp_path / "log"
    path = path_with(tmp_path / "bin", ("id", "#!/bin/sh\necho 1000\n"), ("sudo", f'#!/bin/sh\necho "$*" >>{log}\n'),
                     without=("nasm",))
    assert shell(BUGCHECK, "run", "--headless", PATH=path).returncode == 2
    assert "apt-get" in log.read_text() and "nasm" in log.read_text()


def test_a_failing_apt_get_is_reported(shell, tmp_path):
    path = path_with(tmp_path / "bin", ("id", "#!/bin/sh\necho 0\n"), ("apt-get", "#!/bin/sh\nexit 100\n"),
                     without=("nasm",))
    done = shell(BUGCHECK, "run", "--headless", PATH=path)
    assert done.returncode == 2 and "apt-get failed" in done.stderr.splitlines()[-1]


APT = """#!/bin/sh
echo "$*" >>LOG
[ "$(grep -c "$2" LOG)" -gt TIMES ] && exit 100
echo "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 4711 (unattended-upgr)" >&2
exit 100
"""


@pytest.mark.parametrize("times,words", ((1, ("waiting for it", "apt-get failed")), (1000, ("is still held by", "try again"))))
def test_the_lock_of_apt_is_waited_for(shell, tmp_path, times, words):
    """Another user's apt-get: it is named once, waited for, and not for longer than the limit."""
    script = APT.replace("LOG", str(tmp_path / "log")).replace("TIMES", str(times))
    path = path_with(tmp_path / "bin", ("id", "#!/bin/sh\necho 0\n"), ("apt-get", script), without=("nasm",))
    done = shell(BUGCHECK, "run", "--headless", PATH=path, BUGCHECK_APT_SECONDS=3)
    assert done.returncode == 2
    assert done.stderr.count("held by process 4711 (unattended-upgr): waiting") == (2 if times == 1 else 1), done.stderr
    for word in words:
        assert word in done.stderr


@pytest.mark.parametrize("manager,install,names", (
    ("dnf", "dnf install", "gcc-c++ grub2-tools grub2-pc-modules grub2-efi-x64-modules xorriso"),
    ("pacman", "pacman -S --needed", "gcc grub libisoburn"),
    ("zypper", "zypper install", "gcc-c++ grub2 grub2-i386-pc grub2-x86_64-efi xorriso")))
def test_without_apt_the_packages_have_this_systems_names(shell, tmp_path, manager, install, names):
    path = path_with(tmp_path / "bin", (manager, "#!/bin/sh\nexit 1\n"), without=("apt-get", "g++", "xorriso", "grub-mkimage"))
    only_some = [name for name in names.split() if name not in ("grub2-pc-modules", "grub2-efi-x64-modules", "grub2-i386-pc",
                                                                "grub2-x86_64-efi")]     # their files are there
    assert_one_line(shell(BUGCHECK, "run", "--headless", PATH=path), f"sudo {install} {' '.join(only_some)}; ",
                    "or use the container: tools/bugcheck container run")


def test_every_package_that_run_and_the_debuggers_need_has_a_name_elsewhere():
    rows = [line.split() for line in (TOP / "tools/packages.elsewhere").read_text().splitlines() if not line.startswith("#")]
    assert {len(row) for row in rows} == {4}
    wanted = {row[1] for row in packages() if not {"test", "uefi", "hosts"} & {*row[0].split(",")}}
    assert {row[0] for row in rows[1:]} == wanted


def packages():
    """The rows of tools/packages: groups, package, what is looked for, use."""
    return [line.split(maxsplit=3) for line in (TOP / "tools/packages").read_text().splitlines() if not line.startswith("#")]


def test_pvh_needs_no_boot_loader(shell, tmp_path, own_output):
    """Neither GRUB nor xorriso is asked for, and no ISO is made."""
    path = path_with(tmp_path / "bin", without=("grub-mkimage", "xorriso", "apt-get"))
    done = shell(BUGCHECK, "run", "resident", "--pvh", "--headless", PATH=path, OUT=own_output)
    assert done.returncode == 0, done.stderr
    assert "next: tools/bugcheck run paged" in done.stderr       # a scenario that completes says how to go on
    assert_one_line(shell(BUGCHECK, "run", "resident", "--headless", PATH=path, OUT=own_output), "grub-common", "xorriso",
                    "or boot without GRUB: --pvh")


def test_grubs_tool_may_be_called_grub2(build, tmp_path):
    """As Fedora and openSUSE call it."""
    path = path_with(tmp_path / "bin", ("grub2-mkimage", f"#!/bin/sh\nexec {shutil.which('grub-mkimage')} \"$@\"\n"),
                     without=("grub-mkimage",))
    for name, environment in (("a.iso", {}), ("b.iso", {"PATH": str(path)})):
        subprocess.run([TOP / "tools/build/mkiso", build["checked"] / "kernel.elf", build["checked"] / "boot.cpio", tmp_path / name],
                       check=True, timeout=60, env=os.environ | environment)
    assert (tmp_path / "a.iso").read_bytes() == (tmp_path / "b.iso").read_bytes()


def test_another_system_is_sent_to_the_container(shell, tmp_path):
    path = path_with(tmp_path / "bin", ("uname", "#!/bin/sh\necho Darwin\n"))
    for words in (("run",), ("driver", "x.c"), ("test",)):
        assert_one_line(shell(BUGCHECK, *words, PATH=path), "macOS", "brew install podman", "tools/bugcheck container run")
    assert shell(BUGCHECK, "list", PATH=path).returncode == 0


ARM = ("uname", '#!/bin/sh\n[ "$1" = -m ] && echo aarch64 || exec /bin/uname "$@"\n')
NATIVE = ("gcc", "g++", "cc", "ld", "objcopy", "nm", "addr2line", "readelf", "strip", "c++filt", "size", "gdb")


def test_another_cpu_gets_cross_tools(shell, tmp_path):
    """On an ARM: install asks for the compiler for x86-64 and for a GDB that knows it, not for GRUB; doctor and install say so."""
    log = tmp_path / "log"
    prefixed = [f"x86_64-linux-gnu-{name}" for name in NATIVE]
    path = path_with(tmp_path / "bin", ARM, ("id", "#!/bin/sh\necho 0\n"), ("apt-get", f'#!/bin/sh\necho "$*" >>{log}\n'),
                     without=(*prefixed, "gdb-multiarch", "grub-mkimage"))
    done = shell(BUGCHECK, "install", PATH=path)
    wanted = "gcc-x86-64-linux-gnu g++-x86-64-linux-gnu binutils-x86-64-linux-gnu gdb-multiarch"
    assert done.returncode == 2 and log.read_text().splitlines()[-1].endswith(f"--no-install-recommends {wanted}")
    assert done.stderr.count("aarch64 compiles with x86_64-linux-gnu-gcc") == 1
    assert re.search(r"^host +aarch64: .*x86_64-linux-gnu-gcc", shell(TOP / "tools/host/doctor", PATH=path).stdout, re.M)
    assert_one_line(shell(BUGCHECK, "test", PATH=path), "this is aarch64", "tools/bugcheck container test")
    assert "aarch64" not in shell(TOP / "tools/host/doctor").stdout


def test_all_is_made_by_the_cross_tools(shell, tmp_path, own_output):
    """Without the host's own compiler and binutils: a driver is built, linked, loaded and named; make starts no other tools. What a
    driver does not need is looked for in the text; QEMU's plugins and spin's verifiers are the host's."""
    bare = {path.name: found for path in sorted((TOP / "tools").rglob("*.py"))
            if (found := [name for name in NATIVE[:-1] if f'["{name}"' in path.read_text()])}
    assert bare == dict.fromkeys(("models.py", "rewind.py", "schedule.py"), ["gcc"])
    if not shutil.which("x86_64-linux-gnu-gcc"):
        pytest.skip("there is no x86_64-linux-gnu-gcc")
    path, cross = path_with(tmp_path / "bin", ARM, without=NATIVE), "x86_64-linux-gnu-"
    made = shell("make", "-n", "-B", f"OUT={tmp_path / 'new'}", "kernel", "drivers", PATH=path).stdout
    first = {line.split()[0] for line in made.splitlines() if line.strip()}
    assert {cross + "gcc", cross + "g++", cross + "ld", cross + "objcopy"} <= first and not first & set(NATIVE), first
    source = tmp_path / "crossed.cc"
    source.write_text("#include <ntddk.h>\nstatic void Touch(volatile int *Where) {\n    *Where = 1;\n}\n"
                      'extern "C" NTSTATUS DriverEntry(PDRIVER_OBJECT, PUNICODE_STRING) {\n    Touch(nullptr);\n    return 0;\n}\n')
    done = shell(sys.executable, TOP / "tools/tool", "cli.driver", source, "--cpus", "1", PATH=path, OUT=own_output, CROSS=cross)
    assert done.returncode == 3 and "in crossed!Touch" in done.stdout.splitlines()[-1], done.stdout[-2000:] + done.stderr[-2000:]


def test_an_old_python_is_told_before_a_tool_is_read_by_it(shell, tmp_path):
    """macOS' Python 3.9 cannot even read the tools."""
    launcher = (TOP / "tools/bugcheck").read_text()
    for name in ("tools", "kernel"):
        (tmp_path / name).symlink_to(TOP / name)
    (tmp_path / "here").mkdir()
    old = tmp_path / "here/python3"
    old.write_text('#!/bin/sh\ncase "$*" in *exit*) exit 1 ;; *version_info*) echo 3.9 ;; *) exit 99 ;; esac\n')
    old.chmod(0o755)
    path = path_with(tmp_path / "bin", ("python3", old.read_text()))
    other = tmp_path / "own/tools"
    other.mkdir(parents=True)
    for file in (TOP / "tools").iterdir():
        (other / file.name).symlink_to(file)
    (other / "bugcheck").unlink()
    (other / "bugcheck").write_text(launcher.replace("/usr/bin/python3", str(old)))
    (other / "bugcheck").chmod(0o755)
    for words in (("run",), ("kd",), ("step", "dpc")):
        assert_one_line(shell(other / "bugcheck", *words, PATH=path), "Python 3.10 or newer is needed", "python3 is 3.9;", "container")


ENGINE = """#!/bin/sh
for word in "$@"; do printf "%s|" "$word"; done >>LOG
echo >>LOG
case $1 in image) [ -e LOG.built ] ;; build) touch LOG.built ;; info) exit INFO ;; esac
"""


@pytest.mark.parametrize("name", ("podman", "docker"))
def test_the_container_is_built_once_and_entered(shell, tmp_path, name):
    log = tmp_path / "log"
    script = ENGINE.replace("LOG", str(log)).replace("INFO", "0")
    path = path_with(tmp_path / "bin", (name, script), without=("podman", "docker"))
    recipe = shell("sh", "-c", "cat .devcontainer/Containerfile tools/packages | cksum").stdout.split()[0]     # another: another image
    for words, ran in (((), ["bash"]), (("run", "paged"), ["tools/bugcheck", "run", "paged"]), (("make", "-h"), ["make", "-h"])):
        done = shell(BUGCHECK, "container", *words, PATH=path)
        assert done.returncode == 0, done.stderr
        line = log.read_text().splitlines()[-1].split("|")
        assert line[0] == "run" and line[-len(ran) - 1:-1] == ran and f"{TOP}:{TOP}" in line and "-t" not in line
        assert ("--user" in line) == (name == "docker") and f"localhost/bugcheck:{recipe}" in line
    assert log.read_text().count("build|") == 1


def test_without_podman_and_docker_one_line_says_so(shell, tmp_path):
    path = path_with(tmp_path / "none", without=("podman", "docker"))
    assert_one_line(shell(BUGCHECK, "container", PATH=path), "no podman and no docker")
    path = path_with(tmp_path / "broken", ("docker", "#!/bin/sh\nexit 1\n"), without=("podman", "docker"))
    assert_one_line(shell(BUGCHECK, "container", PATH=path), "docker cannot be used here: `docker info` says why")


def test_the_container_itself(shell):
    """Where podman is, and the base image or a network to get it: builds the image and runs a machine in it."""
    base = re.search(r"^FROM (\S+)$", (TOP / ".devcontainer/Containerfile").read_text(), re.M)[1]
    if not shutil.which("podman"):
        pytest.skip("podman is not installed")
    if subprocess.run(["podman", "image", "exists", base], timeout=60).returncode:
        pytest.skip(f"podman has no {base}: podman pull {base}")
    tried = subprocess.run(["podman", "run", "--rm", base, "true"], capture_output=True, text=True, timeout=60)
    if tried.returncode:
        pytest.skip(f"podman runs no container here: {tried.stderr.strip()[-200:]}")
    done = shell(BUGCHECK, "container", "run", "paged", "--pvh", "--headless")
    assert done.returncode == 0 and "paged ended with: bugcheck 0x000000D1" in done.stderr, done.stderr[-2000:]


@pytest.mark.parametrize("command", ("run", "driver", "gdb", "kd", "rewind", "trace", "step", "models", "soak", "lab", "grade",
                                     "test", "list", "doctor",
                                     "help", "install", "container"))
def test_every_command_has_help(shell, tmp_path, command):
    """--help and `help COMMAND` print this command's part, and nothing is installed or asked of Python for it."""
    path = path_with(tmp_path / "bin", ("python3", "#!/bin/sh\nexit 99\n"), without=("nasm", "gdb"))
    told = shell(BUGCHECK, "help", command, PATH=path)
    assert told.returncode == 0 and told.stderr == ""
    assert told.stdout.startswith(f"tools/bugcheck {command}") and set(re.findall(r"^tools/bugcheck (\w+)", told.stdout, re.M)) == {command}
    everything = shell(BUGCHECK, "help").stdout
    assert set(told.stdout.splitlines()) <= set(everything.splitlines())
    for word in ("--help", "-h"):
        done = shell(BUGCHECK, command, word, PATH=path)
        assert (done.returncode, done.stdout, done.stderr) == (0, everything if command == "help" else told.stdout, "")
    if command == "gdb":
        assert "--cpus" in told.stdout


def test_without_qemu_and_apt_get_one_line_says_so(shell, tmp_path):
    path = path_with(tmp_path / "bin", without=("qemu-system-x86_64", "apt-get"))
    assert_one_line(shell(BUGCHECK, "run", "--headless", PATH=path), "no apt-get", "qemu-system-x86", "use the container")


def test_an_old_qemu_is_refused(shell, tmp_path):
    path = path_with(tmp_path / "bin", ("qemu-system-x86_64", "#!/bin/sh\necho QEMU emulator version 6.2.0\n"))
    assert_one_line(shell(BUGCHECK, "run", "--headless", PATH=path), "6.2", "7.2", "tools/bugcheck container run")


def test_a_display_that_cannot_be_opened_ends_in_a_file(shell, own_output):
    done = shell(BUGCHECK, "run", "resident", OUT=own_output, DISPLAY=":94")
    assert done.returncode == 0, done.stderr
    assert "no window" in done.stderr
    assert (own_output / "run/screen.png").exists()


def test_no_space_for_the_page_file_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(emulators.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1 << 20}))
    with pytest.raises(CannotRun, match="no space for .*pagefile.img.*64 MiB"):
        emulators.qemu_arguments(Machine(), tmp_path)


@pytest.mark.parametrize("chosen,cpu", (({}, "max"), ({"seed": 1}, "max,-x2apic"),
                                        ({"extra": ("-icount", "shift=0")}, "max,-x2apic")))
def test_a_counted_clock_goes_without_x2apic(chosen, cpu, tmp_path):
    line = emulators.qemu_arguments(Machine(disk=False, **chosen), tmp_path)
    assert line[line.index("-cpu") + 1] == cpu


def test_a_folder_that_cannot_be_written_is_one_line():
    with pytest.raises(CannotRun, match="cannot make /proc/pagefile.img"):
        emulators.make_disk(Path("/proc/pagefile.img"), 0)


def test_run_leaves_the_serial_log_the_screen_and_the_verdict(shell, own_output):
    done = shell(BUGCHECK, "run", "paged", "--headless", OUT=own_output)
    assert done.returncode == 0, done.stderr
    left = own_output / "run"
    assert "DRIVER_IRQL_NOT_LESS_OR_EQUAL" in (left / "serial.log").read_text(errors="replace")
    assert "DRIVER_IRQL_NOT_LESS_OR_EQUAL" in done.stdout
    assert (left / "screen.png").read_bytes()[:4] == b"\x89PNG"
    assert json.loads((left / "verdict.json").read_text())["code"] == "0x000000D1"
    assert (left / "pagefile.img").stat().st_size == 64 << 20


def test_run_shows_the_story_while_it_happens(own_output):
    """The first line comes long before the end: nothing holds the text back."""
    child = subprocess.Popen([BUGCHECK, "run", "paged", "--headless"], stdout=subprocess.PIPE, text=True,
                             env=os.environ | {"OUT": str(own_output)}, stdin=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL)
    first = child.stdout.readline()
    running = child.poll() is None
    child.communicate(timeout=60)
    assert first and running and child.returncode == 0


@pytest.mark.parametrize("words", (("run", "paged", "--headless"), ("gdb", "paged"), ("step", "dpc", "--auto"),
                                   ("rewind", "--reverse", "paged")))
def test_a_second_run_in_the_same_folder_is_refused_in_one_line(shell, own_output, words):
    folder = own_output / {"gdb": "run", "rewind": "reverse", "step": "walk"}.get(words[0], words[0])
    with alone_in(folder):
        assert_one_line(shell(BUGCHECK, *words, OUT=own_output), f"another run uses {folder}: ", "set OUT to another folder")


@pytest.mark.parametrize("words", (("run", "paged", "--headless"), ("driver", "tests/drivers/file/file_log.c")))
def test_an_output_folder_that_cannot_be_made_is_one_line(shell, words):
    assert_one_line(shell(BUGCHECK, *words, OUT="/proc/nowhere"), "/proc/nowhere", "cannot be written", "set OUT")


def test_an_unexpected_end_is_status_1(shell, own_output):
    done = shell(BUGCHECK, "run", "--headless", "--append=scenario=nonsense", OUT=own_output)
    assert done.returncode in (0, 1)
    done = shell(BUGCHECK, "run", "--headless", "--mem", "8", "--pvh", OUT=own_output)
    assert done.returncode == 1, done.stderr
    assert "16 MiB" in done.stderr


def test_a_machine_that_does_not_start_is_status_2_with_its_reason(shell, own_output):
    done = shell(BUGCHECK, "run", "--headless", "--qemu=-nonsense", OUT=own_output)
    assert done.returncode == 2
    assert "nonsense" in done.stderr.splitlines()[-1]


def test_a_hang_is_ended_with_a_diagnosis(shell, own_output):
    done = shell(BUGCHECK, "run", "--headless", "--pvh", "--timeout", "1", "--qemu=-S", OUT=own_output)
    assert done.returncode == 1
    assert "no end after 1 s; the last line on COM1 was: (none at all)" in done.stderr
    assert "CPU 3:" in done.stderr


@pytest.mark.parametrize("number", (signal.SIGTERM, signal.SIGINT, signal.SIGKILL))
def test_no_machine_outlives_its_launcher(own_output, number):
    child = subprocess.Popen([sys.executable, "tools/tool", "cli.run", "run", "--headless", "--qemu=-S"], cwd=TOP,
                             env=os.environ | {"OUT": str(own_output)}, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                             # A shell starts what runs in its background with SIGINT ignored, and that is inherited.
                             preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    line = str(own_output / "run/pagefile.img").encode()
    wait_for(lambda: machines_with(line))
    child.send_signal(number)
    child.wait(timeout=60)
    wait_for(lambda: not machines_with(line))


def machines_with(text):
    """The processes of QEMU whose command line holds the text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if line.startswith(b"qemu-system") and text in line:
            found.append(process.name)
    return found


def wait_for(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_nothing_is_built_twice(build):
    for name in build:
        done = subprocess.run(["make", "-q", "-C", TOP, f"BUILD={name}", f"OUT={os.path.relpath(OUT, TOP)}", "iso"], timeout=60)
        assert done.returncode == 0, name


def test_bochs_is_given_no_space(build, tmp_path, monkeypatch):
    """Its configuration has no way to write one."""
    folder = tmp_path / "my labs/build/run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "my labs")
    words = emulators.bochs_arguments(Machine(way="bochs", cmdline="scenario=resident"), folder)
    assert not [word for word in words if " " in word] and "my labs" not in (folder / "bochsrc").read_text()


def test_an_output_folder_with_a_space_is_one_line(shell, tmp_path):
    out = tmp_path / "my labs"
    assert_one_line(shell(BUGCHECK, "run", "paged", "--pvh", "--headless", OUT=out), "my labs", "make cannot build", "space")


def test_the_menu_of_the_iso_shows_all_and_how_each_ends(build, tmp_path):
    """GRUB's text menu under BIOS has 13 rows of 75 letters; the rest is behind a row that names it. It gives time to read them."""
    assert int(re.search(r"^set timeout=(\d+)$", (TOP / "boot/grub.cfg").read_text(), re.M)[1]) >= 2 * 13
    subprocess.run(["xorriso", "-osirrox", "on", "-indev", build["checked"] / "bugcheck.iso", "-extract", "/boot/grub/scenarios.cfg",
                    tmp_path / "menu"], check=True, capture_output=True, timeout=60)
    menu = (tmp_path / "menu").read_text()
    rows = re.findall(r'^(menuentry|submenu) "([^"]*)"', menu, re.M)
    listed = [line.split("\t") for line in subprocess.run([TOP / "tools/scenarios"], capture_output=True, text=True,
                                                          check=True).stdout.splitlines()]
    top = menu.split("submenu ")[0]
    assert top.count("menuentry ") + menu.count("submenu ") <= 13 and max(len(text) for _, text in rows) <= 75
    entries = [text for kind, text in rows if kind == "menuentry"]
    assert entries == [f"{'ok' if end == 'completes' else 'STOP':4} {name}: {title}" for name, title, end in listed]
    [more] = [text for kind, text in rows if kind == "submenu"]
    assert more == "more: " + ", ".join(name for name, _, _ in listed[top.count("menuentry "):])


def test_the_same_inputs_make_the_same_iso(build, tmp_path):
    for name in ("a.iso", "b.iso"):
        subprocess.run([TOP / "tools/build/mkiso", build["free"] / "kernel.elf", build["free"] / "boot.cpio", tmp_path / name],
                       check=True, timeout=60)
        time.sleep(1.1)                         # another second on the clock
    assert (tmp_path / "a.iso").read_bytes() == (tmp_path / "b.iso").read_bytes()


def test_the_command_that_repeats_a_run_says_all_that_matters(shell):
    line = repeat_command(Machine(build="free", cmdline="scenario=paged verifier", cpus=2, mem=64, seed=7))
    assert line == "tools/bugcheck run paged --headless --build free --pvh --cpus 2 --mem 64 --seed 7 --dump none " \
        "--append=verifier"
    assert repeat_command(Machine(cmdline="test=Ke", extra=("-cpu", "max,-nx"))).endswith(
        "--test Ke --qemu=-cpu --qemu=max,-nx")


def test_doctor_lists_every_package(shell):
    done = shell(BUGCHECK, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for _, package, *_ in packages():
        assert f" {package} " in done.stdout


@pytest.mark.parametrize("make", (lambda: maker.build("free", "kernel", quiet=True), lambda: driverbuild.make_kernel("free"),
                                  lambda: conftest.make("free")), ids=("step", "driver", "test"))
def test_a_long_build_that_shows_nothing_is_told(monkeypatch, capfd, tmp_path, make):
    """In a folder of its own: to wait for another's build is long too."""
    for seconds, told in (("0", ""), ("0.6", "bugcheck: building the free kernel, which takes a minute or two the first time\n")):
        for module in (maker, driverbuild, conftest):
            monkeypatch.setattr(module, "make_command", lambda *_, seconds=seconds: ["sleep", seconds])
            monkeypatch.setattr(module, "OUT", tmp_path)
        monkeypatch.setattr(maker, "PATIENCE", 0.3)
        make()
        assert capfd.readouterr().err == told


def test_gdb_without_a_terminal_says_how_to_attach(shell, own_output):
    done = shell(BUGCHECK, "gdb", "paged", "--timeout", "1", OUT=own_output)
    assert done.returncode == 0, done.stderr
    assert "target remote" in done.stderr


def test_qmp_errors_are_told(start):
    """The first question comes before QEMU has made its socket; the last, when it has gone, is not waited for."""
    run = start(Machine(cmdline="scenario=resident", extra=("-S",)))
    with pytest.raises(CannotRun, match="refuses"):
        run.qmp("nonsense")
    run.qmp("quit")
    run.process.wait(20)
    begin = time.monotonic()
    with pytest.raises(CannotRun, match="does not answer query-status"):
        run.qmp("query-status")
    assert time.monotonic() - begin < 10


GDB_SESSION = (                                # what a reader types, and what must come before the next prompt
    (None, r"`continue` lets it run.*hbreak MmAccessFault if Frame->PreviousIrql >= 2.*build for stepping.*nothing\s+is inlined"),
    ("hbreak MmAccessFault if Frame->PreviousIrql >= 2", "Hardware assisted breakpoint"),
    ("break SecretStore", r"Breakpoint 4 \(SecretStore\) pending"),
    ("continue", r"Thread \d hit Breakpoint 4, .*SecretStore.*\(Number=42\)"),
    ("continue", r"hit Breakpoint 4, .*SecretStore.*\(Number=43\)"),
    ("set scheduler-locking on", ""),
    ("hbreak KeAcquireSpinLockRaiseToDpc", "Hardware assisted breakpoint"),
    ("continue", r"hit Breakpoint 5, .*KeAcquireSpinLockRaiseToDpc"),
    ("stepi 4", r"xchg"),                       # CR8 is 2, and the bare lock is next
    ("p $cr8", r"= 2\b"),
    ("delete 5", ""),
    ("set scheduler-locking off", ""),
    ("continue", r"hit Breakpoint 3, .*MmAccessFault"),
    ("p/x Frame->ErrorCode", r"= 0x2\b"),
    ("bt", r"SecretStore.*\(Number=43\)\s+at .*secret\.c:23"),
    ("info breakpoints", r"if Frame->PreviousIrql >= 2\s+breakpoint already hit 1 time\b"),
    ("continue", r"hit Breakpoint 2, .*KiBugCheckFromTrap"),
    ("irql", "DISPATCH_LEVEL"),
    ("continue", r"The machine is at its end; what it said: .*serial\.log"),
)


def test_gdb_stops_in_a_driver_at_the_bare_lock_and_at_the_fatal_fault(own_output):
    """`tools/bugcheck gdb paged` as its greeting and README say, on four CPUs, at a small terminal."""
    child = pexpect.spawn(str(BUGCHECK), ["gdb", "paged"], encoding="utf-8", timeout=60, dimensions=(24, 80),
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                          env=os.environ | {"OUT": str(own_output), "TERM": "dumb"})
    try:
        for words, answer in GDB_SESSION:
            if words is not None:
                child.sendline(words)
            child.expect(r"\(gdb\) ")
            assert re.search(answer, child.before, re.DOTALL), f"{words}: {child.before}"
            if words is None:
                assert max(map(len, child.before[child.before.index("Good places"):].split("\r\n"))) <= 80
        child.sendline("continue")              # nothing comes after the end but Ctrl-C, which leaves the prompt and the machine
        child.expect("Continuing")
        answered = 1
        while answered:                         # a Ctrl-C before the machine runs is lost
            child.sendintr()
            answered = child.expect([r"\(gdb\) ", pexpect.TIMEOUT], timeout=2)
        child.sendline("info threads")
        child.expect(r"CPU")                    # the machine is still there
        child.sendline("quit")
        while child.expect([pexpect.EOF, "y or n"]):        # "Quit anyway?", once more if a late Ctrl-C took the answer
            child.sendline("y")
    finally:
        child.close(force=True)


def test_a_driver_that_is_loaded_again_has_its_breakpoint_once(start, tmp_path):
    """It lies elsewhere each time: the symbols of the copies that have gone would leave a breakpoint at every old place."""
    link = tmp_path / "gdb"
    run = start(Machine(build="free", cmdline="test=loader_rounds", cpus=2, mem=64, leave=False, extra=(
        "-S", "-chardev", f"socket,path={link},server=on,wait=off,id=gdb", "-gdb", "chardev:gdb")))
    run.wait_for_debugger(link)
    said = subprocess.run(["gdb", "-batch", "-nx", "-iex", f"python import sys; sys.path.insert(0, {str(TOP / 'tools')!r})",
                           run.machine.files() / "kernel.elf", "-ex", "python import kd.plain", "-ex", f"target remote {link}",
                           "-ex", "hbreak PnpCallDriverEntry", "-ex", "break SecretStore", *(["-ex", "continue"] * 7),
                           "-ex", "info breakpoints", "-ex", "info threads"],
                          capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL).stdout
    row = re.search(r"^2 +breakpoint.*\n", said, re.MULTILINE)
    assert row and "in SecretStore at kernel/drivers/demo/nonpaged.c" in row[0], said[-2000:]
    threads = said[said.rindex("  Id   Target Id"):]
    # The CPU that has met a breakpoint, which may be either, is the chosen one.
    assert "[running]" not in threads and re.search(r"^\* \d +CPU \d: .*\b(PnpCallDriverEntry|SecretStore) \(", threads, re.M), threads
    assert re.search(r"^\s+\S+ +zero-page +", threads, re.M), threads         # and the threads that do not run


@pytest.mark.parametrize("seed,cpus", ((1, 1), (None, len(os.sched_getaffinity(0)))))
def test_a_seeded_machine_keeps_to_one_cpu_of_the_host(start, seed, cpus):
    """All of QEMU's threads; one that runs freely has all CPUs."""
    run = start(Machine(cmdline="scenario=resident", seed=seed, leave=False))
    run.wait(60)
    threads = [int(path.name) for path in Path(f"/proc/{run.process.pid}/task").iterdir()]
    assert len(threads) > 1 and {len(os.sched_getaffinity(thread)) for thread in threads} == {cpus}


def test_an_emulator_that_dies_is_told_apart_from_the_kernel(start):
    run = start(Machine(cmdline="scenario=resident"))
    run.process.send_signal(signal.SIGSEGV)
    said = run.wait(30).departure()
    assert said.startswith("QEMU itself was ended by SIGSEGV, which is not the kernel's doing"), said


@pytest.mark.parametrize("words,complaint", ((("sarge",), "unknown host 'sarge'; the hosts are: bookworm, trixie"),
                                             (("--nonsense",), "unrecognized arguments: --nonsense")))
def test_clean_machines_are_refused_in_one_line(words, complaint, shell):
    assert_one_line(shell(sys.executable, TOP / "tools/tool", "cli.hosts", *words), complaint)


def test_a_tree_that_nobody_here_made_is_not_removed(tmp_path):
    (tmp_path / "theirs").mkdir()
    with pytest.raises(hosts.CannotRun, match="is no tree that"):
        hosts.remove(tmp_path)
    assert (tmp_path / "theirs").exists()
    (tmp_path / hosts.MARK).touch()
    hosts.remove(tmp_path)
    assert not tmp_path.exists()


@pytest.mark.parametrize("words,line", (("1 failed, 2 passed in 3.00s", "1 failed, 2 passed in 3.00s"),
                                        ("= 2 passed, 1 skipped in 3.00s =\nbye", "2 passed, 1 skipped in 3.00s"),
                                        ("bugcheck: story ended with: bugcheck\nbugcheck: dump", "bugcheck: story ended with: bugcheck"),
                                        ("a\nbugcheck: no QEMU\n\n", "bugcheck: no QEMU")))
def test_the_line_that_counts_is_found(words, line, tmp_path):
    (tmp_path / "log").write_text(words)
    assert hosts.summary(tmp_path / "log") == line


def command_lines():
    """The command line of every process."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            lines.append(path.read_bytes().decode(errors="replace").rstrip("\0").replace("\0", " "))
        except OSError:
            pass                                                    # it has ended meanwhile
    return lines


@pytest.mark.skipif(subprocess.run(["unshare", "--mount", "--pid", "--fork", "true"], capture_output=True, check=False).returncode != 0,
                    reason="no namespaces of its own here: not root, or inside a folder that is its root")
def test_what_a_clean_machine_started_ends_with_it(tmp_path):
    """At the limit, too: a process that left its session would hold the mounts."""
    left, seen = f"sleep 3{os.getpid()}", []
    looking = threading.Thread(target=lambda: seen.append(wait_for(lambda: left in command_lines())))
    looking.start()
    status = hosts.run(["sh", "-c", f"setsid {left} & sleep 600"], 3, tmp_path / "log")
    looking.join()
    assert status == hosts.TIMED_OUT and "still running after 3 s" in (tmp_path / "log").read_text()
    assert seen, f"{left!r} never ran: its end would prove nothing"
    wait_for(lambda: left not in command_lines())
