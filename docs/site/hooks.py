"""What the site needs beside MkDocs: documents from outside docs/, formulas, rooms.

Runs inside `mkdocs build` (mkdocs.yml). Formulas become MathML while the site is
built, so that a reader's browser needs no script and no network for them.
"""

import html
import pathlib
import posixpath
import re

import latex2mathml.converter
from mkdocs import exceptions
from mkdocs.structure import files as structure

ROOT = pathlib.Path(__file__).parents[2]
# Documents that have their place elsewhere, and the pages that they become.
OUTSIDE = {
  'README.md': 'overview.md',
  'CONTRIBUTING.md': 'contributing.md',
  'CHANGELOG.md': 'changelog.md',
  'emojax/weights/ferplus/README.md': 'models/ferplus.md',
}
SOURCES = {page: source for source, page in OUTSIDE.items()}
LINK = re.compile(r'\]\(([^)\s]+)\)')
FORMULA = re.compile(
  r'<(?P<tag>span|div) class="arithmatex">'
  r'\\[(\[](?P<tex>.*?)\\[)\]]</(?P=tag)>',
  re.DOTALL,
)


def on_files(files, config):
  """Adds the documents from outside docs/."""
  for source, page in OUTSIDE.items():
    files.append(
      structure.File.generated(config, page, abs_src_path=str(ROOT / source))
    )
  return files


def on_page_markdown(markdown, page, config, files):
  """Makes links between files of the repository links between pages."""
  here = page.file.src_uri

  def link(match):
    return f']({relinked(match[1], here, files.src_uris)})'

  return LINK.sub(link, markdown)


def on_page_content(content, page, config, files):
  """Makes formulas MathML."""
  return FORMULA.sub(lambda m: formula(m, page.file.src_uri), content)


def relinked(target: str, here: str, pages) -> str:
  """A link as the site has it; what leads to no page stays as it is.

  Args:
    target: As it is written, relative to the file in the repository.
    here: The page that has it.
    pages: All files of the site.
  """
  path, hash_, anchor = target.partition('#')
  if not path or '://' in path:
    return target
  source = SOURCES.get(here, f'docs/{here}')
  there = posixpath.normpath(posixpath.join(posixpath.dirname(source), path))
  page = OUTSIDE.get(there, there.removeprefix('docs/'))
  if page not in pages:
    return target
  return posixpath.relpath(page, posixpath.dirname(here)) + hash_ + anchor


def formula(match: re.Match, where: str) -> str:
  """A formula as MathML.

  Raises:
    PluginError: If it has a command that the converter does not know; it would
      stand in the page as it was typed.
  """
  tex = html.unescape(match['tex']).strip()
  display = 'block' if match['tag'] == 'div' else 'inline'
  made = latex2mathml.converter.convert(tex, display=display)
  if '\\' in made:
    raise exceptions.PluginError(f'{where}: no MathML of the formula {tex!r}')
  return made
