"""Each scenario ends as expected: by itself or in its bugcheck, with the parameters that Windows would give."""

import re
import subprocess

import pytest

from host.paths import TOP

READ, WRITE, EXECUTE = 0, 1, 8
PASSIVE_LEVEL, DISPATCH_LEVEL = 0, 2
PAGED_WRITE = {"p2": DISPATCH_LEVEL, "p3": WRITE}
DOUBLE_FAULT = 8
FREED_TWICE = 7

# name: the bugcheck, the parameters that are not addresses, and the function and line that are blamed; or None
ENDS = {
    "story": (0xD1, PAGED_WRITE, "secret!SecretStore"),
    "resident": None,
    "paged": (0xD1, PAGED_WRITE, "secret!SecretStore"),
    "cplusplus": (0xD1, PAGED_WRITE, "cplusplus!SecretStore"),
    "passive": None,
    "apc": None,
    "nonpaged": None,
    "mutex": None,
    "pageable-code": (0xD1, {"p2": DISPATCH_LEVEL, "p3": EXECUTE}, "pagecode!Scramble"),
    "pressure": (0xD1, PAGED_WRITE, "secret!SecretStore"),
    "verifier": (0xD1, PAGED_WRITE, "secret!SecretStore"),
    "wait-in-dpc": (0xB8, {"p4": 0}, "waitdpc!StoreRoutine"),
    "double-free": (0xC2, {"p1": FREED_TWICE}, "doublefree!SecretStore"),
    "stack-overflow": (0x7F, {"p1": DOUBLE_FAULT}, "stackover!SumDownFrom"),
}


def assert_end(outcome, name):
    if ENDS[name] is None:
        outcome.assert_completed()
        return
    code, parameters, blamed = ENDS[name]
    outcome.assert_bugcheck(code, **parameters)
    assert outcome.verdict["scenario"] == name
    assert outcome.verdict["where"].startswith(blamed), outcome.verdict


def test_the_table_is_complete():
    lines = subprocess.run([TOP / "tools/scenarios"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split("\t")[0] for line in lines] == list(ENDS)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("build", ("checked", "free"))
def test_ends_as_it_should(boot, build, name):
    assert_end(boot(name, build=build), name)


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("seed", (11, 12, 13))
def test_ends_as_it_should_under_seed(boot, seed, name):
    assert_end(boot(name, seed=seed, cpus=2), name)


@pytest.mark.parametrize("name", ENDS)
def test_ends_as_it_should_on_one_cpu_in_little_memory(boot, name):
    assert_end(boot(name, cpus=1, mem=32), name)


@pytest.mark.parametrize("seed", range(1, 21))
def test_the_crash_is_the_same_under_every_schedule(boot, seed):
    outcome = boot("paged", seed=seed)
    assert_end(outcome, "paged")
    assert "the page is not present: it is in the page file" in " ".join(outcome.serial.split())


def test_the_fault_on_a_pageable_function_is_at_its_own_address(boot):
    address, _, _, instruction = boot("pageable-code").parameters
    assert address == instruction


def test_the_legal_touches_read_the_page_file_once(boot):
    for name in ("passive", "apc", "mutex"):
        assert "pages read from the page file meanwhile: 1" in boot(name).serial, name
    assert "pages read from the page file meanwhile: 0" in boot("nonpaged").serial


def test_the_story_tells_five_acts_and_every_fact_of_the_crash(boot):
    serial = boot("story").serial
    places = [serial.index(f"Act {number}") for number in range(1, 6)]
    assert places == sorted(places)
    for fact in ("CR8", "CR2", "error", "lock word", "PTE", "page file, slot", "What to change"):
        assert fact in serial, fact
    legal = re.findall(r"the page fault: +CR2 FFFFF8A0[0-9A-F]{8}  error code (.*); CR8 (.)", serial)
    assert legal == [("0: read, page not present", "0"), ("2: write, page not present", "1")]


def test_the_verifier_may_be_asked_for_in_any_scenario(boot):
    assert boot("resident", append="verifier").assert_bugcheck(0xD1, p2=2, p3=WRITE, expected=False)
