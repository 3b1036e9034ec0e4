"""Tries both commands of README on clean machines: bare trees, with a fresh clone in each.

The commands are `tools/bugcheck run --headless` and `tools/bugcheck test`, without a terminal; in the end it prints
what each said last.

usage: tools/tool cli.hosts [--tests "WORDS"] [--reuse] [--trees DIR] [--mirror URL] [HOST...]
       make hosts [HOSTS="bookworm trixie"] [TESTS="tests/test_clock.py"] [REUSE=1] [TREES=DIR] [MIRROR=URL]

A HOST is one of HOSTS below; bookworm and trixie unless told. What is tried is the last commit. WORDS are arguments of pytest. A tree
that was made before is made anew, or with --reuse kept, with all that was installed in it. The mirror is the one from which this
machine's own apt takes that system, and the tree's apt goes the same way to it (proxies, checks of dates).

A program in a tree has its own list of mounts and of processes (unshare): when the first process ends, so do the others
and the mounts, however it ended.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from cli.options import Parser
from host.paths import TOP, CannotRun

#        host: (its system, as apt calls who makes it; its name and version; the keys that its packages are signed with)
HOSTS = {"bookworm": ("Debian", "Debian 12", "debian-archive-keyring.gpg"),
         "trixie": ("Debian", "Debian 13", "debian-archive-keyring.gpg"),
         "noble": ("Ubuntu", "Ubuntu 24.04", "ubuntu-archive-keyring.gpg")}
USUAL = ("bookworm", "trixie")
KEYS = Path("/usr/share/keyrings")
SCRIPTS = Path("/usr/share/debootstrap/scripts")
MARK = ".bugcheck-host"                         # in a tree that was made here, and may be removed
CLONE = "root/bugcheck"
LIMITS = {"tree": 1800, "clone": 300, "run": 1800, "test": 3 * 3600}            # seconds
TELL_AFTER = 60                                 # seconds between two lines about what is going on
FETCHING = re.compile(r"Acquire::(https?|Retries|Check-)", re.I)
TIMED_OUT = 124                                 # as timeout(1) says it
KEPT = re.compile(r"(https?|no)_proxy", re.I)   # of the environment

# Runs in its own mount and process namespaces. $0 is the tree, the rest is the command.
ENTER = """set -e
mount --make-rprivate /
mount -t proc proc "$0/proc"
mount -t sysfs -o ro sys "$0/sys"
mount -t tmpfs -o mode=755 dev "$0/dev"
for node in null zero full random urandom tty; do
    : >"$0/dev/$node"
    mount --bind "/dev/$node" "$0/dev/$node"
done
mkdir "$0/dev/pts" "$0/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$0/dev/pts"
mount -t tmpfs shm "$0/dev/shm"
ln -s pts/ptmx "$0/dev/ptmx"
ln -s /proc/self/fd "$0/dev/fd"
ln -s fd/0 "$0/dev/stdin"
ln -s fd/1 "$0/dev/stdout"
ln -s fd/2 "$0/dev/stderr"
chroot "$0" "$@"
exit $?"""                                      # the shell stays, as the first process: it takes in the orphans


def parse(words):
    parser = Parser("make hosts", f"the hosts are: {', '.join(HOSTS)}")
    parser.add_argument("hosts", nargs="*", metavar="HOST")
    parser.add_argument("--tests", default="")
    parser.add_argument("--reuse", action="store_true")
    parser.add_argument("--trees", type=Path, default=Path("/var/tmp/bugcheck-hosts"))
    parser.add_argument("--mirror")
    options = parser.parse_args(words)
    options.hosts = options.hosts or list(USUAL)
    for name in options.hosts:
        if name not in HOSTS:
            raise CannotRun(f"unknown host '{name}'; the hosts are: {', '.join(HOSTS)}")
    return options


def say(text):
    print(f"hosts: {text}", flush=True)


# ---- Processes ----

def run(line, limit, log, **options):
    """Runs a command without a terminal, its words in the file `log`; its status. It ends with us, with all that it started, or
    when the limit in seconds is over; what it says is repeated now and then."""
    line = ["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", *map(str, line)]
    with open(log, "wb") as words:
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=words, stderr=subprocess.STDOUT,
                                   start_new_session=True, **options)
        try:
            return wait(process, limit, log)
        except subprocess.TimeoutExpired:
            words.write(f"\nstill running after {limit} s: ended\n".encode())
            return TIMED_OUT
        finally:
            process.kill()                      # the kernel ends its child, and with that all processes of the namespace
            process.wait()


def wait(process, limit, log):
    """The status of a process; tells now and then where it is; TimeoutExpired when the limit is over."""
    start = time.monotonic()
    while (left := start + limit - time.monotonic()) > 0:
        try:
            return process.wait(min(left, TELL_AFTER))
        except subprocess.TimeoutExpired:
            say(f"  {time.monotonic() - start:5.0f} s  {last_line(log)[:110]}")
    raise subprocess.TimeoutExpired(process.args, limit)


def last_line(log):
    """The last line of a file that says something."""
    with open(log, "rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = re.split(r"[\r\n]+", file.read().decode("utf-8", "replace"))
    return next((line.strip() for line in reversed(lines) if line.strip()), "(nothing)")


def text_of(*line):
    """The output of a short command; CannotRun where it fails."""
    try:
        done = subprocess.run(line, capture_output=True, text=True, timeout=LIMITS["clone"])
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{line[0]}: {error}") from None
    if done.returncode:
        raise CannotRun(f"{' '.join(map(str, line))}: {last_of(done.stderr)}")
    return done.stdout


def last_of(text):
    return (text.strip().splitlines() or ["failed"])[-1]


# ---- Trees ----

def mirror_of(system):
    """Where this machine's apt takes that system's packages from."""
    rows = text_of("apt-get", "indextargets", "--format", "$(ORIGIN)|$(LABEL)|$(REPO_URI)", "Created-By: Packages")
    for row in rows.splitlines():
        origin, label, place = row.split("|")
        if (origin, label) == (system, system):
            return place
    raise CannotRun(f"this machine's apt knows no mirror of {system}: name one with MIRROR=URL")


def fetching():
    """The part of this machine's apt configuration that says how to fetch."""
    rows = text_of("apt-config", "dump").splitlines()
    return "".join(row + "\n" for row in rows if FETCHING.match(row))


