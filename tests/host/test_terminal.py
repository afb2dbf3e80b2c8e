"""What users name is printed as it is: rich must not see markup in it."""

import ast
import io
import pathlib
import types

import numpy as np
import pytest
from rich.console import Console

import emojax
from emojax.data import load
from emojax.data.prepare import parallel
from emojax.host import terminal
from emojax.report import table
from emojax.runtime.progress import TrainingProgress

NAME = 'a[/x][b]'  # '[/x]' closes what was never opened: an error to rich


@pytest.fixture(params=[True, False])
def console(request):
  return Console(file=io.StringIO(), width=100, force_terminal=request.param)


def shown(console):
  return console.file.getvalue()


def test_lines_and_rows(console):
  terminal.say(console, (NAME, 'bold'), f' {NAME}')
  terminal.show_rows(console, [(NAME, NAME)])
  with console.status(terminal.plain(NAME)):
    pass
  assert shown(console).count(NAME) >= 4


CODES = '\x1b]0;title\x07 \x1b[2J \x9b1A \r\x08 \u202e \u2069 \u2028 \udcff'
CODES_SHOWN = r'\x1b]0;title\x07 \x1b[2J \x9b1A \r\x08 \u202e \u2069 \u2028 '


def test_codes_of_strangers_are_shown_and_not_obeyed(console):
  console.width = 200
  terminal.say(console, (CODES, 'bold'), f' {CODES}')
  terminal.show_rows(console, [(CODES, CODES)])
  assert shown(console).count(CODES_SHOWN) == 4
  styles = shown(console).replace('\x1b[1m', '').replace('\x1b[0m', '')
  assert all(code == '\n' or code.isprintable() for code in styles)


def test_lines_stay_lines():
  assert terminal.harmless('a\n\tb\x1b') == 'a\n\tb\\x1b'
  assert terminal.one_line('a\n\tb\x1b') == r'a\n\tb\x1b'
  assert terminal.one_line('x' * 100, most=3) == 'xxx...'


def test_a_long_line_is_one_line(console):
  terminal.say(console, 'word ' * 50)
  assert shown(console).count('\n') == 1
  terminal.say(console, 'word ' * 50, wrap=True)
  assert shown(console).count('\n') > 2


def test_progress(console):
  with TrainingProgress(console, 3) as progress:
    progress.describe(f'{NAME}: predicting')
    progress.epoch(NAME, 0, 3, {f'loss/{NAME}': np.ones(2), 'val/total': 1.0})
  assert f'{NAME} 1.000' in shown(console)


def test_what_is_left_is_said_once_and_without_compiling(console):
  times = iter([100.0, 140.0, 142.0, 150.0])
  log = {'loss/total': np.ones(2), 'val/total': np.ones(2)}

  def segments(progress, count):
    for _ in range(count):
      for epoch in range(4):
        progress.epoch('Tea', epoch, 8, log)
      progress.segment(4)

  with TrainingProgress(console, 400, lambda: next(times)) as progress:
    progress.skip(180)  # of a sitting before
    progress.describe('Tea')
    segments(progress, 1)
    progress.describe('Stu1')  # another program is compiled
    segments(progress, 2)
    assert '208 epochs are left, about 2 min at 0.5 s each' in shown(console)
    segments(progress, 1)
  assert shown(console).count('epochs are left') == 1


@pytest.mark.parametrize(
  ('seconds', 'text'),
  [(0.4, '0 s'), (59, '59 s'), (60, '1 min'), (3629, '1 h 00 min'),
   (7500, '2 h 05 min')],
)  # fmt: skip
def test_durations(seconds, text):
  assert terminal.duration(seconds) == text


def test_losses_are_of_the_members_that_learned(console):
  log = {'loss/total': np.array([2.0, 0.0]), 'val/total': np.array([0.5, 0.7])}
  with TrainingProgress(console, 3) as progress:
    progress.epoch('Tea', 0, 3, log | {'stopped': np.array([0.0, 1.0])})
    progress.epoch('Tea', 1, 3, log | {'stopped': np.ones(2)})
  text = shown(console)
  assert 'total 2.000' in text
  assert 'total 0.600' in text
  assert 'all have stopped' in text


def test_work_in_parallel(console):
  made = parallel.run(
    str.upper,
    [(0, 1, 'x')],
    workers=1,
    total=1,
    title=NAME,
    unit=NAME,
    console=console,
  )
  assert list(made) == [(0, 'X')]
  if not console.is_terminal:
    assert f'{NAME}: 1 of 1 {NAME}' in shown(console)


def test_tables(console):
  rows = [(NAME, [NAME])]
  made = table.Table(NAME, [NAME], [table.Section(NAME, rows)], [''], note=NAME)
  table.show(made, console)
  assert shown(console).count(NAME) == 6


def test_the_data_sets_name(console):
  clips = [1, 2]
  dataset = types.SimpleNamespace(
    name=NAME, train=clips, val=clips, test=clips, ood={NAME: clips}
  )
  terminal.say(console, load.summary(dataset))
  assert f'{NAME}: clips: 2 training' in shown(console)
  assert f'OOD {NAME}' in shown(console)


def test_no_module_prints_what_strangers_say_as_it_is():
  """Errors, notes and paths name it: they go through `terminal`."""
  wrong = []
  for path in pathlib.Path(emojax.__file__).parent.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        continue
      if node.func.id != 'print' or not node.args:
        continue
      if not isinstance(node.args[0], ast.JoinedStr):
        continue
      named = {n.id for n in ast.walk(node.args[0]) if isinstance(n, ast.Name)}
      if named & {'error', 'message', 'note', 'out'}:
        wrong.append(f'{path.name}:{node.lineno}')
  assert not wrong


def test_no_module_prints_made_up_text_as_markup():
  """Texts with something put in go through `terminal`."""
  wrong = []
  for path in pathlib.Path(emojax.__file__).parent.rglob('*.py'):
    for node in ast.walk(ast.parse(path.read_text())):
      if not (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in ('print', 'status', 'add_row', 'TextColumn')
        and node.args
      ):
        continue
      if any(isinstance(arg, (ast.JoinedStr, ast.BinOp)) for arg in node.args):
        wrong.append(f'{path.name}:{node.lineno}')
  assert not [w for w in wrong if not w.startswith('__main__.py')]
