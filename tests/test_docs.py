"""The documents say what the code says: tables, quotations and links; and the sources pass `make lint`."""
import re
import shutil
import subprocess

import pytest

from docs import sessions, tables
from host.paths import TOP as ROOT


def run(*command, **options):
    """A command in the root of the tree; its result."""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200, check=False, **options)


@pytest.mark.parametrize('tool', ['docs.tables', 'docs.quotes'])
def test_documents_agree_with_the_code(tool):
    """README.md and docs/ hold no stale table, quotation or link."""
    result = run('/usr/bin/python3', 'tools/tool', tool)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize('tool,document,old,new', [
    ('docs.tables', 'docs/lock-order.md', '| 70 |', '| 71 |'),
    ('docs.quotes', 'docs/walk.md', 'Frame->PreviousIrql > APC_LEVEL', 'Frame->PreviousIrql > PASSIVE_LEVEL'),
    ('docs.quotes', 'docs/walk.md', '(../kernel/mm/fault.c)', '(../kernel/mm/faults.c)'),
])
def test_a_stale_document_is_found(tmp_path, tool, document, old, new):
    """The two tools are able to object: each finds a document that was made wrong."""
    for name in ('README.md', 'docs', 'kernel', 'arch', 'boot', 'tools', 'tests', 'LICENSE'):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name)
        else:
            shutil.copy(source, tmp_path / name)
    path = tmp_path / document
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    result = subprocess.run(['/usr/bin/python3', tmp_path / 'tools/tool', tool], capture_output=True, text=True, timeout=60,
                            check=False)
    assert result.returncode == 1
    assert document in result.stderr


def test_the_debugging_session_is_what_the_debugger_answers(tmp_path, build):
    """docs/debugging.md is typed anew into one session; a changed answer is found, and step nine leads to the crash.

    Another compiler makes another kernel: there the answers that it gives are taken for the document."""
    text = (ROOT / 'docs/debugging.md').read_text()
    dump = sessions.make_dump(tmp_path)
    fresh, stale = sessions.refresh(text, dump)
    if run('gcc', '-dumpversion').stdout.strip() == sessions.COMPILER:
        assert stale == []
    text = fresh
    wrong = text.replace('paged out, page file slot', 'paged out, page in slot', 1)
    wrong = re.sub(r'^(\d: kd> k)$', r'\1L', wrong, count=1, flags=re.M)
    assert sessions.refresh(wrong, dump)[1] == ['!analyze', 'kL']
    nine = text[text.index('## Nine'):text.index('## Ten')]
    places = [nine.index(word) for word in ('raised 0 -> 2, by secret!', 'lock secret!SecretLock acquired', 'page fault', 'bugcheck 0xD1')]
    assert places == sorted(places)


def test_lint():
    """Format, shell scripts, static analysis."""
    result = run('make', '-s', 'lint')
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_the_top_level_is_what_a_reader_expects():
    """The leavings of a compiler or an editor are not committed along."""
    files = {name for name in run('git', 'ls-files').stdout.split() if '/' not in name}
    assert files == {'.clang-format', '.editorconfig', '.gitignore', '.pytest.ini', 'LICENSE', 'Makefile', 'README.md'}


def test_no_line_of_code_is_longer_than_140_columns():
    """In every kind of source; a row of a document's table, kept in a tool, is one line of any length."""
    kinds = ('*.c', '*.cc', '*.h', '*.asm', '*.ld', '*.py', '*.mk', 'Makefile', 'tools/bugcheck', 'tools/tool', 'tools/build/mkiso')
    names = run('git', 'ls-files', '--', *kinds).stdout.splitlines()
    texts = {name: (ROOT / name).read_text(errors='replace').splitlines() for name in names if (ROOT / name).is_file()}
    assert len(texts) > 500
    long = [f'{name}:{number}' for name, lines in texts.items() for number, line in enumerate(lines, 1)
            if len(line) > 140 and not line.startswith('|')]
    assert not long, long


def test_lint_of_changed_files():
    """The part of it that takes a second, for the files that differ from the last commit."""
    result = run('make', '-s', 'lint-changed')
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


