"""How many annotators' votes is an ensemble member worth, or a student? On FER+.

  python -m benchmarks.exchange_rate runs/rate --source DOWNLOADS \
    --out docs/results/votes.md
  python -m benchmarks.exchange_rate runs/rate --source DOWNLOADS --train \
    --out docs/results/votes.md

The first line says what ten votes allow a perfect predictor, what other annotators
of a face know of one more, what is finished and what the rest takes; it writes the
tables of what there is between the markers of a page. The second one does the rest,
and goes on where it was stopped: data sets whose training labels are 1, 2, 3, 5 and
all ten votes of a face (`--votes`), for each and each seed five teachers, and
a student of one, two, three, four and all of them (`--distilled`). Test faces are
PublicTest, whose votes nobody is trained on.

  ... --members 3 --distilled 3 --seeds 1 --set model.width=0.25

asks for less of it: three teachers and one student for each number of votes, in one
chain, and all of them smaller (--minutes has to be told, too).

One more thing is worth so many votes as a single teacher needs to be as good:
between the numbers of votes that there are, its score is taken to be linear in
their logarithm.
"""

import argparse
import dataclasses
import pathlib
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from benchmarks import planned_runs, recipes, tables, vote_scores
from benchmarks.options import numbers
from benchmarks.planned_runs import Planned
from benchmarks.vote_scores import KL, LOWER_IS_BETTER, SPEARMAN
from emojax.data.readers import ferplus_files, ferplus_rules
from emojax.data.readers.files.problems import Problems
from emojax.evaluation import vote_limits, votes
from emojax.report import validity

CONFIG = 'configs/ferplus.py'
ALL = ferplus_rules.ANNOTATORS
FEWEST = (
  7  # votes of faces whose annotators are compared: all but one in a hundred
)
MEMBERS = 5
# What the runs differ in.
OWN = (
  'seed', 'data.seed', 'data.path', 'ensemble.size', 'generations',
  'distill.students', 'distill.teachers', 'eval.mc_samples',
)  # fmt: skip
FREE = (
  'seed', 'data.seed', 'data.path', 'ensemble.size', 'distill.', 'runtime.',
)  # fmt: skip
SINGLE = 'one teacher'
# Column -> votes -> seed -> scores.
Found = dict[str, dict[int, dict[int, vote_scores.Scores]]]


def together(size: int) -> str:
  """Column of an ensemble."""
  return SINGLE if size == 1 else f'{size} teachers'


def student(size: int) -> str:
  """Column of a student of an ensemble."""
  return f'a student of {size}'


def run_path(folder: pathlib.Path, count: int, size: int, seed: int):
  """Folder of a run: votes of a face, teachers, chain."""
  return folder / f'votes{count}-teachers{size}-{seed}'


def plan(
  folder: pathlib.Path,
  source: str,
  counts: Sequence[int],
  sizes: Sequence[int],
  seeds: Sequence[int],
  members: int = MEMBERS,
  recipe: Mapping[str, str] = MappingProxyType({}),
) -> list[Planned]:
  """Everything that is to be done, in order.

  Args:
    folder: Of runs and prepared data.
    source: FER2013 and FER+, as downloaded.
    counts: Votes of a face that its label is made of.
    sizes: Teachers that have a student.
    seeds: One for each chain; they draw votes and validation faces, too.
    members: Teachers that are trained; all of them have a student, too.
    recipe: Settings of all runs that are others than the configuration's.

  Raises:
    ValueError: If the recipe has settings that do not exist, mean nothing, or are
      what the runs differ in.
  """
  recipes.checked(CONFIG, recipe, OWN)
  made = []
  for seed in seeds:
    for count in counts:
      data = _prepared(folder, source, count, seed)
      made += [data] if data not in made else []
      teachers = run_path(folder, count, members, seed)
      for size in sorted({*sizes, members}, reverse=True):
        settings = {
          **recipe, 'ensemble.size': size, 'data.path': data.path, 'seed': seed, 'data.seed': seed,
          'generations': 1, 'distill.students': 1, 'eval.mc_samples': 0,
        }  # fmt: skip
        if size < members:
          settings['distill.teachers'] = teachers
        path = run_path(folder, count, size, seed)
        networks = 1 + members * (size == members)
        made.append(planned_runs.run(path, CONFIG, networks, settings))
  return made


