"""The package is one column of floors: no import points upwards."""

import ast
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / 'emojax'
# From top to bottom (docs/design.md). Rooms on one floor do not know each other.
FLOORS = (
  ('__main__',),
  ('cli',),
  ('__init__', 'answer', 'evaluate', 'export', 'main', 'publish'),
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
  ('host', 'settings', 'tasks'),
)
FLOOR = {room: i for i, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: pathlib.Path) -> str:
  return path.relative_to(PACKAGE).parts[0].removesuffix('.py')


def imports(tree: ast.AST):
  """Yields the rooms that a module asks for, wherever it does."""
  for node in ast.walk(tree):
    if isinstance(node, ast.ImportFrom) and node.module:
      for alias in node.names:
        yield f'{node.module}.{alias.name}'.split('.')[:2]
    elif isinstance(node, ast.Import):
      yield from (alias.name.split('.')[:2] for alias in node.names)


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


def test_an_import_upwards_is_noticed():
  asked = imports(ast.parse('def f():\n  from emojax import main, ops'))
  assert list(asked) == [['emojax', 'main'], ['emojax', 'ops']]
