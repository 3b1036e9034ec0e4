"""Writes the tables of README.md and docs/ from the kernel's own: none is kept by hand.

A table is between <!-- table NAME --> and <!-- end -->. NAME: scenarios, locks, regions, bugchecks, files, tools, commands,
parts. Without arguments the tool compares; --update rewrites.
"""
import ast
import json
import re
import sys

from host.paths import TOP

TABLE = re.compile(r'(<!-- table (\w+) -->\n)(.*?)(<!-- end -->)', re.S)
STRING = r'"((?:[^"\\]|\\.)*)"'


def source(name):
    """A source file without its comments."""
    return re.sub(r'/\*.*?\*/', '', (TOP / name).read_text(), flags=re.S)


def rows(header, lines):
    """A Markdown table."""
    head = '| ' + ' | '.join(header) + ' |\n|' + '---|' * len(header) + '\n'
    return head + ''.join('| ' + ' | '.join(line) + ' |\n' for line in lines)


def scenarios():
    """kernel/story/scenarios.def."""
    pattern = re.compile(rf'SCENARIO\(\s*{STRING},\s*{STRING},\s*{STRING},\s*(\w+),\s*(\w+),\s*{STRING}')
    found = pattern.findall(source('kernel/story/scenarios.def'))
    return rows(['scenario', 'what it is', 'how it ends'], [
        (f'`{name}`', title, 'completes' if end == 'END_COMPLETED' else f'`{code}`')
        for name, title, _, end, code, _ in found])


def ranks():
    """The RANK_ names of spinlock.h with their numbers."""
    body = re.search(r'enum \{\s*RANK_NONE(.*?)\}', source('kernel/include/spinlock.h'), re.S).group(0)
    return {name: int(value) for name, value in re.findall(r'(RANK_\w+) = (\d+)', body)}


def locks():
    """Every KE_DECLARE_LOCK, in the order of ranks."""
    numbers, found = ranks(), []
    for path in sorted((TOP / 'kernel').rglob('*.c')):
        name = path.relative_to(TOP)
        pattern = re.compile(rf'^(?:static )?KE_DECLARE_LOCK\((\w+),\s*([^,]+),\s*{STRING}\)', re.M)
        for lock, rank, guards in pattern.findall(source(name)):
            number = eval(rank, {'__builtins__': {}}, numbers)  # pylint: disable=eval-used
            found.append((number, f'`{lock}`', guards, f'[{name.name}](../{name})'))
    return rows(['rank', 'lock', 'guards', 'where'], [(str(f[0]), *f[1:]) for f in sorted(found)])


def regions():
    """The rows of kernel/mm/layout.c, with the numbers of mm.h."""
    names = dict(re.findall(r'#define (MM_\w+) (0x[0-9A-F]+)ULL', source('kernel/include/mm.h')))
    pattern = re.compile(rf'\{{Region\w+, (\w+), (\w+), {STRING}\}}')

    def number(text):
        return int(names.get(text, text).replace('ULL', ''), 16)

    found = [(number(start), number(end), what) for start, end, what in pattern.findall(source('kernel/mm/layout.c'))]
    return rows(['from', 'to', 'region'], [
        (f'`{start:016X}`', f'`{end - 1:016X}`', what) for start, end, what in sorted(found) if end])


def bugchecks():
    """kernel/include/ddk/bugcodes.def."""
    pattern = re.compile(r'BUGCODE\((0x[0-9A-Fa-f]+),\s*(\w+),' + rf'\s*(\w+),\s*{STRING},' * 4 + rf'\s*((?:{STRING}\s*)+),')
    lines = []
    for match in pattern.finditer(source('kernel/include/ddk/bugcodes.def')):
        fields = match.groups()
        parameters = [fields[i].replace('|', '\\|') or '–' for i in (3, 5, 7, 9)]
        lines.append((f'0x{int(fields[0], 16):X}', f'`{fields[1]}`', *parameters))
    return rows(['code', 'name', 'P1', 'P2', 'P3', 'P4'], lines)


def thesis(path):
    """The sentence on top of a source file, behind its name."""
    text = re.sub(r'^(#!.*\n)', '', path.read_text())
    lead = re.match(r'\s*(?:/\*(.*?)\*/|((?:[;#].*\n)+))', text, re.S)
    if not lead:
        return ''
    words = lead.group(1) or re.sub(r'^[;#]', '', lead.group(2), flags=re.M)
    first = re.split(r'\n\s*\*?\s*\n', words)[0]
    flat = ' '.join(re.sub(r'^\s*\*', '', line).strip() for line in first.splitlines())
    found = re.match(rf'\s*{re.escape(path.name)}: (.*?)(?<=[a-z)0-9])[.](?:\s|$)', flat)
    return found.group(1) if found else flat.split(': ', 1)[-1].strip().rstrip('.')


def listed(name):
    """The sources that kernel/sources.mk lists under a name, in its order."""
    return re.findall(rf'^{name} \+= (\S+)', (TOP / 'kernel/sources.mk').read_text(), re.M)


def walk():
    """The files of the README's walk, in its order."""
    section = re.search(r'^## The walk\n(.*?)^## ', (TOP / 'README.md').read_text(), re.S | re.M).group(1)
    return re.findall(r'^\| [^|]* \| \[[^\]]*\]\(([^)]*)\)', section, re.M)


def size(names):
    """How many files, and how many lines they have."""
    return len(names), sum(len((TOP / name).read_text().splitlines()) for name in names)