def remove(tree):
    """Removes a tree, if it is one of ours."""
    if not tree.exists():
        return
    if not (tree / MARK).exists() and any(tree.iterdir()):
        raise CannotRun(f"{tree} is no tree that `make hosts` has made: remove it, or choose another place with TREES=DIR")
    shutil.rmtree(tree)


def make_tree(name, tree, mirror):
    """A minimal system with git."""
    system, _, keys = HOSTS[name]
    keyring = KEYS / keys
    if not keyring.exists():
        raise CannotRun(f"{keyring} is missing: install the package that has {system}'s keys")
    mirror = mirror or mirror_of(system)
    say(f"{name}: a minimal {HOSTS[name][1]} in {tree}")
    remove(tree)
    tree.mkdir(parents=True)
    (tree / MARK).touch()
    include = "git" + (",ca-certificates" if mirror.startswith("https") else "")
    log = tree.with_suffix(".tree.log")
    # A debootstrap older than the system does it by the script that all systems of its kind share.
    script = name if (SCRIPTS / name).exists() else {"Debian": "sid", "Ubuntu": "gutsy"}[system]
    components = {"Debian": "main", "Ubuntu": "main,universe"}[system]
    status = run(["debootstrap", "--variant=minbase", f"--include={include}", f"--components={components}",
                  f"--keyring={keyring}", name, tree, mirror, SCRIPTS / script], LIMITS["tree"], log)
    if status:
        raise CannotRun(f"{name}: no tree: {last_line(log)} ({log})")
    (tree / "etc/apt/apt.conf.d/90fetching").write_text(fetching())


def clone(name, tree):
    """A fresh clone of the last commit, made by the tree's own git."""
    bundle = tree / "tmp/bugcheck.bundle"
    safe = ("git", "-c", "safe.directory=*", "-C", TOP)
    text_of(*safe, "bundle", "create", "-q", bundle, "HEAD")
    if text_of(*safe, "status", "--porcelain").strip():
        say("what is not committed is not tried")
    shutil.rmtree(tree / CLONE, ignore_errors=True)
    log = tree.with_suffix(".clone.log")
    if inside(tree, ["git", "clone", "-q", "/tmp/bugcheck.bundle", f"/{CLONE}"], LIMITS["clone"], log):
        raise CannotRun(f"{name}: no clone: {last_line(log)} ({log})")
    bundle.unlink()


def inside(tree, command, limit, log):
    """Runs a command in a tree as its root, as after a login; its status."""
    shutil.copyfile("/etc/resolv.conf", tree / "etc/resolv.conf")
    clean = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    clean |= {"HOME": "/root", "TERM": "dumb", "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
    return run(["sh", "-c", ENTER, tree, *command], limit, log, env=clean)


def try_host(name, options):
    """Makes the tree and runs both commands: rows of the summary."""
    tree = options.trees.absolute() / name
    if not (options.reuse and (tree / MARK).exists()):
        make_tree(name, tree, options.mirror)
    clone(name, tree)
    rows = []
    for step, words in (("run", ["run", "--headless"]), ("test", ["test", *options.tests.split()])):
        log, command = tree.with_suffix(f".{step}.log"), " ".join(["tools/bugcheck", *words])
        say(f"{name}: {command}")
        start = time.monotonic()
        status = inside(tree, ["sh", "-c", 'cd "$0" && exec tools/bugcheck "$@"', f"/{CLONE}", *words], LIMITS[step], log)
        rows.append((HOSTS[name][1], command, status, time.monotonic() - start, summary(log), log))
    return rows


def summary(log):
    """The line of a command that counts: the tests that passed, or the story's end; else its last line."""
    counted = re.findall(r"^[= ]*(\d+ (?:passed|failed|error)[^=\n]*|bugcheck: \S+ ended with: .*)", log.read_text(errors="replace"), re.M)
    return counted[-1].strip() if counted else last_line(log)


def main(words):
    options = parse(words)
    if os.geteuid() != 0:
        raise CannotRun("a tree of another system is made and entered by root only: sudo make hosts")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    if subprocess.run([TOP / "tools/bugcheck", "install", "hosts"], stdin=subprocess.DEVNULL).returncode:
        return 2
    rows = []
    for name in options.hosts:
        try:
            rows += try_host(name, options)
        except (CannotRun, OSError) as problem:
            rows.append((HOSTS[name][1], "no machine", 2, 0, str(problem), options.trees))
    for system, command, status, seconds, said, log in rows:
        print(f"{system:<13} {command}: exit {status}, {seconds:.0f} s: {said}\n{'':<13} {log}")
    return int(any(row[2] for row in rows))
