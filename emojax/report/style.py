"""The common look of all figures.

Colours are safe for the common colour-vision deficiencies (Okabe and Ito) and
stacks also differ by marker, so that nothing hangs on colour alone.
Figures are made without pyplot: no global state, no display needed.
"""

import contextlib
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib import colors
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

INK = '#22262e'
GREY = '#8a919e'
SINGLE, ENSEMBLE = '#0072b2', '#d55e00'
TRUTH = '#009e73'
OTHER_METHODS = ('#cc79a7', '#7a5c00', '#56b4e9')
MARKERS = ('o', 's', '^', 'D', 'v', 'P', 'X', '*')

_BLUES = colors.LinearSegmentedColormap.from_list(
  'blues', ['#56b4e9', '#0072b2', '#0b2545']
)
PIXEL_RATIO = 1.5  # dots of a PNG per pixel of the page
_RC: dict[Any, Any] = {
  'figure.dpi': 100,
  'savefig.dpi': 100 * PIXEL_RATIO,
  'figure.facecolor': 'white',
  'axes.facecolor': 'white',
  'font.family': ['DejaVu Sans'],
  'font.size': 10.5,
  'axes.titlesize': 11.5,
  'axes.titleweight': 'bold',
  'axes.titlelocation': 'left',
  'axes.labelsize': 10.5,
  'axes.labelcolor': INK,
  'axes.edgecolor': GREY,
  'axes.spines.top': False,
  'axes.spines.right': False,
  'axes.grid': True,
  'axes.axisbelow': True,
  'grid.color': '#e6e9ee',
  'grid.linewidth': 0.8,
  'xtick.color': INK,
  'ytick.color': INK,
  'text.color': INK,
  'text.parse_math': False,  # names of data sets and labels are text
  'legend.frameon': False,
  'legend.fontsize': 9.5,
  'lines.linewidth': 1.8,
  'lines.markersize': 6,
  'figure.constrained_layout.h_pad': 0.08,
  'figure.constrained_layout.w_pad': 0.08,
}


@contextlib.contextmanager
def use():
  """Context in which figures are drawn and saved in this style."""
  with matplotlib.rc_context():
    matplotlib.rcdefaults()
    matplotlib.rcParams.update(_RC)
    yield


def grid(rows: int, columns: int, width=3.6, height=3.1, **subplots):
  """Returns (figure, axes [rows, columns]) without registering it anywhere."""
  figure = Figure(
    figsize=(width * columns + 0.4, height * rows), layout='constrained'
  )
  FigureCanvasAgg(figure)
  axes = figure.subplots(rows, columns, squeeze=False, **subplots)
  return figure, axes


def panels(count: int, width=3.8, height=2.9):
  """Returns (figure, [axes]): in one row, but four or more in two columns."""
  columns = count if count < 4 else 2
  rows = -(-count // columns)
  figure, axes = grid(rows, columns, width, height)
  flat = [axis for row in axes for axis in row]
  for axis in flat[count:]:
    axis.remove()
  return figure, flat[:count]


def stack_styles(names: Sequence[str], apart: str = '') -> dict[str, dict]:
  """Colour and marker of each stack: they darken with their number.

  Args:
    names: The stacks in order.
    apart: One that has a colour unlike all others'.
  """
  others = [name for name in names if name != apart]
  last = max(1, len(others) - 1)
  chosen = {n: colors.to_hex(_BLUES(i / last)) for i, n in enumerate(others)}
  return {
    name: {
      'color': chosen.get(name, ENSEMBLE),
      'marker': MARKERS[i % len(MARKERS)],
    }
    for i, name in enumerate(names)
  }


def legend(figure, columns: int = 5):
  """One legend for all panels, below them; error bars (single models) first.

  It has as many columns as fit the figure, `columns` at most.
  """
  found = {}
  for axis in figure.axes:
    for handle, label in zip(*axis.get_legend_handles_labels()):
      found.setdefault(label, handle)
  if not found:
    return
  # Matplotlib lists error bars last.
  pairs = sorted(
    ((handle, label) for label, handle in found.items()),
    key=lambda pair: 'single models' not in pair[1],
  )
  for count in range(min(columns, len(pairs)), 0, -1):
    made = figure.legend(*zip(*pairs), loc='outside lower center', ncols=count)
    if made.get_window_extent().width <= figure.bbox.width or count == 1:
      return
    made.remove()


def density_colors() -> colors.Colormap:
  """Light to dark blue; the light end is visible on white."""
  return colors.LinearSegmentedColormap.from_list(
    'density', ['#c6dcec', '#0072b2', '#0b1d3a']
  )
