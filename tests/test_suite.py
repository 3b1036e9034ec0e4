"""The suite itself: what it says before a test runs, and which tests it takes when it is asked for less."""
import os
import subprocess
import sys

from machine import TOP


def suite(*words, **environment):
    """A run of the suite in a process of its own."""
    return subprocess.run([sys.executable, "-m", "pytest", "-q", *words], capture_output=True, text=True, timeout=120,
                          stdin=subprocess.DEVNULL, cwd=TOP, env=os.environ | environment)


def test_a_build_that_fails_is_told_before_any_test(tmp_path):
    """The compiler's words and exit 1; nothing is collected."""
    fake = tmp_path / "make"
    fake.write_text("#!/bin/sh\necho 'kernel/ke/event.c:1:2: error: expected a word' >&2\nexit 2\n")
    fake.chmod(0o755)
    done = suite("-n", "2", "tests/test_ktap.py", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the checked build failed:\nkernel/ke/event.c:1:2: error: expected a word" in done.stdout + done.stderr
    assert "passed" not in done.stdout and "gw0" not in done.stdout
