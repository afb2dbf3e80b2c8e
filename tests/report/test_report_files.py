"""A report's figures and pages on disk."""

import matplotlib
import pytest

from emojax.report import files, page, style


def drawn(width=1.0):
  figure, axes = style.panels(1, width, 1.0)
  axes[0].plot([0, 1])
  return figure


def test_figures_that_show_something_are_saved(tmp_path):
  folder = tmp_path / 'figures'
  found = files.draw(
    folder,
    [('b', drawn, 'B'), ('none', lambda: None, 'N'), ('a', drawn, 'A')],
  )
  assert list(found) == ['b', 'a']  # in the order of the report
  assert found['a'].path == 'figures/a.png'
  assert found['a'].caption == 'A'
  assert sorted(p.name for p in folder.iterdir()) == ['a.png', 'b.png']
  assert (folder / 'a.png').read_bytes() == found['a'].png
  assert found['a'].png == found['b'].png  # equal figures are equal files


def test_figures_of_an_earlier_report_do_not_stay(tmp_path):
  files.draw(tmp_path, [('a', drawn, ''), ('b', drawn, '')])
  files.draw(tmp_path, [('a', lambda: None, ''), ('b', drawn, '')])
  assert [p.name for p in tmp_path.iterdir()] == ['b.png']


def test_figures_have_the_style_of_all_and_leave_none_behind(tmp_path):
  before = matplotlib.rcParams['axes.edgecolor']

  def make():
    assert matplotlib.rcParams['axes.edgecolor'] == style.GREY
    return drawn()

  (found,) = files.draw(tmp_path, [('a', make, '')]).values()
  assert matplotlib.rcParams['axes.edgecolor'] == before != style.GREY
  with style.use():
    ratio = style.PIXEL_RATIO
    width = int.from_bytes(found.png[16:20], 'big')  # of the PNG's header
    assert width == pytest.approx(100 * ratio * drawn().get_figwidth(), abs=1)


def test_the_page_is_written_last(tmp_path, monkeypatch):
  blocks = [page.Heading('One'), page.Paragraph('two & three')]
  path = files.write(tmp_path, 'Title', blocks)
  assert path == tmp_path / 'report.html'
  assert (tmp_path / 'report.md').read_text() == page.to_markdown(
    'Title', blocks
  )
  assert path.read_text() == page.to_html('Title', blocks)

  def failing(*_):
    raise OSError

  path.unlink()
  monkeypatch.setattr(page, 'to_html', failing)
  with pytest.raises(OSError):
    files.write(tmp_path, 'Other', blocks)
  assert (tmp_path / 'report.md').read_text().startswith('# Other')
  assert not path.exists()  # so the run is not finished
