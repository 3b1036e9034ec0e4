"""The seeds that each run of the tests draws anew, so that CI comes to schedules it has not seen.

The ones of this run stand in its header, and `--seeds` gives them again. A test that fails under one shows the command that
repeats its machine, seed and all.
"""

import random

import pytest

COUNT = 4                                       # on two CPUs and on four in turn
LARGEST = 2 ** 31


def draw():
    """Numbers that a run before has hardly had."""
    return [random.SystemRandom().randrange(1, LARGEST) for _ in range(COUNT)]


def read(text):
    """The numbers of --seeds, or a complaint of one line."""
    words = text.split(",")
    if not all(word.isdigit() and 0 < int(word) < LARGEST for word in words):
        raise pytest.UsageError(f"--seeds: '{text}' is no list of numbers from 1 to {LARGEST - 1} with commas between")
    return [int(word) for word in words]


def choose(config):
    """Sets config.drawn_seeds; the workers of xdist have those of their launcher, because they must collect the same tests."""
    given = config.getoption("seeds")
    if hasattr(config, "workerinput"):
        config.drawn_seeds = config.workerinput["seeds"]
    else:
        config.drawn_seeds = read(given) if given else draw()


def header(config):
    """A line for the top of the run."""
    return f"seeds drawn for this run: --seeds {','.join(map(str, config.drawn_seeds))}"
