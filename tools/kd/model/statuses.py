"""The names of the NTSTATUS codes, read from ntstatus.h.

`tools/tool kd.model.statuses 0xC000003A` prints STATUS_OBJECT_PATH_NOT_FOUND.
"""
import functools
import re

from host.paths import TOP

HEADER = TOP / 'kernel/include/ddk/ntstatus.h'


@functools.cache
def names():
    """{code: name}; of two names for one code the first."""
    found = {}
    for name, code in re.findall(r'#define (STATUS_\w+) \(\(NTSTATUS\)(0x[0-9A-F]{8})\)', HEADER.read_text()):
        found.setdefault(int(code, 16), name)
    return found


def status_name(code):
    """STATUS_..., or the number where it has no name here. Accepts negative numbers."""
    return names().get(code & 0xFFFFFFFF, f'0x{code & 0xFFFFFFFF:08X}')


def main(words):
    for word in words:
        print(status_name(int(word, 0)))
    return 0
