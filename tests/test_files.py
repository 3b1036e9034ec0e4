"""C: and its file system: the core on the host over odd volumes, crashes between any two sectors, failing requests and
arbitrary bytes; then the kernel, with small memory, machines that die, and a second boot. Disks that fail: test_faults.py."""

import json
import os
import re
import shutil
import subprocess

import pytest

from machine.volume import copy_out, list_files, make_ram_volume, make_volume, mtool, read_file
from modules import TOP, call
from test_host import HOST, SANITIZED

CORE = [f"kernel/drivers/fastfat/{name}.c" for name in
        ("volume", "table", "scan", "directory", "index", "name", "file", "tree", "time")]
CORE += ["tests/host/fatdisk.c", "kernel/rtl/string.c"]
FSCK = shutil.which("fsck.fat") or "/usr/sbin/fsck.fat"

# mformat's volumes: geometries as they come and as they hardly ever do.
SHAPES = {
    "as C: is": ("-T", 65536, "-c", 8, "-d", 1),
    "FAT12, a floppy": ("-T", 2880, "-c", 1),
    "FAT12, as in RAM": ("-T", 1440, "-c", 2, "-d", 1, "-r", 4),
    "FAT16, small clusters, two tables": ("-T", 40000, "-c", 1),
    "FAT16, a root of 64 entries": ("-T", 16000, "-c", 4, "-d", 2, "-r", 4),
    "FAT32": ("-T", 200000, "-c", 1, "-F"),
    "FAT32, three tables": ("-T", 140000, "-c", 2, "-F", "-d", 3),
}


@pytest.fixture(scope="session")
def core(tmp_path_factory):
    """The core's host program."""
    program = tmp_path_factory.mktemp("fat") / "fat"
    call("gcc", *SANITIZED, "-DPAGEABLE=", HOST / "fat.c", *CORE, "-o", program)
    return program


def shaped(path, shape):
    """A volume of an odd shape, with Temp and Temp2."""
    mtool("mformat", path, "-C", "-h", 16, "-s", 63, *SHAPES[shape], "::")
    mtool("mmd", path, "::/Temp", "::/Temp2")
    return path


