"""Training curves from metrics.jsonl."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from emojax.report import style

Lines = Sequence[Mapping[str, Any]]


def by_member(lines: Lines, generation: str, key: str):
  """Epochs and values of every member.

  Returns:
    [(epochs, values, epochs that improved the total)] by member; epochs
    without the key are left out.
  """
  members = sorted(
    {line['member'] for line in lines if line['generation'] == generation}
  )
  found = []
  for member in members:
    rows = [
      (line['epoch'], line[key], bool(line.get('best')))
      for line in lines
      if line['generation'] == generation
      and line['member'] == member
      and line.get(key) is not None
    ]
    epochs, values, best = (np.array(x) for x in zip(*rows)) if rows else (
      np.zeros(0, int), np.zeros(0), np.zeros(0, bool)
    )  # fmt: skip
    found.append((epochs, values, epochs[best]))
  return found


def _keys(lines: Lines) -> list[str]:
  """Total, then the tasks' scores, in the order in which they were logged."""
  keys = [key for key in lines[0] if key.startswith('val/')]
  wanted = ['val/total', *(key for key in keys if key.endswith('/score'))]
  return [key for key in wanted if key in lines[0]]


def _title(key: str) -> str:
  if key == 'val/total':
    return 'total'
  return key.split('/')[1].upper()


def validation(lines: Lines, names: Sequence[str], apart: str = ''):
  """Validation scores by epoch: a thin line a member, a thick one their mean.

  Rings mark the selected epoch of each member. The axes begin where the second
  quarter of the epochs does, as what comes before would flatten the rest. None
  without lines. `apart` is as of `style.stack_styles`.
  """
  if not lines or not _keys(lines):
    return None
  keys = _keys(lines)
  styles = style.stack_styles(names, apart)
  figure, axes = style.grid(
    len(names), len(keys), width=2.9, height=2.2, sharex=True, sharey='col'
  )
  for row, name in enumerate(names):
    for column, key in enumerate(keys):
      _curves(axes[row][column], lines, name, key, styles[name]['color'])
      if row == 0:
        axes[row][column].set_title(f'{_title(key)} (validation)')
    axes[row][0].set_ylabel(name, fontweight='bold')
  for axis, key in zip(axes[-1], keys):
    axis.set_xlabel('epoch')
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    _zoom(axis, lines, key)
  _legend(figure)
  return figure


def _zoom(axis, lines: Lines, key: str):
  """Limits that hold what is drawn from the second quarter of the epochs on."""
  epochs = 1 + max(line['epoch'] for line in lines)
  late = [line for line in lines if line['epoch'] >= epochs // 4]
  values = np.array([line[key] for line in late if line.get(key) is not None])
  if values.size and (span := np.ptp(values)) > 0:
    axis.set_ylim(values.min() - 0.08 * span, values.max() + 0.08 * span)


def _legend(figure):
  """What a thin line, a thick one and a ring are, whatever their colour."""
  looks = {
    'a member': {'linewidth': 0.9, 'alpha': 0.45},
    'mean of the members': {'linewidth': 2.2},
    'selected epoch of a member': {'linestyle': '', 'marker': 'o'},
  }
  handles = [
    Line2D([], [], color=style.INK, fillstyle='none', ms=7, **look)
    for look in looks.values()
  ]
  figure.legend(handles, looks, loc='outside lower center', ncols=len(looks))


def _curves(axis, lines: Lines, name: str, key: str, color: str):
  members = by_member(lines, name, key)
  for epochs, values, best in members:
    axis.plot(epochs + 1, values, color=color, linewidth=0.9, alpha=0.45)
    if best.size:
      at = best[-1] == epochs
      axis.plot(
        epochs[at] + 1, values[at], 'o', color=color, fillstyle='none', ms=7
      )
  if members and len({len(values) for _, values, _ in members}) == 1:
    mean = np.mean([values for _, values, _ in members], axis=0)
    axis.plot(members[0][0] + 1, mean, color=color, linewidth=2.2)


def task_weights(lines: Lines, names: Sequence[str]):
  """Weights of Algorithm 1 by epoch, mean and range over members."""
  keys = [k for k in lines[0] if k.startswith('task_weight/')] if lines else []
  if not keys or len({line[key] for line in lines for key in keys}) == 1:
    return None  # Algorithm 1 was off, or there is only one task
  figure, axes = style.grid(1, len(names), width=3.0, height=2.9, sharey=True)
  palette = ('#0072b2', '#d55e00', '#009e73', '#cc79a7')
  for axis, name in zip(axes[0], names):
    for i, key in enumerate(keys):
      members = by_member(lines, name, key)
      if not members or len({len(v) for _, v, _ in members}) != 1:
        continue
      values = np.array([v for _, v, _ in members])
      epochs = members[0][0] + 1
      look = {'color': palette[i % len(palette)]}
      axis.plot(
        epochs,
        values.mean(0),
        marker=style.MARKERS[i % len(style.MARKERS)],
        markersize=4,
        label=key.removeprefix('task_weight/').upper(),
        **look,
      )
      axis.fill_between(
        epochs, values.min(0), values.max(0), alpha=0.15, linewidth=0, **look
      )
    axis.set(title=name, xlabel='epoch')
    axis.xaxis.set_major_locator(MaxNLocator(6, integer=True))
  axes[0][0].set(ylabel='task weight', ylim=(0, None))  # of all: shared
  style.legend(figure)
  return figure
