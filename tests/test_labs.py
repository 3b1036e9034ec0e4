"""The labs: what a student gets, and that a grade is right and cannot be had by other means. `make labs-proof` proves all of it."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from build import labs, mutants
from cli import gradeparts
from host.paths import TOP

LABS = labs.labs()
LAB = labs.lab("03")


def bugcheck(*words, folder=TOP, is_apart=True):
    """A command; grades of two workers are built apart."""
    if words[0] == "grade" and "selfcheck" not in words and is_apart:
        words = (*words, "--apart", os.environ.get("PYTEST_XDIST_WORKER", "alone"))
    return subprocess.run([TOP / "tools/bugcheck", *map(str, words)], capture_output=True, text=True, timeout=300, cwd=folder,
                          stdin=subprocess.DEVNULL)


@pytest.fixture
def folder(tmp_path):
    """A student's folder of lab 03, with a space in its name."""
    made = tmp_path / "my lab"
    assert bugcheck("lab", "start", "3", made).returncode == 0
    return made


# ---- What a lab is ----

@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_a_lab_is_whole(lab):
    """100 points; tests, files and explorations that there are; a handout; a starter for each file."""
    assert sum(max(part["points"], 0) for part in lab.parts) == 100 and 0 <= lab.baseline < 50
    explorations = "".join(path.read_text() for path in (TOP / "tests/kernel").glob("test_explore*.c"))
    for part in lab.parts:
        assert part["rule"] and all(gradeparts.tests_named(prefix) for prefix in part.get("tests", [])), part["name"]
        assert all(f"KEXPLORE({name}," in explorations for name in part.get("explore", [])), part["name"]
    for name in lab.files:
        assert (TOP / name).is_file() and (lab.starter() / name).read_text() != (TOP / name).read_text()
    assert lab.handout().read_text().startswith(f"# Lab {int(lab.number)}. {lab.title}\n")


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.name)
def test_its_wrong_solutions_apply_and_are_told_apart(lab):
    found, names = lab.mutants(), {part["name"] for part in lab.parts}
    assert len(found) >= 5
    for mutant in found:
        assert mutant.file in lab.files and mutants.plant(mutant) != (TOP / mutant.file).read_text()
        assert mutant.hint and set(mutant.killers[0].parts) <= names, mutant.where


# ---- A folder ----

def test_the_labs_are_listed():
    done = bugcheck("lab")
    assert done.returncode == 0 and all(f"{lab.number}  {lab.title} (" in done.stdout for lab in LABS)


def test_a_folder_has_all_that_is_needed(folder):
    assert {path.name for path in folder.iterdir()} == {"README.md", "answers.json", "lab.json", *(Path(name).name for name in LAB.files)}
    assert json.loads((folder / "answers.json").read_text()) == {"1": "", "2": "", "3": ""}


def test_wrong_words_are_one_line(folder, tmp_path):
    for words, contains in ((("lab", "start", "3", folder), "is not empty"), (("lab", "start", "99", tmp_path / "x"),
                             "there is no lab '99'"),
                            (("lab", "start"), "usage:"), (("grade", "99"), "there is no lab '99'"),
                            (("grade", tmp_path), "is no lab's folder"),
                            (("grade", "3", tmp_path / "none"), "there is no folder"), (("grade", folder, "-t", "x"), "no part 'x'"),
                            (("grade", "replay", "3"), "usage:"), (("grade", folder, "--seeds", "0"), "'0' is not a whole number")):
        done = bugcheck(*words)
        assert done.returncode == 2 and contains in done.stderr and done.stderr.count("\n") == 1, done.stdout + done.stderr


# ---- A grade ----

@pytest.mark.parametrize("who", ("reference", "tail_freed_by_a_store", pytest.param("starter", marks=[pytest.mark.spare])))
def test_each_solution_gets_what_it_should(build, who):
    done = bugcheck("grade", "selfcheck", "03", "--quick", "--part", who)
    assert done.returncode == 0 and done.stdout.startswith("ok "), done.stdout + done.stderr


def wrong(folder, file, old, new):
    path = folder / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("old,new,contains", [
    ("mov     byte [rdi], 1", "mov     byte [rdi", r"spinlock\.asm:25: error: "),
    ("KiAcquireTextbookLock:", "KiAcquireTextBookLock:", r"it has no KiAcquireTextbookLock"),
    ("global KiAcquireTextbookLock, ", "global ", r"it has no KiAcquireTextbookLock"),
    ("mov     byte [rdi], 1", 'incbin "/etc/hostname"', r"spinlock\.asm:25: 'incbin' reads what is not the lab's"),
    ("mov     byte [rdi], 1", "mov al, %!HOME", r"spinlock\.asm:25: '%!' reads what is not the lab's"),
    ("mov     byte [rdi], 1", "mov dx, 0xF4\n out dx, al", r"'out    %al,\(%dx\)' speaks to a device"),
    ("mov     byte [rdi], 1", "rep outsb", r"'rep outsb .*' speaks to a device"),
    ("mov     byte [rdi], 1", '%define X inc %+ bin\nX "/etc/hostname"', r"spinlock\.asm: it reads /etc/hostname, which is not the lab's"),
    ("mov     byte [rdi], 1", "extern KtFail\n call KtFail", r"it uses KtFail, which this lab does without|no file has the function"),
    ("mov     byte [rdi], 1", "extern KeBugCheckEx\n call KeBugCheckEx", r"it uses KeBugCheckEx, which this lab does without")],
    ids=("syntax", "misspelt", "not global", "incbin", "environment", "port", "port by rep", "incbin pasted", "a test's", "a kernel's"))
