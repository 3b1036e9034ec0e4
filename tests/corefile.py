"""An ELF core read without a debugger: what a test compares the debugger's answers with."""

import struct
import subprocess

LOAD = struct.Struct("<IIQQQQQQ")


class Core:
    """The memory that a core holds, by virtual address; can be changed, for dumps that are to be damaged."""

    def __init__(self, path):
        self.data = bytearray(path.read_bytes())
        table, = struct.unpack_from("<Q", self.data, 32)
        count, = struct.unpack_from("<H", self.data, 56)
        rows = [LOAD.unpack_from(self.data, table + index * LOAD.size) for index in range(count)]
        self.loads = [(row[3], row[5], row[2]) for row in rows if row[0] == 1]

    def offset(self, address):
        """Where an address lies in the file."""
        for start, length, offset in self.loads:
            if start <= address < start + length:
                return offset + address - start
        raise KeyError(f"{address:#x} is not in the dump")

    def read(self, address, length):
        place = self.offset(address)
        return bytes(self.data[place:place + length])

    def u64(self, address):
        return struct.unpack("<Q", self.read(address, 8))[0]

    def write_u64(self, address, value):
        place = self.offset(address)
        self.data[place:place + 8] = struct.pack("<Q", value)

    def save(self, path):
        path.write_bytes(self.data)
        return path


def symbols(path):
    """{name: address} of a file, as nm tells."""
    lines = subprocess.run(["nm", "--defined-only", path], capture_output=True, text=True, check=True).stdout.splitlines()
    return {line.split()[2]: int(line.split()[0], 16) for line in lines}
