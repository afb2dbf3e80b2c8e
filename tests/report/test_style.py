"""What all figures share."""

import matplotlib.pyplot as plt
import pytest

from emojax.report import style


@pytest.mark.parametrize(('width', 'columns'), [(3.5, 1), (6, 2), (20, 4)])
def test_legends_fit_their_figures(width, columns):
  with style.use():
    figure, axis = plt.subplots(figsize=(width, 3), layout='constrained')
    for k in range(6):
      axis.plot([0, k], label=f'something of a length {k}')
    style.legend(figure, axis, columns=4)
  (found,) = figure.legends
  assert found._ncols == columns
  assert found.get_window_extent().width <= figure.bbox.width
  plt.close(figure)
