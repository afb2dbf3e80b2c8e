"""The package is one column of floors: no import points upwards."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / 'emojax'
# From top to bottom (docs/design.md). Rooms on one floor do not know each other.
FLOORS = (
  ('__main__',),
  ('cli',),
  (
    '__init__',
    'answer',
    'calibrate',
    'evaluate',
    'export',
    'main',
    'publish',
    'push',
  ),
  ('web',),
  ('answers', 'trained'),
  ('experiments',),
  ('report',),
  ('evaluation',),
  ('runtime',),
  ('engine',),
  ('uncertainty',),
  ('metrics',),
  ('losses', 'models'),
  ('ops',),
  ('faces',),
  ('data',),
  ('host', 'interchange', 'settings', 'tasks'),
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}
# What the rooms of `experiments` may know of each other: no paper another one.
SHARED = {'frame', 'protocol'}
ASKS = {
  '__init__': {
    'protocol'
  },  # its names alone; papers are imported when asked for
  'protocol': set(),
  'frame': {'protocol'},
  'two_stage': SHARED,
  'incomplete_labels': SHARED | {'two_stage'},
  'shared_annotations': SHARED | {'two_stage'},
  'bayesian': SHARED,
  'distillation': SHARED,
  'relative_uncertainty': SHARED,
}


def room_of(path: pathlib.Path, within: pathlib.Path = PACKAGE) -> str:
  return path.relative_to(within).parts[0].removesuffix('.py')


def imports(tree: ast.AST, depth: int = 2):
  """Yields the rooms that a module asks for, wherever it does."""
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        yield f'{node.module}.{alias.name}'.split('.')[:depth]
    elif isinstance(node, ast.Import):
      yield from (alias.name.split('.')[:depth] for alias in node.names)


def sideways(room: str, tree: ast.AST):
  """Yields the rooms of `experiments` that one of them must not know."""
  for asked in imports(tree, 3):
    if asked[:2] == ['emojax', 'experiments'] and len(asked) == 3:
      if asked[2] in ASKS.keys() - ASKS[room] - {room}:
        yield asked[2]


def upward(files):
  """(file, room that it must not know) of all that point upwards."""
  for path in files:
    room = room_of(path)
    for root, *asked in imports(ast.parse(path.read_text())):
      if root != 'emojax' or not asked or asked[0] not in FLOOR:
        continue  # emojax.__version__ is no room
      if asked[0] != room and FLOOR[asked[0]] <= FLOOR[room]:
        yield str(path.relative_to(PACKAGE)), asked[0]


def test_every_room_has_a_floor():
  assert {room_of(path) for path in PACKAGE.rglob('*.py')} <= set(FLOOR)


def test_no_import_points_upwards():
  assert list(upward(sorted(PACKAGE.rglob('*.py')))) == []


def test_no_paper_asks_another_one():
  papers = PACKAGE / 'experiments'
  found = {
    (room_of(path, papers), asked)
    for path in sorted(papers.rglob('*.py'))
    for asked in sideways(room_of(path, papers), ast.parse(path.read_text()))
  }
  assert found == set()


def test_papers_that_ask_each_other_are_noticed():
  text = 'from emojax.experiments.{} import {}'
  for paper, *asked in (
    ('bayesian', 'distillation', 'run'),
    ('relative_uncertainty', 'two_stage', 'scores'),
    ('incomplete_labels', 'shared_annotations', 'run'),
    ('two_stage', 'incomplete_labels', 'run'),
    ('frame', 'two_stage', 'pairs'),
  ):
    found = [*sideways(paper, ast.parse(text.format(*asked)))]
    assert found == asked[:1]
  whole = ast.parse('import emojax.experiments.bayesian.run')
  assert [*sideways('distillation', whole)] == ['bayesian']
  beside = ast.parse('from emojax.experiments import bayesian, frame')
  assert [*sideways('distillation', beside)] == ['bayesian']
  below = text.format('two_stage', 'scores')
  assert not [*sideways('shared_annotations', ast.parse(below))]
  assert not [*sideways('two_stage', ast.parse(below))]


def asks_config(node: ast.AST) -> bool:
  """Whether it is `config.x` or `run.config.x`, and JAX's is another."""
  if not isinstance(node, ast.Attribute):
    return False
  of = node.value
  if isinstance(of, ast.Attribute) and isinstance(of.value, ast.Name):
    return of.attr == 'config' and of.value.id != 'jax'
  return isinstance(of, ast.Name) and of.id == 'config'


def readers_of_config(tree: ast.AST):
  """Functions that read a configuration, and are not named so."""
  for node in ast.walk(tree):
    if isinstance(node, ast.FunctionDef):
      named = node.name.endswith('from_config')
      if not named and any(map(asks_config, ast.walk(node))):
        yield node.name


def test_below_the_papers_the_configuration_is_read_in_one_kind_of_function():
  below = {
    room for rooms in FLOORS[FLOORS.index(('report',)) :] for room in rooms
  }
  found = {
    (path.stem, name)
    for path in PACKAGE.rglob('*.py')
    if room_of(path) in below
    for name in readers_of_config(ast.parse(path.read_text()))
  }
  # It makes configurations of others, and hands none of their settings on.
  assert {room for room, _ in found} == {'overrides'}


def test_whoever_reads_the_configuration_is_noticed():
  reads = 'def f(config):\n  return config.train.epochs'
  named = 'def f_from_config(config):\n  return config.train.epochs'
  other = 'def f():\n  return jax.config.jax_platforms'
  assert list(readers_of_config(ast.parse(reads))) == ['f']
  assert not list(readers_of_config(ast.parse(named)))
  assert not list(readers_of_config(ast.parse(other)))


def test_an_import_upwards_is_noticed():
  asked = imports(ast.parse('def f():\n  from emojax import main, ops'))
  assert list(asked) == [['emojax', 'main'], ['emojax', 'ops']]