def _prepared(folder, source: str, count: int, seed: int) -> Planned:
  """Labels of some votes are drawn by chain; all votes are the same for all."""
  drawn = count < ALL
  path = folder / 'data' / (f'votes{count}-{seed}' if drawn else f'votes{ALL}')
  options = {
    'rule': 'raw', 'unlabelled': 'true', 'unlabelled_train': 'true',
    'duplicates': 'drop_training',
  }  # fmt: skip
  if drawn:
    options |= {'votes': count, 'votes_seed': seed}
  flags = [
    part for k, v in options.items() for part in ('--option', f'{k}={v}')
  ]
  where = ('--source', source, '--out', str(path), '--size', '48')
  command = ('emojax.data.prepare', 'ferplus', *where, *flags)
  return Planned(path, command, 0, 'emojax.json')


def ballots(source: pathlib.Path) -> np.ndarray:
  """Votes for emotions of PublicTest's faces that have any, [F, 8]."""
  problems = Problems()
  read = ferplus_files.read_new(source / 'fer2013new.csv', problems)
  found = [
    one.votes[: ferplus_rules.NUM_EMOTIONS]
    for one in read
    if one.split == 'validation' and one.name and one.votes is not None
  ]
  counts = np.array(found, int)
  return counts[counts.sum(1) > 0]


def annotators(counts: np.ndarray) -> tables.Table:
  """What other annotators of the same face know of one vote."""
  counts = counts[counts.sum(1) >= FEWEST]
  alpha = vote_limits.concentration(counts)
  plain = votes.entropy(counts / counts.sum(1, keepdims=True)).mean()
  rows = []
  for asked in range(FEWEST):
    each = vote_limits.left_out(counts, alpha, np.full(len(counts), asked))
    rows.append([str(asked), vote_scores.number(float(each.mean() - plain))])
  note = (
    f'{len(counts):,} faces with {FEWEST} votes for emotions or more. Who knows n of '
    'them says (n_c + alpha_c) / (n + sum alpha) of another one, by the most likely '
    'Dirichlet distribution; the mean NLL less the entropy of all votes is on the '
    'scale of the divergence of predictions.'
  )
  title = 'What other annotators of a face know'
  return tables.Table(title, ['annotators asked', KL], rows, [note])


def read(
  folder: pathlib.Path,
  counts: Sequence[int],
  seeds: Sequence[int],
  members: int,
) -> dict[tuple[int, int, int], vote_scores.Run]:
  """Finished runs: (votes, teachers, seed) -> run.

  Raises:
    ValueError: If they cannot be compared.
  """
  found = {}
  for count in counts:
    for size in range(1, members + 1):
      for seed in seeds:
        path = run_path(folder, count, size, seed)
        if (path / 'results.json').is_file():
          found[count, size, seed] = vote_scores.read(path)
          _check_teachers(found[count, size, seed], size == members, members)
  if found:
    vote_scores.check(list(found.values()), FREE)
  return found


def _check_teachers(run: vote_scores.Run, own: bool, members: int):
  """That those of smaller ensembles are some of the largest's."""
  if own == bool(run.config.distill.teachers):
    raise ValueError(
      f'{run.path} was made with another number of teachers than {members} in '
      'all: name that number (--members), or keep them in folders of their own'
    )