def test_a_file_that_is_not_taken_is_one_sentence(folder, old, new, contains):
    """With the student's own line where it has one; nothing is booted, and there are no points."""
    wrong(folder, "spinlock.asm", old, new)
    done = bugcheck("grade", "--quick", folder=folder)
    lines = done.stdout.splitlines()
    assert done.returncode == 1 and len(lines) == 3 and re.search(contains, lines[1]), done.stdout + done.stderr
    assert lines[2] == "0 of 100 points (quick)"


def test_a_file_that_includes_the_solution_is_not_taken(folder):
    """NASM needs no blank behind %include, and would find the tree's file of the same name."""
    (folder / "spinlock.asm").write_text('%include"spinlock.asm"\n')
    done = bugcheck("grade", folder, "-t", "textbook")
    assert done.returncode == 1 and "spinlock.asm:1: '%include' reads what is not the lab's" in done.stdout, done.stdout


def test_a_grade_needs_no_options(folder):
    """As a student types it, in the folder: the file is refused before anything is booted."""
    (folder / "queuedlock.asm").write_text("")
    done = subprocess.run([TOP / "tools/bugcheck", "grade"], capture_output=True, text=True, timeout=300, cwd=folder)
    assert done.returncode == 1 and "queuedlock.asm: it is empty" in done.stdout, done.stdout + done.stderr


def test_an_empty_file_is_told(folder):
    (folder / "queuedlock.asm").write_text("")
    done = bugcheck("grade", folder, is_apart=False)
    assert done.returncode == 1 and "queuedlock.asm: it is empty" in done.stdout, done.stderr


@pytest.mark.parametrize("new,contains", [(".l: jmp .l", "it hangs when 0 of 3 tests had passed: no end in the time that it gets"),
                                          ("xor eax, eax\n mov cr3, rax", "a triple fault, or a reset|the machine stopped"),
                                          ("mov [0], eax", "the machine stopped when 0 of 3 tests had passed: 0x000000")],
                         ids=("hangs", "triple fault", "crashes"))
def test_a_kernel_that_does_not_come_to_its_end_is_told(folder, new, contains):
    wrong(folder, "queuedlock.asm", "lea     rax, [rdi + LOCK_QUEUE_OWNER]", new)
    done = bugcheck("grade", folder, "-t", "queued")
    assert done.returncode == 1 and re.search(contains, done.stdout), done.stdout + done.stderr
    assert done.stdout.endswith("\n0 of 10 points\n")


def test_a_nonce_draws_seeds_and_rounds(folder):
    """The same word the same ones."""
    found = [re.findall(r"0x\w+ and (0x\w+)|replay 03 drawn --seed (\d+) --append nonce=(\d+)", bugcheck(
        "grade", folder, "--seeds", "1", "-t", "drawn", "--nonce", word).stdout) for word in ("one", "one", "three")]
    assert found[0] and found[0] == found[1] != found[2], found


def test_a_failure_teaches(folder):
    """The rule, the schedule in the student's own lines, the command that makes it again, and the hint; the command does it."""
    for name in LAB.files:
        (folder / Path(name).name).write_text((TOP / name).read_text())
    (folder / "spinlock.asm").write_text(mutants.plant(next(one for one in LAB.mutants() if one.name == "try_reads_then_writes")))
    done = bugcheck("grade", folder, "--quick", "-t", "try", "-t", "explore-try")
    assert "BROKEN in" in done.stdout and re.search(r"mov \[rdi\], rcx +\|", done.stdout), done.stdout + done.stderr
    assert "hint: The look at the word says what it was" in done.stdout and done.stdout.endswith(" of 11 points (quick)\n")
    again = re.search(r"again: tools/bugcheck (grade explore 03 explore-try)\n", done.stdout)[1]
    shown = bugcheck(*again.split())
    assert shown.returncode == 1 and "mov [rdi], rcx" in shown.stdout, shown.stdout + shown.stderr
    again = re.search(r"again: tools/bugcheck (grade replay 03 try .*)\n", done.stdout)[1]
    assert "--test exclusion_tried" in again        # the third of the part's tests, not the first
    shown = bugcheck(*again.split())
    assert shown.returncode == 1 and "not ok" in shown.stdout or "ktest: FAILED" in shown.stdout, shown.stdout[-2000:] + shown.stderr


def test_other_right_solutions_get_all_points(folder):
    """The textbook lock by a locked compare-exchange."""
    for name in LAB.files:
        (folder / Path(name).name).write_text((TOP / name).read_text())
    wrong(folder, "spinlock.asm", "        mov     al, 1\n.spin:  xchg    al, [rdi]", "        mov     dl, 1\n.spin:  xor     eax, eax\n"
          "        lock cmpxchg [rdi], dl")
    done = bugcheck("grade", folder, "--quick", "-t", "textbook", "-t", "explore-textbook", "-t", "locked")
    assert done.returncode == 0 and done.stdout.endswith("19 of 19 points (quick)\n"), done.stdout + done.stderr


@pytest.mark.parametrize("format_", ("json", "ktap", "junit", "gradescope"))
def test_formats_for_machines(folder, format_):
    done = bugcheck("grade", folder, "--format", format_, "-t", "locked")
    assert done.returncode == 1
    if format_ == "ktap":
        assert done.stdout.splitlines()[:2] == ["KTAP version 1", "1..1"] and "not ok 1 - locked" in done.stdout
    elif format_ == "junit":
        assert done.stdout.startswith('<testsuite name="03-spin-lock" tests="1" failures="1">') and "<failure " in done.stdout
    else:
        told = json.loads(done.stdout)
        part = told["parts" if format_ == "json" else "tests"][0]
        assert (part["name"], part["score"], part["max_score"], part["status"]) == ("locked", 0, 5, "failed")
