"""Reads a screenshot back: the pixels of a PNG, and the text on it, by comparing each cell with the console's font.

Only what QEMU writes is understood: 8 bits a channel, RGB or RGBA, not interlaced.
"""

import gzip
import struct
import zlib
from collections import Counter
from pathlib import Path

FONT = Path("/usr/share/consolefonts/spleen-8x16.psfu.gz")
WIDTH, HEIGHT = 8, 16


def read_font():
    """{bitmap: character} of a PSF 1 font, ASCII only."""
    data = gzip.decompress(FONT.read_bytes())
    count = 512 if data[2] & 1 else 256
    table, glyph, characters = 4 + count * HEIGHT, 0, {}
    for (code,) in struct.iter_unpack("<H", data[table:]):
        if code == 0xFFFF:
            glyph += 1
        elif 0x20 <= code < 0x7F:
            characters.setdefault(data[4 + glyph * HEIGHT:4 + (glyph + 1) * HEIGHT], chr(code))
    return characters


def unfilter(rows, channels):
    """The scan lines of a PNG as they were before its filters (PNG specification: "Filter Algorithms")."""
    above = bytes(len(rows[0]) - 1)
    for row in rows:
        kind, line = row[0], bytearray(row[1:])
        for i in range(len(line) if kind else 0):
            left, up = line[i - channels] if i >= channels else 0, above[i]
            corner = above[i - channels] if i >= channels else 0
            if kind == 4:
                estimate = left + up - corner
                guess = min((left, up, corner), key=lambda value: abs(estimate - value))
            else:
                guess = (0, left, up, (left + up) // 2)[kind]
            line[i] = (line[i] + guess) & 0xFF
        above = bytes(line)
        yield above


class Picture:
    """The pixels of a screenshot."""

    def __init__(self, path):
        data, at, packed = Path(path).read_bytes(), 8, b""
        while at < len(data):
            length, kind = struct.unpack(">I4s", data[at:at + 8])
            body = data[at + 8:at + 8 + length]
            if kind == b"IHDR":
                self.width, self.height, depth, color = struct.unpack(">IIBB", body[:10])
                assert depth == 8 and color in (2, 6), "not the PNG that QEMU writes"
                self.channels = 3 if color == 2 else 4
            elif kind == b"IDAT":
                packed += body
            at += length + 12
        raw, pitch = zlib.decompress(packed), self.width * self.channels + 1
        self.rows = list(unfilter([raw[i:i + pitch] for i in range(0, len(raw), pitch)], self.channels))

    def pixel(self, x, y):
        """(red, green, blue)."""
        return tuple(self.rows[y][x * self.channels:x * self.channels + 3])

    def cell(self, column, row):
        """The bitmap of a character cell: what differs from its most frequent colour is ink."""
        lines = [[self.pixel(column * WIDTH + x, row * HEIGHT + y) for x in range(WIDTH)] for y in range(HEIGHT)]
        paper = Counter(pixel for line in lines for pixel in line).most_common(1)[0][0]
        return bytes(sum((pixel != paper) << (WIDTH - 1 - x) for x, pixel in enumerate(line)) for line in lines)

    def text(self):
        """The lines of text on the screen; a cell that shows no character of the font is a blank."""
        font = read_font()
        return ["".join(font.get(self.cell(column, row), " ") for column in range(self.width // WIDTH)).rstrip()
                for row in range(self.height // HEIGHT)]
