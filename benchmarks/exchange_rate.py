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

from benchmarks import (
  exchange_page,
  planned_runs,
  recipes,
  tables,
  vote_scores,
)
from benchmarks.exchange_page import ALL, Found, student, together
from benchmarks.options import numbers
from benchmarks.planned_runs import Planned
from benchmarks.vote_scores import KL, SPEARMAN
from emojax.data.readers import ferplus_files, ferplus_rules
from emojax.data.readers.files.problems import Problems
from emojax.host import files
from emojax.report import validity

CONFIG = 'configs/ferplus.py'
MEMBERS = 5
# What the runs differ in.
OWN = (
  'seed', 'data.seed', 'data.path', 'ensemble.size', 'generations',
  'distill.students', 'distill.teachers', 'eval.mc_samples',
)  # fmt: skip
FREE = (
  'seed', 'data.seed', 'data.path', 'ensemble.size', 'distill.', 'runtime.',
)  # fmt: skip


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
          **recipe, 'ensemble.size': size, 'data.path': data.path,
          'seed': seed, 'data.seed': seed,
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
      validity.untaught(said),
    ):
      notes += [f'{run.path.name} prices nothing: {text}'] if text else []
  return notes


def report(
  found: Mapping[tuple[int, int, int], vote_scores.Run],
  made: Found,
  cast: np.ndarray,
) -> list[tables.Table]:
  """All tables of what there is.

  Args:
    found: The runs.
    made: Their scores.
    cast: Votes for the test faces, [F, E].
  """
  limits = vote_scores.limits(cast, 0, 'faces of PublicTest')
  every = [limits, exchange_page.annotators(cast)]
  if found:
    faces = len(next(iter(found.values())).label)
    every += [exchange_page.levels(made, key, faces) for key in (KL, SPEARMAN)]
    every += [exchange_page.rates(made, key) for key in (KL, SPEARMAN)]
    notes = [*every[-1].notes, *unfinished(found)]
    every[-1] = dataclasses.replace(every[-1], notes=notes)
  return every


def parser() -> argparse.ArgumentParser:
  """The command line."""
  made = planned_runs.parser('benchmarks.exchange_rate', __doc__)
  add = made.add_argument
  add('--source', required=True, help='folder of FER2013 and FER+')
  add('--votes', type=numbers, default='1,2,3,5,10', help='of a face')
  add('--members', type=planned_runs.positive, default=MEMBERS, help='teachers')
  add('--distilled', type=numbers, help='teachers with a student (all numbers)')
  add('--figure', type=pathlib.Path, help='a PNG, where anything is finished')
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
    cast = ballots(source)
    found = read(asked.runs, asked.votes, seeds, members)
    scored = scores(found, asked.replicates, members) if found else {}
    if asked.figure and found:
      files.write_bytes(asked.figure, exchange_page.figure(scored, cast))
    return report(found, scored, cast)

  return planned_runs.follow(asked, every, tell)


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))
