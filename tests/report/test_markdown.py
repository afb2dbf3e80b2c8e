"""Text that comes from data stays text in Markdown, HTML and the terminal."""

import html
import html.parser
import io

import hypothesis
import pytest
from hypothesis import strategies as st
from rich.console import Console

from emojax.report import markdown, page, style, table

HOSTILE = (
  '<script>alert(1)</script>',
  '![x](http://example.org/pixel.png)',
  '[click](javascript:alert(1))',
  '[x][y]',
  '[x]: http://example.org',
  '<img src=x onerror=alert(1)>',
  '&lt;b&gt; &#60;',
  'a|b|c',
  '`code` and ```',
  '**bold** _it_ ~~gone~~ $x$',
  '# title',
  '> quote',
  '1. list',
  '- list',
  '---',
  'two\nlines\n\n<b>',
  '\\<b>',
  '\\\\[a](b)',
  '[/x] [bold]red[/bold]',
  'www.example.org',
  '\x1b[31mred\u202e',
)


def blocks(text):
  cells = [table.Cell(1.0), text]
  return [
    page.Heading(text),
    page.Paragraph(text, lead=True),
    page.Picture(b'\x89PNG' + bytes(20), 'figures/a.png', text),
    page.Verdicts([(text, text, text, 'yes')]),
    page.Facts([(text, text)]),
    table.Table(
      text,
      ('a', text),
      [table.Section(text, [(text, cells), ('b', cells)])],
      ('high', ''),
      note=text,
    ),
  ]


@pytest.mark.parametrize('text', HOSTILE)
def test_reports_hold_it_as_text(text):
  rendered = page.to_markdown(text, blocks(text))
  allowed = rendered.replace('](figures/a.png)', '')
  for bad in ('](', '][', ']:', '://', 'www.'):
    assert bad not in allowed
  bare = allowed.replace('\\\\', '').replace('\\<', '').replace('\\&', '')
  assert '<' not in bare
  assert '&lt;' not in bare
  assert '\x1b' not in rendered
  # A row more, or a cell more, would be of the text's making.
  plain = page.to_markdown('x', blocks('x'))
  assert rendered.count('\n') == plain.count('\n')
  unescaped = rendered.replace('\\\\', '').replace('\\|', '')
  assert unescaped.count('|') == plain.count('|')


class Tags(html.parser.HTMLParser):
  """The tags of a document, and its text."""

  def __init__(self, document):
    super().__init__()
    self.found, self.text = [], ''
    self.feed(document)

  def handle_starttag(self, tag, attrs):
    self.found.append((tag, sorted(name for name, _ in attrs)))

  def handle_data(self, data):
    self.text += data


@pytest.mark.parametrize('text', HOSTILE)
def test_pages_hold_it_as_text(text):
  found = Tags(page.to_html(text, blocks(text)))
  assert found.found == Tags(page.to_html('x', blocks('x'))).found
  assert text in found.text


@pytest.mark.parametrize('text', HOSTILE)
def test_terminals_hold_it_as_text(text):
  console = Console(file=io.StringIO(), width=400)
  table.show(blocks(text)[-1], console)
  first = text.split('\n')[0].replace('\x1b', '')
  assert first[:8] in console.file.getvalue()


@hypothesis.given(st.text(max_size=30))
@hypothesis.settings(max_examples=200, deadline=None)
def test_no_text_ends_its_line_or_its_cell(text):
  found = markdown.escape(text)
  assert len(found.splitlines()) <= 1
  pairs = found.replace('\\\\', '')
  assert '|' not in pairs.replace('\\|', '')
  assert '<' not in pairs.replace('\\<', '')
  assert markdown.code(text).count('`') == 2


def test_plain_text_stays_as_it_is():
  text = (
    'AU NLL 0.36 [0.34, 0.38], loss.bin_values=ends; 3 < 4 is the exception'
  )
  assert markdown.escape(text) == text.replace('<', '\\<')
  assert markdown.escape('2. of two') == '2\\. of two'


def test_dollars_in_figures_are_no_mathematics():
  with style.use():
    figure, axes = style.grid(1, 1)
    axes[0][0].set_title('$\\nonsense{$')
    figure.canvas.draw()
