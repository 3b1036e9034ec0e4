"""The kernel within the kernel: exactly the files of make core-list link, boot, and tell the story; nothing in them names the rest."""
import re
import shutil
import subprocess

import pytest

from docs import structure, tables
from host.paths import OUT, TOP
from test_scenarios import assert_end

MOST_FILES, MOST_LINES = 120, 15_000            # what one reads whole
SEED = 11

LAYOUT = (TOP / "boot/kernel.ld").read_text()

# The core's purpose: the story, and one of each way to die or to live on.
SCENARIOS = ("story", "pressure", "passive", "mutex", "pageable-code", "wait-in-dpc", "double-free", "stack-overflow")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_scenario_ends_in_the_core_as_in_the_whole(boot, name):
    """The same bugcheck, parameters and culprit, or the same good end."""
    assert_end(boot(name, build="core", seed=SEED, cpus=2, mem=64, dump=None), name)


def test_the_core_is_no_longer_than_it_may_be():
    """Bounds that may only fall."""
    files, lines = tables.size(tables.listed("CORE"))
    assert files <= MOST_FILES and lines <= MOST_LINES, (files, lines)


def test_the_core_is_what_its_list_says(boot):
    """Each function in the kernel is one of a listed source's object, or a table of the build."""
    assert boot("resident", build="core", seed=SEED, cpus=1, mem=64, dump=None).assert_completed()
    objects = [OUT / "core/obj" / (name[:-1] + "o" if name.endswith(".c") else name + ".o") for name in tables.listed("CORE")]
    defined, _ = structure.names_of(objects)
    text = subprocess.run(["nm", OUT / "core/kernel.elf"], capture_output=True, text=True, check=True).stdout
    functions = set(re.findall(r"^[0-9a-f]{16} T (\S+)$", text, re.M))
    assert len(functions) > 400 and functions <= set().union(*defined.values()) | set(re.findall(r"^ +(\w+) = \.;", LAYOUT, re.M))


def test_the_core_names_nothing_of_the_ring(build):
    """Also in the checked build, where assertions and lock checks are compiled in."""
    assert build
    for name in ("checked", "free"):
        assert structure.crossings(name) == []


def test_the_core_refuses_what_it_does_not_export(boot, build, tmp_path):
    """A driver that needs more than the core: refused, and the import is named. Here the file system under a demo driver's name."""
    boot("resident", build="core", seed=SEED, cpus=1, mem=64, dump=None)        # the archive is there
    for folder in ("drivers", "symbols"):
        shutil.copytree(OUT / "core" / folder, tmp_path / folder)
    shutil.copy(build["free"] / "drivers/fastfat.sys", tmp_path / "drivers/secret.sys")
    names = "\n".join(str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*.s[y]*")) if path.is_file())
    with open(tmp_path / "boot.cpio", "wb") as archive:
        subprocess.run(["cpio", "--quiet", "-o", "-H", "newc"], input=names.encode(), stdout=archive, cwd=tmp_path, check=True)
    outcome = boot("paged", build="core", seed=SEED, cpus=1, mem=64, dump=None, archive=tmp_path / "boot.cpio")
    refused = re.search(r"ldr: secret\.sys: refused: unresolved import '(\w+)'", outcome.serial)
    assert refused, outcome.serial[-2000:]
    assert f'{{"{refused[1]}",' not in (OUT / "core/generated/exports.c").read_text()
    assert f'{{"{refused[1]}",' in (build["free"] / "generated/exports.c").read_text()


@pytest.mark.parametrize("words, problem", [
    (["verifier", "--core"], "the core has no scenario 'verifier'; it has: story,"),
    (["--core", "--test", "timer"], "--core has no tests inside it"),
    (["--core", "--volume", "new"], "--core has no file system"),
])
def test_what_the_core_has_not_is_one_line(words, problem):
    """Refused before anything is built."""
    done = subprocess.run([TOP / "tools/bugcheck", "run", "--headless", *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and problem in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
