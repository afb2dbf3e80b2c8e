"""What all figures share."""

import matplotlib.pyplot as plt
import pytest
from matplotlib import colors

from emojax.report import style


@pytest.mark.parametrize(('width', 'columns'), [(3.5, 1), (6, 2), (20, 4)])
def test_legends_fit_their_figures(width, columns):
  with style.use():
    figure, axis = plt.subplots(figsize=(width, 3), layout='constrained')
    for k in range(6):
      axis.plot([0, k], label=f'something of a length {k}')
    style.legend(figure, columns=4)
  (found,) = figure.legends
  assert found._ncols == columns
  assert found.get_window_extent().width <= figure.bbox.width
  plt.close(figure)


def test_a_legend_names_the_lines_of_all_panels_once():
  figure, axes = plt.subplots(1, 2, layout='constrained')
  for axis, names in zip(axes, (('a', 'single models'), ('a', 'b'))):
    for name in names:
      axis.plot([0, 1], label=name)
  style.legend(figure)
  (found,) = figure.legends
  assert [t.get_text() for t in found.texts] == ['single models', 'a', 'b']
  plt.close(figure)


def test_stacks_darken_with_their_number_whatever_they_are_called():
  looks = style.stack_styles(['a', 'Tea', 'b'])
  plain = style.stack_styles(['a', 'c', 'b'])
  assert [*looks.values()] == [*plain.values()]
  brightness = [sum(colors.to_rgb(look['color'])) for look in looks.values()]
  assert brightness == sorted(brightness, reverse=True)
  assert len(set(brightness)) == 3
  one = style.stack_styles(['a', 'c', 'b'], apart='c')
  assert one['c']['color'] == style.ENSEMBLE
  assert one['a'] | one['b'] == style.stack_styles(['a', 'x', 'b'], 'x')['b']
  assert style.stack_styles(['a'])['a'] == looks['a']
