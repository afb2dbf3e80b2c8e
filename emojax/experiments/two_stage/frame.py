"""Where runs of papers 001 and 002 begin, and how they end."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console

from emojax import settings
from emojax.data import unseen
from emojax.evaluation import Predictions, coverage_generation
from emojax.experiments import frame
from emojax.experiments.two_stage import pairs, recurrent, report, roles, scores
from emojax.experiments.two_stage.roles import Roles
from emojax.experiments.two_stage.stages import Run
from emojax.models import resnet
from emojax.report import validity, verdicts
from emojax.report.verdicts import Claim
from emojax.runtime import training, workdir


def check(config):
  """Raises ValueError if no network or sequence can be as the settings say."""
  settings.check(settings.flatten(config.to_dict()))
  resnet.make(config.model.depth, stem=config.model.stem)
  recurrent.check_lengths(config)
  validity.floor_from_config(config)


@contextlib.contextmanager
def begun(
  config,
  folder: workdir.Workdir,
  console: Console,
  names: tuple[str, ...],
  subsets: Sequence[Sequence[str]],
  epochs: int,
) -> Iterator[Run]:
  """Makes the data of a run, keeps them and opens its session.

  Args:
    config: Resolved configuration.
    folder: The run's folder, opened.
    console: Where progress goes.
    names: The tasks.
    subsets: What batches draw from, by the tasks that have labels.
    epochs: Of all stacks.
  """
  schema = roles.schema_from_config(config, names)
  with console.status('making the data set'):
    made = roles.from_config(config, schema, subsets)
  missing = unseen.unseen(made.schema, made.stills.targets)
  data = frame.Data(describe(made), made.sets(), schema, missing)
  frame.keep(folder, data, console)
  with training.session(folder, console, epochs) as session:
    yield Run(config, data, session, made)


def describe(data: Roles) -> str:
  """One line about the data for the terminal."""
  sizes = ', '.join(
    f'{subset} {len(index):,}'
    for subset, index in data.groups['imbalanced'].items()
  )
  return (
    f'{data.name}: {len(data.stills):,} training stills ({sizes}), '
    f'{len(data.clips):,} training, {len(data.val):,} validation and '
    f'{len(data.test):,} test clips of {data.clips.frame_mask.shape[1]} frames'
  )


def _scored(data) -> str:
  """The split whose scores are shown, as a reader must know it."""
  if data.name == 'embedded':
    return 'the test set'
  text = f'the split {data.test_split!r}'
  if not roles.is_apart(data):
    text += ' (on which epochs and the best CNN were chosen, too)'
  return text


def conclude(
  run: Run,
  title: str,
  split: str,
  stacks: dict[str, Predictions],
  studies: Sequence[report.Study],
  claims: Sequence[Claim],
  accuracy: float | None,
  console: Console,
) -> dict[str, Any]:
  """Judges the claims, writes results.json and the report, prints the tables.

  Args:
    run: The run.
    title: Of the report.
    split: That is scored.
    stacks: Name -> predictions.
    studies: The tables.
    claims: The paper's, with this run's numbers.
    accuracy: Of expressions, by the networks that claims start from.
    console: Where tables go.
  """
  outcome = run.outcome()
  gated = validity.gate(claims, outcome['validity'], accuracy)
  findings = verdicts.decide(gated)
  every = {
    name: {
      'epochs': predictions.epochs,
      **{
        key: scores.summary(pairs.members(run, predictions, key))
        for key in ('val', 'test')
      },
      'sets': _sets(run, predictions, split),
    }
    for name, predictions in stacks.items()
  }
  timings = outcome['timings']
  results = report.results(
    run.roles.name, split, studies, findings, every, timings
  )
  results |= outcome
  run.write(results)
  lead = (
    f'{run.config.ensemble.seeds} seeds on {_scored(run.config.data)} of '
    f'{run.roles.name}. '
    + verdicts.tally([finding.verdict for finding in findings])
  )
  facts = [('Data set', run.roles.name), *unseen.facts(results)]
  facts += [(f'Time, {k}', f'{v:,.1f} s') for k, v in timings.items()]
  facts += [
    (f'Selected epochs, {name}', ', '.join(str(e + 1) for e in p.epochs))
    for name, p in stacks.items()
  ]
  flat = settings.flatten(run.config.to_dict())
  facts += [(f'config: {k}', str(v)) for k, v in sorted(flat.items())]
  sets = {name: one['sets'] for name, one in every.items()}
  report.write(run.path(), title, lead, studies, findings, sets, facts)
  report.terminal(studies, findings, console)
  return results


def _sets(run: Run, predictions: Predictions, split: str) -> dict[str, Any]:
  """Coverage of the sets of all members of a stack, as exports have them.

  Thresholds are of the validation videos only where others are scored.

  Args:
    run: The run.
    predictions: Of the stack.
    split: That is scored.
  """
  clips = {split: getattr(run.roles, split)}
  if roles.is_apart(run.config.data):
    clips |= {'val': run.roles.val}
  return coverage_generation.of_stack(
    predictions, clips, split, run.config.seed, pairs.bin_values(run)
  )
