"""Numbers as WinDbg takes them: bare hex, 0n10, nt!Symbol, @rip, poi(x), and sums of these.

What is not of this form is an expression of GDB's: &KiBug->Rip, $rip, KiProcessorBlock[1]->Number.
"""

import operator
import re

import gdb

from kd.target.command import KdError
from kd.target.memory import MASK, read
from kd.target.registers import value_of_register
from kd.target.symbols import symbol_address

TOKEN = re.compile(r"""\s*(?:
    (?P<number>0x[0-9a-fA-F`]+|0n\d+|0y[01]+|0t[0-7]+|[0-9][0-9a-fA-F`]*(?![\w!])|[0-9a-fA-F`]+(?![\w!.]))
  | (?P<register>@@?\$?[a-zA-Z_]\w*)
  | (?P<name>[a-zA-Z_?][\w.\-]*![\w.$?@~]*|[a-zA-Z_?][\w$]*)
  | (?P<operator><<|>>|[-+*/%&|^~()])
)""", re.VERBOSE)
READERS = {"poi": 8, "qwo": 8, "dwo": 4, "wo": 2, "by": 1}
FUNCTIONS = {"low": lambda value: value & 0xFFFF, "hi": lambda value: value >> 16 & 0xFFFF, "not": lambda value: int(not value)}
LEVELS = (("|",), ("^",), ("&",), ("<<", ">>"), ("+", "-"), ("*", "/", "%"))
MEANING = {"|": operator.or_, "^": operator.xor, "&": operator.and_, "<<": operator.lshift, ">>": operator.rshift,
           "+": operator.add, "-": operator.sub, "*": operator.mul, "/": operator.floordiv, "%": operator.mod}
DEEPEST = 64                                # nested parentheses


class NotOurs(Exception):
    """It is not of this form: GDB may know it."""


def tokens(text):
    """[(kind, text)] of an expression; NotOurs for anything else."""
    found, place, end = [], 0, len(text.rstrip())
    while place < end:
        match = TOKEN.match(text, place)
        if match is None:
            raise NotOurs
        found.append((match.lastgroup, match[match.lastgroup]))
        place = match.end()
    return found


def number(text):
    """The value of one number."""
    text = text.replace("`", "")
    for prefix, base in (("0x", 16), ("0n", 10), ("0y", 2), ("0t", 8)):
        if text.lower().startswith(prefix):
            text = text[2:]
            return int(text or "0", base)
    return int(text or "0", 16)


def register(name):
    """The value of @rip, @$rip, @irql."""
    name = name.lstrip("@").lstrip("$")
    return value_of_register(name)


class Parser:
    """One expression, by recursive descent."""

    def __init__(self, text):
        self.tokens, self.place, self.depth = tokens(text), 0, 0

    def peek(self):
        return self.tokens[self.place] if self.place < len(self.tokens) else (None, None)

    def take(self):
        token = self.peek()
        self.place += 1
        return token

    def accept(self, text):
        if self.peek() == ("operator", text):
            self.place += 1
            return True
        return False

    def all(self):
        value = self.level(0)
        if self.place != len(self.tokens):
            raise NotOurs
        return value & MASK

    def level(self, depth):
        if depth == len(LEVELS):
            return self.unary()
        value = self.level(depth + 1)
        while self.peek()[0] == "operator" and self.peek()[1] in LEVELS[depth]:
            sign = self.take()[1]
            other = self.level(depth + 1)
            if sign in ("/", "%") and other == 0:
                raise KdError("division by zero")
            value = MEANING[sign](value, min(other, 64) if sign in ("<<", ">>") else other) & MASK
        return value

    def unary(self):
        signs = []
        while self.peek() in (("operator", "-"), ("operator", "~"), ("operator", "+")):
            signs.append(self.take()[1])
        value = self.primary()
        for sign in reversed(signs):
            value = {"-": -value, "~": ~value, "+": value}[sign] & MASK
        return value

    def primary(self):
        kind, text = self.take()
        if kind == "number":
            return number(text)
        if kind == "register":
            return register(text)
        if kind == "operator" and text == "(":
            return self.inside()
        if kind == "name":
            return self.named(text)
        raise NotOurs

    def inside(self):
        self.depth += 1
        if self.depth > DEEPEST:
            raise KdError(f"more than {DEEPEST} parentheses inside each other")
        value = self.level(0)
        if not self.accept(")"):
            raise KdError("a closing parenthesis is missing")
        self.depth -= 1
        return value

    def named(self, text):
        if text.lower() in READERS and self.accept("("):
            return int.from_bytes(read(self.inside(), READERS[text.lower()]), "little")
        if text.lower() in FUNCTIONS and self.accept("("):
            return FUNCTIONS[text.lower()](self.inside())
        if self.peek() == ("operator", "("):
            raise NotOurs
        return symbol_address(text)


def ask_gdb(text, complaint):
    """The value of an expression of GDB's as a number; what has no number has its address."""
    try:
        value = gdb.parse_and_eval(text)
        kind = value.type.strip_typedefs().code
        if kind in (gdb.TYPE_CODE_STRUCT, gdb.TYPE_CODE_UNION, gdb.TYPE_CODE_ARRAY, gdb.TYPE_CODE_FUNC):
            value = value.address
        return int(value) & MASK
    except gdb.MemoryError:
        raise
    except (gdb.error, TypeError, OverflowError, ValueError) as problem:
        raise KdError(complaint or f"'{text}': {str(problem).splitlines()[0]}") from None


def evaluate(text):
    """The value of an expression, an int of 64 bits; KdError where it has none."""
    text = str(text).strip()
    if not text:
        raise KdError("an expression is missing")
    if len(text) > 4096:
        raise KdError("the expression is too long")
    try:
        return Parser(text).all()
    except NotOurs:
        return ask_gdb(text, None)
    except KdError as problem:
        if "no symbol" not in str(problem):
            raise
        return ask_gdb(text, str(problem))


def is_kernel_expression(text):
    """Whether a text is surely meant as an address of the kernel's: a number in its half, or nt!Name, @rax, poi(x)."""
    text = text.strip()
    if not text or " " in text and not re.search(r"[-+()!@]", text):
        text = text.split()[0] if text else ""
    if not text:
        return False
    try:
        found = tokens(text.split()[0])
    except NotOurs:
        return False
    if any(kind == "register" or kind == "name" and ("!" in word or word.lower() in READERS) for kind, word in found):
        return True
    return any(kind == "number" and number(word) >> 47 == 0x1FFFF for kind, word in found)
