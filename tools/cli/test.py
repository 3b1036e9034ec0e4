"""Runs pytest as the other commands run: wrong arguments are a 2, a closed pipe is no error.

usage: tools/tool cli.test ARGUMENTS of pytest
"""
import os
import sys

import pytest


def main(words):
    try:
        status = pytest.main(words)
        sys.stdout.flush()
    except BrokenPipeError:             # `tools/bugcheck test | head`: the workers end with us, and with them their machines
        os._exit(1)
    if status == pytest.ExitCode.USAGE_ERROR:
        print("bugcheck: tools/bugcheck test --help lists the options", file=sys.stderr)
        return 2
    return status