def parts():
    """How long the walk, the core and the ring are; lines in hundreds, so that not each change of code is one of the README."""
    found = ((name, *size(names), how) for name, names, how in (
        ('the walk', walk(), 'in the order above, from the touch to the blue screen'),
        ('the core', listed('CORE'), 'in the order of `make -s core-list`, from the boot loader to the story'),
        ('the ring', listed('RING'), 'what you look for: [docs/files.md](docs/files.md) has each in one line')))
    return rows(['part', 'files', 'lines', 'how to read it'], [
        (name, str(count), f'{round(lines, -2):,}', how) for name, count, lines, how in found])


def files():
    """Every source file of the kernel with its thesis, and which of them one reads whole."""
    lines, core, ring = [], set(listed('CORE')), set(listed('RING'))
    for folder in ('boot', 'arch', 'kernel'):
        for path in sorted((TOP / folder).rglob('*')):
            if path.suffix in ('.c', '.cc', '.h', '.asm', '.def', '.ld'):
                name = path.relative_to(TOP)
                part = 'core' if str(name) in core else 'ring' if str(name) in ring else ''
                lines.append((f'[{name}](../{name})', part, thesis(path).replace('|', '\\|')))
    return rows(['file', 'part', 'what it is'], lines)


# The folders of tools/, each above those that it may import from.
SHELVES = ('host', 'machine', 'build', 'kd/target', 'kd/model', 'kd/commands', 'kd', 'steps', 'plugin', 'cli', 'docs', 'hooks')
# The words of those that are no packages of Python.
OTHERS = {'plugin': 'The plugin: the code that QEMU loads to stop a seeded machine at a chosen store.',
          'hooks': 'The hooks: the checks that git runs at each commit.', '': 'The programs that a person or make starts.'}


def first_sentence(path):
    """The sentence on top of a tool, in its docstring or its first comment, without its name before it."""
    text = path.read_text()
    if path.suffix == '.py' or text.startswith('#!/usr/bin/python3'):
        return ast.get_docstring(ast.parse(text)).splitlines()[0].replace('|', '\\|')
    comment = re.search(r'<!--(.*?)-->|/\*(.*?)\*/|((?:^#(?!!)[^\n]*\n)+)', text, re.M | re.S)[0]
    flat = ' '.join(re.sub(r'^[ #*/<!-]+', '', line).strip() for line in comment.splitlines()).removeprefix(f'{path.name}: ')
    sentence = re.match(r'(.*?\w[")]?\.)(?: |$)', flat)
    said = sentence[1] if sentence else flat.rstrip(' >-') + '.'
    return (said[0].upper() + said[1:]).replace('|', '\\|')


def tools():
    """Every folder of tools/ with its thesis, from the ground up, and its files with theirs."""
    lines = []
    for shelf in ('', *SHELVES):
        folder = TOP / 'tools' / shelf
        place = f'tools/{shelf}'.rstrip('/')
        said = OTHERS[shelf] if shelf in OTHERS else first_sentence(folder / '__init__.py')
        lines.append((f'**[{place}/](../{place})**', f'**{said}**'))
        for path in sorted(folder.iterdir()):
            if path.is_file() and path.name != '__init__.py':
                name = path.relative_to(TOP)
                lines.append((f'[{name}](../{name})', first_sentence(path)))
    return rows(['file', 'what it is'], lines)


def labs():
    """What tests/labs says of each lab."""
    found = [(path.parent.name, json.loads(path.read_text())) for path in sorted((TOP / 'tests/labs').glob('*/lab.json'))]
    return rows(['lab', 'what', 'files', 'hours'], [
        (f'[{name[:2]}]({name}/README.md)', lab['title'], ', '.join(lab['files']), lab['hours']) for name, lab in found])


def registered():
    """{name: (usage, summary)} of the debugger's commands: the arguments of @command in tools/kd."""
    found = {}
    for path in sorted((TOP / 'tools/kd/commands').glob('*.py')):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef):
                found.update({call.args[0].value: (call.args[1].value, call.args[2].value) for call in node.decorator_list
                              if isinstance(call, ast.Call) and getattr(call.func, 'id', '') == 'command'})
    return found


def commands():
    """The debugger's commands beside WinDbg's (tools/kd/windbg.txt)."""
    listed, known = {}, registered()
    for line in (TOP / 'tools/kd/windbg.txt').read_text().splitlines():
        if not line.startswith('#'):
            name, theirs, differs = (field.strip() for field in line.split('|'))
            listed[name] = (theirs, differs)
    wrong = sorted(set(listed) ^ set(known))
    if wrong:
        sys.exit(f'tables: tools/kd/windbg.txt and the commands in tools/kd do not agree on: {", ".join(wrong)}')
    return rows(['WinDbg', 'here', 'what it shows', 'how it differs'], [
        ('–' if theirs == '-' else f'`{theirs}`', f'`{f"{name} {known[name][0]}".rstrip()}`'.replace('|', '\\|'),
         known[name][1].replace('|', '\\|'), differs) for name, (theirs, differs) in listed.items()])


MAKERS = {'commands': commands, 'scenarios': scenarios, 'locks': locks, 'regions': regions, 'bugchecks': bugchecks, 'files': files,
          'parts': parts, 'tools': tools, 'labs': labs}


def main(words):
    """Checks or updates every document."""
    update = words == ['--update']
    if words and not update:
        return 'usage: tools/tool docs.tables [--update]'
    stale = []
    for path in [TOP / 'README.md', *sorted((TOP / 'docs').rglob('*.md'))]:
        text = path.read_text()
        fresh = TABLE.sub(lambda m: m.group(1) + MAKERS[m.group(2)]() + m.group(4), text)
        if fresh != text and update:
            path.write_text(fresh)
        elif fresh != text:
            stale.append(str(path.relative_to(TOP)))
    for name in stale:
        print(f'tables: {name}: a table is not what the kernel says; run: make docs', file=sys.stderr)
    return 1 if stale else 0