def test_help_names_every_command():
    """`make help` and `tools/bugcheck help` have a line for each thing that can be done."""
    targets = run('make', '-s', 'help').stdout
    for target in ('make run', 'make test', 'make gdb', 'make iso', 'make bench', 'make lint', 'make docs', 'make doctor', 'make hosts',
                   'make step', 'make models', 'make soak', 'make kd', 'make rewind', 'make trace'):
        assert re.search(rf'^{target}\s+\S', targets, re.M), target


PLAIN_WORDS = {'CPU', 'ARM', 'RAM', 'PC', 'NT', 'MIT', 'README', 'LICENSE', 'CR2', 'F5', 'IDR'}
REGISTERS = {'AL', 'CS', 'SS', 'RSP', 'RIP', 'RBP', 'RFLAGS', 'ELF64', 'ASSERT', 'PAGE', 'ACQUIRE'}


def prose(document):
    """A document's sentences, without code."""
    text = re.sub(r'^```.*?^```', '', (ROOT / document).read_text(), flags=re.S | re.M)
    return re.sub(r'`[^`]*`|\]\([^)]*\)|<!--.*?-->', '', text, flags=re.S)


@pytest.mark.parametrize('document', ['README.md', 'docs/walk.md', 'docs/stepping.md', 'docs/debugging.md'])
def test_the_glossary_knows_each_abbreviation(document):
    """A newcomer finds every abbreviation of the first documents in docs/glossary.md."""
    known = (ROOT / 'docs/glossary.md').read_text()
    used = set(re.findall(r'\b[A-Z][A-Z0-9]{1,6}\b', prose(document))) - PLAIN_WORDS - REGISTERS
    assert not {word for word in used if not re.search(rf'\b{word}\b', known)}


SPELLED_OUT = {'IRQL': 'interrupt request level', 'DPC': 'deferred procedure call', 'APC': 'asynchronous procedure call'}


@pytest.mark.parametrize('document,abbreviations', [
    ('README.md', ('IRQL', 'DPC')), ('docs/walk.md', ('IRQL', 'DPC')), ('docs/locks.md', ('IRQL', 'DPC')),
    ('docs/stepping.md', ('IRQL', 'DPC')), ('docs/lock-order.md', ('IRQL', 'DPC')),
    ('docs/verifier.md', ('IRQL', 'DPC', 'APC')), ('docs/glossary.md', ('IRQL', 'DPC', 'APC'))])
def test_a_document_spells_an_abbreviation_out(document, abbreviations):
    """Its words are close to its first use; a table's cells are too narrow for them."""
    text = re.sub(r'^\|.*\n', '', prose(document), flags=re.M)
    for abbreviation in abbreviations:
        first = text.index(abbreviation)
        assert SPELLED_OUT[abbreviation] in text[max(first - 120, 0):first + 120].replace('\n', ' '), abbreviation


def sources():
    """Every source of the kernel, and of the tests inside it."""
    kinds = ('*.c', '*.cc', '*.h', '*.asm', '*.inc', '*.def', '*.ld', '*.mk', '*.cfg')
    folders = ('boot', 'arch', 'kernel', 'tests/kernel')
    names = run('git', 'ls-files', '--', *(f'{folder}/{kind}' for folder in folders for kind in kinds))
    found = [ROOT / name for name in names.stdout.splitlines() if (ROOT / name).is_file()]
    assert len(found) > 300
    return found


def test_a_thesis_is_at_most_90_columns():
    """The first sentence of each source file of the kernel, behind its name."""
    theses = {path: tables.thesis(path) for path in sources() if path.suffix not in ('.mk', '.cfg') and 'tests' not in path.parts}
    assert all(theses.values())
    assert not {str(path.relative_to(ROOT)): text for path, text in theses.items() if len(text) > 90}


ACCENTS = (r'\b(nobody|somebody|everybody|anybody|whoever|whatever|for ever|who has an|'
           r'stands (in|above|below|beside|behind)|(is|are|be) told (of|about|to|so|by|in))\b')
MEANT = ('docs/CONTRIBUTING.md',        # says what not to write
         'docs/debugging.md')           # what the debugger of this very build answers


