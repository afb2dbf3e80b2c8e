"""The report as blocks, and the two documents that are made of them."""

import base64
import dataclasses
import html
from collections.abc import Sequence

from emojax.report import markdown
from emojax.report import table as tables
from emojax.report.style import PIXEL_RATIO
from emojax.report.stylesheet import CSS


@dataclasses.dataclass(frozen=True)
class Heading:
  """A section's title."""

  text: str


@dataclasses.dataclass(frozen=True)
class Paragraph:
  """Plain text; `lead` for the summary at the top."""

  text: str
  lead: bool = False


@dataclasses.dataclass(frozen=True)
class Picture:
  """A figure: PNG bytes, its file relative to the report, and what it shows."""

  png: bytes
  path: str
  caption: str


@dataclasses.dataclass(frozen=True)
class Verdicts:
  """Rows (claim, paper, this run, verdict)."""

  rows: Sequence[tuple[str, str, str, str]]


@dataclasses.dataclass(frozen=True)
class Facts:
  """Rows (name, value)."""

  rows: Sequence[tuple[str, str]]


Block = Heading | Paragraph | Picture | Verdicts | Facts | tables.Table
SYMBOLS = {
  'yes': '✓ yes',
  'no': '✗ no',
  'unclear': '≈ unclear',
  'identity': '= holds for any members',
  'untestable': '– not testable here',
}


def _markdown_block(block: Block) -> str:
  escape = markdown.escape
  if isinstance(block, Heading):
    return f'## {escape(block.text)}\n'
  if isinstance(block, Paragraph):
    return f'{escape(block.text)}\n'
  if isinstance(block, Picture):
    caption = escape(block.caption)
    return f'![{caption}]({block.path})\n\n*{caption}*\n'
  if isinstance(block, tables.Table):
    return tables.to_markdown(block)
  if isinstance(block, Verdicts):
    head = ['| Finding | Paper | This run | Shown? |', '|---|---|---|---|']
    rows = [(*row[:3], SYMBOLS[row[3]]) for row in block.rows]
  else:
    head, rows = ['| | |', '|---|---|'], block.rows
  lines = [f'| {" | ".join(map(escape, row))} |' for row in rows]
  return '\n'.join([*head, *lines]) + '\n'


def to_markdown(title: str, blocks: Sequence[Block]) -> str:
  """The whole report in GitHub-flavoured Markdown; figures as files."""
  return f'# {markdown.escape(title)}\n\n' + '\n'.join(
    map(_markdown_block, blocks)
  )


def _html_block(block: Block) -> str:
  escape = html.escape
  if isinstance(block, Heading):
    return f'<h2>{escape(block.text)}</h2>'
  if isinstance(block, Paragraph):
    kind = ' class="lead"' if block.lead else ''
    return f'<p{kind}>{escape(block.text)}</p>'
  if isinstance(block, Picture):
    data = base64.b64encode(block.png).decode()
    caption = escape(block.caption)
    return (
      '<figure class="picture"><div class="scroll">'
      f'<img {_size(block.png)} alt="{caption}" '
      f'src="data:image/png;base64,{data}"></div>'
      f'<figcaption>{caption}</figcaption></figure>'
    )
  if isinstance(block, tables.Table):
    return tables.to_html(block)
  if isinstance(block, Verdicts):
    return _html_verdicts(block)
  rows = ''.join(
    f'<dt>{escape(name)}</dt><dd>{escape(value)}</dd>'
    for name, value in block.rows
  )
  return f'<dl>{rows}</dl>'


def _size(png: bytes) -> str:
  """Attributes of an image; large ones scroll on phones instead of shrinking."""
  # The header of a PNG holds its width at byte 16; figures have more dots than
  # CSS pixels, for sharp screens.
  width = round(int.from_bytes(png[16:20]) / PIXEL_RATIO)
  return f'width="{width}"' + (' class="large"' if width > 620 else '')


def _html_verdicts(block: Verdicts) -> str:
  escape = html.escape
  items = []
  for claim, paper, here, verdict in block.rows:
    items.append(
      f'<li class="{verdict}"><span class="verdict">{SYMBOLS[verdict]}</span>'
      f'<div><strong>{escape(claim)}</strong>'
      f'<span>This run: {escape(here)}</span>'
      f'<span>Paper: {escape(paper)}</span></div></li>'
    )
  return f'<ul class="findings">{"".join(items)}</ul>'


def to_html(title: str, blocks: Sequence[Block]) -> str:
  """The whole report in one file: figures embedded, no scripts, no network."""
  body = '\n'.join(map(_html_block, blocks))
  return (
    '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark">'
    f'<title>{html.escape(title)}</title><style>{CSS}</style></head>\n'
    f'<body><main><h1>{html.escape(title)}</h1>\n{body}\n</main></body></html>\n'
  )
