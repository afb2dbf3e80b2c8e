"""Tables and the figure of `benchmarks.exchange_rate`."""

import io
from collections.abc import Sequence

import numpy as np

from benchmarks import tables, vote_scores
from benchmarks.vote_scores import KL, LOWER_IS_BETTER, SPEARMAN
from emojax.data.readers import ferplus_rules
from emojax.evaluation import vote_limits, votes
from emojax.report import style

ALL = ferplus_rules.ANNOTATORS
FEWEST = (
  7  # votes of faces whose annotators are compared: all but one in a hundred
)
SINGLE = 'one teacher'
# Column -> votes -> seed -> scores.
Found = dict[str, dict[int, dict[int, vote_scores.Scores]]]


def together(size: int) -> str:
  """Column of an ensemble."""
  return SINGLE if size == 1 else f'{size} teachers'


def student(size: int) -> str:
  """Column of a student of an ensemble."""
  return f'a student of {size}'


def known(counts: np.ndarray) -> tuple[list[float], int]:
  """Divergence of the votes from what n other annotators of the face know.

  Args:
    counts: Votes, [F, E].

  Returns:
    By n from 0; the number of faces with votes enough.
  """
  counts = counts[counts.sum(1) >= FEWEST]
  alpha = vote_limits.concentration(counts)
  plain = votes.entropy(counts / counts.sum(1, keepdims=True)).mean()
  found = [
    vote_limits.left_out(counts, alpha, np.full(len(counts), asked)).mean()
    for asked in range(FEWEST)
  ]
  return [float(each - plain) for each in found], len(counts)


def annotators(counts: np.ndarray) -> tables.Table:
  """What other annotators of the same face know of one vote."""
  found, faces = known(counts)
  rows = [[str(n), vote_scores.number(each)] for n, each in enumerate(found)]
  note = (
    f'{faces:,} faces with {FEWEST} votes for emotions or more. Who knows n of '
    'them says (n_c + alpha_c) / (n + sum alpha) of another one, by the most likely '
    'Dirichlet distribution; the mean NLL less the entropy of all votes is on the '
    'scale of the divergence of predictions.'
  )
  title = 'What other annotators of a face know'
  return tables.Table(title, ['annotators asked', KL], rows, [note])


def worth(
  counts: Sequence[int], values: Sequence[float], value: float, lower: bool
) -> float:
  """How many votes a single teacher needs to reach a score.

  Args:
    counts: Votes of a face, increasing.
    values: Scores of a single teacher by them.
    value: The score.
    lower: Whether less is better.

  Returns:
    The smallest number between the first and the last of `counts` at which the
    score is reached, linear in its logarithm between them; 0 if it is worse than
    the first, infinite if it is better than all.
  """
  sign = -1 if lower else 1
  better = sign * np.asarray(values, float)
  wanted, places = sign * value, np.log(counts)
  if wanted < better[0]:
    return 0.0
  for i in range(len(better) - 1):
    if better[i] <= wanted <= better[i + 1]:
      rise = better[i + 1] - better[i]
      part = (wanted - better[i]) / rise if rise else 0.0
      return float(np.exp(places[i] + part * (places[i + 1] - places[i])))
  return np.inf


def levels(made: Found, key: str, faces: int) -> tables.Table:
  """A score by votes (rows) and by who answers (columns)."""
  columns = _columns(made)
  counts = sorted({count for by in made.values() for count in by})
  rows = []
  for count in counts:
    cells = []
    for column in columns:
      by_seed = made[column].get(count, {})
      values = [one[key] for one in by_seed.values()]
      cells.append(_level(values, faces) if values else tables.MISSING)
    rows.append([str(count), *cells])
  return tables.Table(f'{key}, by votes of a face', ['votes', *columns], rows)


def _level(values: Sequence[np.ndarray], faces: int) -> str:
  text = vote_scores.over_chains(values, faces).signed().lstrip('+')
  return f'{text} ({len(values)})'