def scores(
  found: Mapping[tuple[int, int, int], vote_scores.Run],
  replicates: int,
  members: int,
) -> Found:
  """Scores of ensembles of all sizes, and of students."""
  first = next(iter(found.values()))
  scorer = vote_scores.Scorer(first.test.share, first.label, replicates)
  made: Found = {}

  def add(column, count, seed, score):
    made.setdefault(column, {}).setdefault(count, {})[seed] = score

  for (count, size, seed), one in found.items():
    teachers, students = one.results['names']
    if size == members:
      probs = one.probabilities(teachers)
      for some in range(1, members + 1):
        score = subsets(scorer, probs, some)
        add(together(some), count, seed, score)
    score = scorer.singles(one.probabilities(students))
    add(student(size), count, seed, score)
  return made


def subsets(
  scorer: vote_scores.Scorer, probs: np.ndarray, size: int
) -> vote_scores.Scores:
  """Mean over ensembles of a size, in which every member is as often.

  Args:
    scorer: Of the faces.
    probs: Of all members, [M, F, E].
    size: 1 to M: members in a row, the first after the last.
  """
  many = len(probs)
  starts = range(many if size < many else 1)
  chosen = [[(i + j) % many for j in range(size)] for i in starts]
  return vote_scores.mean([scorer.ensemble(probs[each]) for each in chosen])


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


def unfinished(
  found: Mapping[tuple[int, int, int], vote_scores.Run],
) -> list[str]:
  """Sentences about runs that price nothing: the recipe has not learned enough.

  The accuracy that it must reach is asked for where there are most votes: that
  fewer teach less is what is measured. None may still be improving.
  """
  notes, most = [], max(count for count, _, _ in found)
  for (count, _, _), run in found.items():
    said = run.results.get('validity') or {}
    teachers = run.results['generations'][run.results['names'][0]]
    accuracy = teachers['single_mean'].get('expr/acc')
    floor = said.get('floor', 0) if count == most else 0
    for text in (
      validity.below(floor, accuracy),
      validity.unfinished(said.get('improving', ())),
    ):
      notes += [f'{run.path.name} prices nothing: {text}'] if text else []
  return notes


def report(
  folder: pathlib.Path,
  source: pathlib.Path,
  counts: Sequence[int],
  seeds: Sequence[int],
  replicates: int,
  members: int = MEMBERS,
) -> list[tables.Table]:
  """All tables of what there is."""
  cast = ballots(source)
  limits = vote_scores.limits(cast, 0, 'faces of PublicTest')
  made = [limits, annotators(cast)]
  if found := read(folder, counts, seeds, members):
    every = scores(found, replicates, members)
    faces = len(next(iter(found.values())).label)
    made += [levels(every, key, faces) for key in (KL, SPEARMAN)]
    made += [rates(every, key) for key in (KL, SPEARMAN)]
    notes = [*made[-1].notes, *unfinished(found)]
    made[-1] = dataclasses.replace(made[-1], notes=notes)
  return made


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = planned_runs.parser('benchmarks.exchange_rate', __doc__)
  add = made.add_argument
  add('--source', required=True, help='folder of FER2013 and FER+')
  add('--votes', type=numbers, default='1,2,3,5,10', help='of a face')
  add('--members', type=planned_runs.positive, default=MEMBERS, help='teachers')
  add('--distilled', type=numbers, help='teachers with a student (all numbers)')
  recipes.option(made)
  return made


def main(arguments: Sequence[str]) -> int:
  """Returns the exit code; see the module's docstring."""
  made = parser()
  asked = made.parse_args(arguments)
  members = asked.members
  sizes = asked.distilled or range(1, members + 1)
  limits = (('votes', asked.votes, ALL), ('members', [members], ALL))
  for name, given, most in (*limits, ('distilled', sizes, members)):
    if max(given) > most:
      made.error(f'--{name}: expected at most {most}')
  seeds, source = range(asked.seeds), pathlib.Path(asked.source)
  try:
    every = plan(
      asked.runs, asked.source, asked.votes, sizes, seeds, members,
      dict(asked.recipe),
    )  # fmt: skip
  except ValueError as error:
    made.error(str(error))

  def tell():
    return report(
      asked.runs, source, asked.votes, seeds, asked.replicates, members
    )

  return planned_runs.follow(asked, every, tell)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
