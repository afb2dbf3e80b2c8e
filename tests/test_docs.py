"""What the documents and docstrings name is there: files, modules, links, rooms."""

import ast
import doctest
import functools
import importlib
import pathlib
import re

import pytest

import emojax

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / 'emojax'
DOCUMENTS = (
  *(ROOT / name for name in ('README.md', 'CONTRIBUTING.md', 'CHANGELOG.md')),
  *sorted((ROOT / 'docs').rglob('*.md')),
)
SOURCES = (*sorted(PACKAGE.rglob('*.py')), *sorted(ROOT.glob('configs/*.py')))
# A file, and what every module has.
NO_MODULES = {'emojax.json', 'emojax.__file__'}
# Modules with examples in their docstrings.
EXAMPLES = (
  'emojax.losses.pointwise',
  'emojax.losses.soft_targets',
  'emojax.metrics.calibration',
  'emojax.metrics.emotion',
  'emojax.uncertainty.decomposition',
)


def files_named(text: str):
  """Paths of the package that a text names; NAME stands for any."""
  return re.findall(r'(?<![\w/.])emojax/[\w/]+(?:\.py|/)(?!\w)', text)


def modules_named(text: str):
  """Dotted names of the package that a text has."""
  return re.findall(r'(?<![\w/.])emojax(?:\.\w+)+', text)


@functools.cache
def names_in(path: pathlib.Path) -> set[str]:
  """What a module defines or imports at its top level, read and not run."""
  found = set()
  for node in ast.parse(path.read_text()).body:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
      found.add(node.name)
    for part in ast.walk(node):
      if isinstance(part, ast.alias):
        found.add((part.asname or part.name).split('.')[0])
      elif isinstance(part, ast.Name):
        found.add(part.id)
  return found


def exists(dotted: str) -> bool:
  """Whether a dotted name is a module, or what a module has."""
  _, *parts = dotted.split('.')
  place = PACKAGE
  for i, part in enumerate(parts):
    if (place / part).is_dir():
      place = place / part
    elif (place / f'{part}.py').is_file():
      place = place / f'{part}.py'
    else:  # attributes: of the module, or of a class that is not looked into
      module = place if place.suffix else place / '__init__.py'
      return part in names_in(module) or (
        dotted == 'emojax.load' and 'load' in module.read_text()
      )
    if place.suffix and i + 1 < len(parts):
      return parts[i + 1] in names_in(place)
  return True


def where(path: pathlib.Path) -> str:
  return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', DOCUMENTS + SOURCES, ids=where)
def test_what_is_named_exists(path):
  text = path.read_text()
  files = {f for f in files_named(text) if not (ROOT / f).exists()}
  modules = set(modules_named(text)) - NO_MODULES
  assert files == set()
  assert {name for name in modules if not exists(name)} == set()


@pytest.mark.parametrize('path', DOCUMENTS, ids=where)
def test_relative_links_lead_somewhere(path):
  for target in re.findall(r'\]\(([^)\s]+)\)', path.read_text()):
    if '://' not in target and not target.startswith('#'):
      assert (path.parent / target.partition('#')[0]).exists(), target


def test_every_room_is_in_the_column():
  design = (ROOT / 'docs' / 'design.md').read_text()
  layout = design[design.index('## Layout') : design.index('## Contracts')]
  for folder in (PACKAGE, PACKAGE / 'data', PACKAGE / 'experiments'):
    for room in folder.iterdir():
      if room.is_dir() and room.name != '__pycache__':
        assert f'{room.name}/' in layout, room
      elif room.suffix == '.py' and not room.name.startswith('__'):
        assert room.stem in layout, room


def test_the_citation_is_of_this_version():
  cited = (ROOT / 'CITATION.cff').read_text()
  assert f'\nversion: {emojax.__version__}\n' in cited


def test_hooks_have_the_ruff_of_the_tests():
  hooks = (ROOT / '.pre-commit-config.yaml').read_text()
  (pinned,) = re.findall(
    r'"ruff==([\d.]+)"', (ROOT / 'pyproject.toml').read_text()
  )
  assert f'rev: v{pinned} ' in hooks


def test_names_that_are_gone_are_noticed():
  text = '`emojax/distillation.py`, emojax.study, `emojax.tasks.Schem`'
  assert files_named(text) == ['emojax/distillation.py']
  assert not any(map(exists, modules_named(text)))
  assert exists('emojax.tasks.Schema')
  assert exists('emojax.data.readers.files')


@pytest.mark.parametrize('name', EXAMPLES)
def test_examples_of_docstrings(name):
  result = doctest.testmod(importlib.import_module(name))
  assert result.attempted
  assert not result.failed


def test_no_example_is_left_out():
  found = {
    '.'.join(path.relative_to(ROOT).with_suffix('').parts)
    for path in SOURCES
    if '>>> ' in path.read_text()
  }
  assert found == set(EXAMPLES)
