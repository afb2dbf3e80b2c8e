"""The site of the documents: complete, strict, and asking nothing of a network."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = ROOT / 'emojax'
# Doors have pages of their own in the documents, and no functions to call.
DOORS = {
  '__main__',
  'answer',
  'calibrate',
  'cli',
  'evaluate',
  'export',
  'main',
  'publish',
  'push',
}
NO_CODE = {'weights'}


def referred() -> set[str]:
  """Modules and packages that the reference asks for."""
  pages = (ROOT / 'docs' / 'reference').glob('*.md')
  return {
    name
    for page in pages
    for name in re.findall(r'^::: (\S+)$', page.read_text(), re.MULTILINE)
  }


def hooks():
  """The hooks of the site, where MkDocs is installed."""
  pytest.importorskip('mkdocs', reason='needs the extra `docs`')
  pytest.importorskip('latex2mathml', reason='needs the extra `docs`')
  path = ROOT / 'docs' / 'site' / 'hooks.py'
  spec = importlib.util.spec_from_file_location('site_hooks', path)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


def test_every_room_is_in_the_reference():
  rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == '.py' or p.is_dir()}
  rooms -= DOORS | NO_CODE | {'__init__', '__pycache__'}
  there = {name.split('.')[1] for name in referred() - {'emojax'}}
  assert there == rooms
  data = {path.stem for path in (PACKAGE / 'data').iterdir()}
  asked = {n.split('.')[2] for n in referred() if n.startswith('emojax.data.')}
  assert asked == {name for name in data if not name.startswith('_')}


def test_every_page_is_in_the_navigation():
  navigation = (ROOT / 'mkdocs.yml').read_text().partition('\nnav:\n')[2]
  named = set(re.findall(r'([\w./-]+\.md)$', navigation, re.MULTILINE))
  docs = ROOT / 'docs'
  pages = {str(p.relative_to(docs)) for p in docs.rglob('*.md')}
  outside = {'overview.md', 'contributing.md', 'changelog.md'}
  assert named == pages | outside | {'models/ferplus.md'}


@pytest.mark.parametrize(
  ('target', 'here', 'link'),
  [
    ('docs/design.md#verdicts', 'overview.md', 'design.md#verdicts'),
    ('../design.md', 'results/rul.md', '../design.md'),
    ('../../CONTRIBUTING.md', 'methods/index.md', '../contributing.md'),
    ('../emojax/weights/ferplus/README.md', 'design.md', 'models/ferplus.md'),
    ('../../../docs/design.md', 'models/ferplus.md', '../design.md'),
    ('#here', 'design.md', '#here'),
    (
      'https://a.org/docs/design.md',
      'design.md',
      'https://a.org/docs/design.md',
    ),
    ('nowhere.md', 'design.md', 'nowhere.md'),
  ],
)
def test_links_of_the_repository_are_links_of_the_site(target, here, link):
  pages = {'design.md', 'overview.md', 'contributing.md', 'models/ferplus.md'}
  assert hooks().relinked(target, here, pages) == link


def test_formulas_are_mathml():
  content = (
    'a <span class="arithmatex">\\(x &lt; y_1\\)</span> b\n'
    '<div class="arithmatex">\\[\n\\frac{a}{b}\n\\]</div>'
  )
  site = hooks()
  made = site.FORMULA.sub(lambda m: site.formula(m, 'page.md'), content)
  assert made.count('<math') == 2
  assert made.count('display="block"') == 1
  assert '<mfrac>' in made
  assert 'arithmatex' not in made
  assert '\\' not in made


def test_a_formula_that_stays_as_typed_is_an_error():
  site = hooks()
  content = '<span class="arithmatex">\\(\\Big\\| x\\)</span>'
  with pytest.raises(Exception, match=r'page\.md: no MathML'):
    site.FORMULA.sub(lambda m: site.formula(m, 'page.md'), content)


@pytest.mark.slow  # half a minute
def test_the_site_is_built_strictly_and_loads_nothing(tmp_path):
  hooks()
  built = subprocess.run(
    [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-d', str(tmp_path)],
    cwd=ROOT,
    capture_output=True,
    text=True,
    timeout=600,
    check=False,
  )
  assert built.returncode == 0, built.stderr
  pages = {p.relative_to(tmp_path): p for p in tmp_path.rglob('*.html')}
  assert len(pages) > 40
  loads = re.compile(
    r'<(?:script|img|link|iframe)[^>]*?(?:src|href)="?(\w+:)?//'
  )
  for name, path in pages.items():
    text = path.read_text()
    assert not loads.search(text), name
    assert 'class="arithmatex"' not in text, name
  losses = (tmp_path / 'reference' / 'losses.html').read_text()
  assert losses.count('id="emojax.losses.pointwise.bce_with_logits"') == 1