def test_no_sentence_has_the_accent():
    """Words that a native editor would not print: see docs/CONTRIBUTING.md."""
    documents = [ROOT / 'README.md', *ROOT.glob('docs/**/*.md')]
    others = [ROOT / name for name in run('git', 'ls-files', '--', 'tools', 'tests/drivers').stdout.splitlines() if (ROOT / name).is_file()]
    assert len(others) > 300
    texts = {str(path.relative_to(ROOT)): path.read_text(errors='replace') for path in sources() + documents + others}
    assert not [f'{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]}' for name, text in texts.items() if name not in MEANT
                for found in re.finditer(ACCENTS, text, re.I)]


@pytest.mark.parametrize('files,message,problem', [
    (1, 'Mm: share one read between collided faults', None),
    (9, 'Mm: share one read between collided faults\n\nTwo threads used to read the page twice.', None),
    (1, '# a comment of git\nMm: share one read', None),
    (9, 'Mm: share one read between collided faults', 'why'),
    (9, 'Mm: share one read\n\nSigned-off-by: A Person <a@example.org>', 'why'),
    (1, 'share one read between collided faults', 'component'),
    (1, 'Mm: ' + 'x' * 69, '72'),
    (1, 'Mm: share one read; Ke: count it', 'two ideas'),
    (1, 'Mm: share one read.', 'full stop'),
    (1, 'Mm: share one read\nand more', 'second line'),
    (1, '', 'component'),
])
def test_the_hook_judges_a_commit_message(tmp_path, files, message, problem):
    """tools/hooks/commit-msg holds docs/CONTRIBUTING.md's rules for commits."""
    (tmp_path / 'message').write_text(message + '\n')
    result = run('tools/hooks/commit-msg', str(tmp_path / 'message'), str(files))
    assert (result.returncode == 0) is (problem is None), result.stderr
    assert (problem or '') in result.stderr
    assert len(result.stderr.splitlines()) == (problem is not None)


def walked(text):
    """(instructions, [files]) of the table that tools/docs/walk.py prints."""
    instructions = int(re.search(r'^(\d+) instructions, \d+ files', text, re.M)[1])
    return instructions, re.findall(r'^ *\d+  (\S+\.(?:c|asm))', text, re.M)


def test_the_walk_is_as_long_as_the_documents_say():
    """The files of docs/walk.md are those that the fatal fault enters; another compiler may take a tenth more or less."""
    done = run('tools/tool', 'docs.walk')
    assert done.returncode == 0, done.stderr
    told = re.search(r'<!-- walk: .*?```\n(.*?)```', (ROOT / 'docs/walk.md').read_text(), re.S)[1]
    count, files = walked(done.stdout)
    assert walked(told)[1] == files and abs(walked(told)[0] - count) * 10 <= count, done.stdout


@pytest.mark.parametrize('walk,first,also', [('thread', 'kernel/ps/thread.c', 'kernel/ke/scheduler.c'),
                                             ('create', 'kernel/io/create.c', 'kernel/ob/lookup.c')])
def test_other_walks_are_counted_too(walk, first, also):
    """A new thread, and a file that is opened: their files in the order in which they are entered."""
    done = run('tools/tool', 'docs.walk', walk)
    assert done.returncode == 0, done.stderr
    count, files = walked(done.stdout)
    assert files[0] == first and also in files and count > 1000 and re.match(r'\d+ instructions, \d+ files, \d+ hops\n', done.stdout)
    assert run('tools/tool', 'docs.walk', 'nowhere').stderr == 'bugcheck: usage: tools/tool docs.walk [fault|thread|create|--update]\n'


def test_the_readme_walks_the_same_way():
    """README's table names no file that docs/walk.md does not, and the numbers are the same. It comes before the tools."""
    readme, walk = ((ROOT / name).read_text() for name in ('README.md', 'docs/walk.md'))
    section = readme.split('## The walk')[1].split('## The map')[0]
    headings = re.findall('^## (.*)', readme, re.M)
    assert headings.index('The walk') < headings.index('Your driver')
    count, files = walked(re.search(r'<!-- walk: .*?```\n(.*?)```', walk, re.S)[1])
    for path in re.findall(r'\]\((\S+\.(?:c|asm))\)', section):
        assert f'](../{path})' in walk or path.split('/')[-1] in walk, path
    assert f'{count} instructions in {len(files)} files' in section