def _columns(made: Found) -> list[str]:
  sizes = range(1, ALL + 1)
  order = [together(n) for n in sizes] + [student(n) for n in sizes]
  return [name for name in order if name in made]


def rates(made: Found, key: str) -> tables.Table:
  """So many votes a single teacher needs: mean of the chains, and their range."""
  columns = [name for name in _columns(made) if name != SINGLE]
  single = made.get(SINGLE, {})
  rows = []
  for count in sorted(single):
    cells = []
    for column in columns:
      mine = made[column].get(count, {})
      cells.append(_rate(single, mine, key))
    rows.append([str(count), *cells])
  note = (
    'Of the mean over the chains, and in brackets the smallest and the largest of '
    'the chains. A dash: not all numbers of votes are finished.'
  )
  title = f'Votes that one teacher needs to be as good ({key})'
  return tables.Table(title, ['votes', *columns], rows, [note])


def _rate(single, mine, key: str) -> str:
  """A cell: all chains of `mine`, and each for itself."""
  counts, seeds = sorted(single), sorted(mine)
  every = [single[count].get(seed) for count in counts for seed in seeds]
  if not seeds or len(counts) < 2 or None in every:
    return tables.MISSING

  def of(chosen) -> float:
    curve = [
      float(np.mean([single[count][seed][key][0] for seed in chosen]))
      for count in counts
    ]
    value = float(np.mean([mine[seed][key][0] for seed in chosen]))
    return worth(counts, curve, value, key in LOWER_IS_BETTER)

  if len(seeds) == 1:
    return _votes(of(seeds))
  each = [of([seed]) for seed in seeds]
  return f'{_votes(of(seeds))} ({_votes(min(each))} to {_votes(max(each))})'


def _votes(count: float) -> str:
  if count == 0:
    return 'fewer'
  return 'more' if np.isinf(count) else f'{count:.1f}'


def figure(made: Found, cast: np.ndarray) -> bytes:
  """Scores by votes of a face, each way of answering a line; a PNG.

  Args:
    made: Scores.
    cast: Votes for the test faces, [F, E]: what they allow, and what those of some
      annotators tell of others, are lines, too.
  """
  bounds = vote_limits.limits(cast, 0)
  perfect = {
    KL: (bounds.kl[vote_limits.LOWER], bounds.kl[vote_limits.MODEL]),
    SPEARMAN: tuple(bounds.spearman.values()),
  }
  with style.use():
    drawn, axes = style.grid(1, 2, 4.6, 3.8)
    for axis, (key, values) in zip(axes[0], perfect.items(), strict=True):
      _lines(axis, made, key)
      for value in values:
        axis.axhline(
          value, color=style.TRUTH, linewidth=1.2, linestyle=':',
          label='a perfect predictor (two estimates)',
        )  # fmt: skip
    told, _ = known(cast)
    axes[0][0].plot(
      range(1, len(told)), told[1:], color=style.GREY, linestyle='--',
      label='as many other annotators of the face',
    )  # fmt: skip
    style.legend(drawn, 3)
    buffer = io.BytesIO()
    drawn.savefig(buffer, format='png')
  return buffer.getvalue()


def _lines(axis, made: Found, key: str):
  """A line for each way of answering: means over the chains."""
  ways = _columns(made)
  teachers = [way for way in ways if not way.startswith('a student')]
  looks = style.stack_styles(teachers)
  for i, way in enumerate(way for way in ways if way not in teachers):
    color = style.OTHER_METHODS[i % len(style.OTHER_METHODS)]
    looks[way] = {'color': color, 'marker': 'P', 'linestyle': '--'}
  for way in ways:
    counts = sorted(made[way])
    level = [
      np.mean([scores[key][0] for scores in made[way][n].values()])
      for n in counts
    ]
    axis.plot(counts, level, label=way, **looks[way])
  counts = sorted({count for by in made.values() for count in by})
  axis.set(xscale='log', xlabel='votes of a training face', ylabel=key)
  axis.set_xticks(counts, counts)
  axis.minorticks_off()