def complaints(image):
    """fsck.fat's findings, but for clusters that no file owns, and FAT32's count of free ones, which is a hint."""
    done = subprocess.run([FSCK, "-n", str(image)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    harmless = r"fsck\.fat |Reclaimed \d+ unused cluster|.*: \d+ files, |Leaving filesystem|Free cluster summary|\s*$"
    return [line for line in done.stdout.splitlines() if not re.match(harmless, line)]


# ---- The core, on the host ----

def test_names_patterns_and_times(core, tmp_path):
    call(core, shaped(tmp_path / "v.img", "as C: is"), "names")


@pytest.mark.parametrize("shape", SHAPES)
def test_random_work_leaves_a_sound_volume(core, tmp_path, shape):
    for seed in (1, 2, 3):
        image = shaped(tmp_path / f"v{seed}.img", shape)
        call(core, image, "work", seed, 300)
        assert not complaints(image)


def test_without_memory_for_an_index_a_directory_is_walked(core, tmp_path):
    image = shaped(tmp_path / "v.img", "as C: is")
    call(core, image, "starve", 1, 300)
    assert not complaints(image)


@pytest.mark.parametrize("shape", ("as C: is", "FAT12, as in RAM"))
def test_a_machine_that_dies_between_two_sectors_leaves_lost_clusters_at_most(core, tmp_path, shape):
    pattern, image = shaped(tmp_path / "v.img", shape), tmp_path / "w.img"
    for sectors in list(range(0, 90)) + list(range(90, 1500, 47)):
        shutil.copyfile(pattern, image)
        call(core, image, "die", 5, 60, sectors)
        assert not complaints(image), sectors


def test_a_request_that_fails_is_an_error_and_never_wrong_data(core, tmp_path):
    pattern, image = shaped(tmp_path / "v.img", "as C: is"), tmp_path / "w.img"
    for request in list(range(0, 120)) + list(range(120, 3000, 61)):
        shutil.copyfile(pattern, image)
        call(core, image, "fail", 4, 120, request)


def test_arbitrary_bytes_do_no_harm(tmp_path):
    """libFuzzer from a few volumes and from what it found in the past: a short run, always the same."""
    corpus, program = tmp_path / "corpus", tmp_path / "fuzz"
    corpus.mkdir()
    for file in (HOST / "corpus_fat").iterdir():
        shutil.copy(file, corpus)
    flags = [flag for flag in SANITIZED if not flag.startswith(("-W", "-fsanitize"))]
    call("clang", *flags, "-w", "-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=undefined",
         "-D__rdtsc=KernelRdtsc", "-DPAGEABLE=", HOST / "fuzz_fat.c", *CORE, "-o", program)
    call(program, "-runs=3000", "-seed=1", "-max_len=40000", "-timeout=10", corpus)


# ---- Volumes on the host ----

def test_a_volume_is_made_listed_and_copied_out(tmp_path):
    image = make_volume(tmp_path / "c.img")
    assert image.stat().st_size == 32 << 20 and image.stat().st_blocks * 512 < 1 << 20
    (tmp_path / "a long name.txt").write_text("contents")
    mtool("mcopy", image, tmp_path / "a long name.txt", "::/Temp2")
    assert [(file.path, file.size) for file in list_files(image)] == [("Temp2/a long name.txt", 8)]
    (tmp_path / "out").mkdir()
    copy_out(image, tmp_path / "out")
    assert (tmp_path / "out/Temp2/a long name.txt").read_text() == "contents"
    assert (tmp_path / "out/Temp").is_dir()
    assert read_file(image, "Temp2/a long name.txt") == b"contents"
    assert not complaints(image)


def test_the_volume_in_ram_is_small(tmp_path):
    assert make_ram_volume(tmp_path / "c.img").stat().st_size < 16384


# ---- The kernel ----

@pytest.mark.parametrize("seed", (None, 1))
def test_what_a_driver_wrote_is_on_the_volume(boot, tmp_path, seed):
    image = make_volume(tmp_path / "c.img")
    outcome = boot("passive", build="free", seed=seed, volume=image)
    assert re.search(r"io: .*: 32 MiB: volume C:", outcome.serial)
    assert not complaints(image)


def test_without_a_disk_for_it_c_is_in_ram(boot):
    outcome = boot("passive", disk=False).assert_completed()
    assert "fastfat" not in outcome.serial or "cannot be used" not in outcome.serial


def test_a_disk_with_a_damaged_volume_is_refused_in_one_line(boot, tmp_path):
    image = make_volume(tmp_path / "c.img")
    with open(image, "r+b") as file:
        file.seek(22)
        file.write(b"\1\0")                             # a table of one sector
    outcome = boot("passive", volume=image)
    assert re.search(r"fastfat: C: cannot be used: status 0xC0000032", outcome.serial)


def test_what_was_written_is_there_after_a_second_boot(boot, tmp_path):
    image = make_volume(tmp_path / "c.img")
    boot(test="files_many_survive", build="free", mem=16, cpus=2, volume=image, limit=120).assert_ktap()
    assert not complaints(image)
    first = {file.path: file.size for file in list_files(image)}
    assert len(first) == 100 and set(first.values()) == {1500}
    boot(test="files_many_are_still_there", build="free", mem=16, cpus=2, volume=image, limit=120).assert_ktap()
    assert {file.path: file.size for file in list_files(image)} == first


def test_small_writes_are_on_the_disk_when_they_should_be(boot, tmp_path):
    image = make_volume(tmp_path / "c.img")
    boot(test="gathered_lines", build="free", volume=image, limit=120).assert_ktap()
    assert not complaints(image)
    lines = 3 * len("a line of text\n")
    assert {file.path: file.size for file in list_files(image)} == {
        "Temp/closed.txt": lines, "Temp/flushed.txt": lines, "Temp/through.txt": lines, "Temp/direct.txt": 512,
        "Temp/lazy.txt": lines, "Temp/last.txt": 0}     # the last ones had not been closed, nor a second to wait
    assert read_file(image, "Temp/lazy.txt") == b"a line of text\n" * 3


@pytest.mark.parametrize("seed", range(1, int(os.environ.get("SEEDS", "1")) + 1))
def test_a_thousand_files_are_made_and_moved(build, tmp_path, seed):
    """Two threads under a lock: what students hand in most. SEEDS=20 shows it under twenty schedules."""
    lock = "resource" if seed % 2 else "mutex"
    text = (TOP / f"tests/drivers/file/file_moved_under_{lock}.c").read_text()
    source = tmp_path / f"thousand_{lock}.c"
    source.write_text(text.replace("#define FILES 100\n", "#define FILES 1000\n"))
    done = subprocess.run([TOP / "tools/bugcheck", "driver", source, "--seed", str(seed), "--json"], capture_output=True,
                          text=True, timeout=310, check=False)
    result = json.loads(done.stdout)
    assert result["result"] == "completed", result["text"]
    moved = {file["path"]: file["bytes"] for file in result["files"]}
    assert len(moved) == 1000 and set(moved.values()) == {1500} and all(path.startswith("Temp2/") for path in moved)
    assert result["guestSeconds"] < 70, "each write costs a request to the disk, or each open a walk"


def test_the_thousandth_open_file_costs_what_the_first_did(build):
    """In a seeded run the time-stamp counter counts instructions. A walk through what is open would add an eighth."""
    done = subprocess.run([TOP / "tools/bugcheck", "driver", "tests/drivers/file/file_many_open.c", "--cpus", "1", "--json"],
                          cwd=TOP, capture_output=True, text=True, timeout=310, check=False)
    first, last = map(int, re.findall(r"\d+", json.loads(done.stdout)["output"]))
    assert last < 1.1 * first, (first, last)


def test_files_in_the_kernel(boot, tmp_path):
    boot(test="files_", volume=True, cpus=4, limit=120).assert_ktap()


def test_files_in_the_kernel_on_the_volume_in_ram(boot):
    """With the file system itself under the verifier: it breaks no rule, and no rule is broken only in the verifier's eyes."""
    boot(test="files_", append="verifier verify=fastfat", disk=False, cpus=2, limit=120).assert_ktap()
