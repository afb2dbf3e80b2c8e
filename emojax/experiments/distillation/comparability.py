"""What a run has in common with the paper, said plainly.

Levels may be compared only where data and settings agree; elsewhere only
directions: which row of a table is better, and whether it is so in the paper.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from emojax.experiments.distillation import published
from emojax.report.table import Section, Table

Results = Mapping[str, Any]
LEVELS, CARE, DIRECTIONS = 'levels', 'levels with care', 'directions only'
MEANING = {
  LEVELS: "the numbers may be compared with the paper's",
  CARE: "the data are the paper's, the settings are not: differences between "
  'the numbers may come from these',
  DIRECTIONS: "levels cannot be compared with the paper's, only which row is "
  'better',
}


class Difference(NamedTuple):
  """One thing that is not as in the paper."""

  what: str
  paper: str
  here: str


def learned_corrected(results: Results) -> bool:
  """Whether students learned answers that were corrected for class weights.

  Then (`loss.correct_teachers`) there is something to correct in the teachers
  alone, and their rivals are corrected teachers.
  """
  runs = [results['generations'][name] for name in results['names']]
  return bool(runs[0].get('pc')) and not runs[-1].get('pc')


def same_data(results: Results) -> bool:
  """Whether the run is on the paper's own data set."""
  name = results['dataset'].lower().replace('-', '').replace('_', '')
  return name.startswith(published.DATASET.lower().replace('-', ''))


def differences(
  results: Results, config: Mapping[str, Any]
) -> list[Difference]:
  """What is not as in the paper, the data first.

  Args:
    results: results.json.
    config: The run's configuration, nested. Settings that it lacks are passed
      over: what a run is older than it did as the paper.
  """
  found = []
  if not same_data(results):
    found.append(Difference('data set', published.DATASET, results['dataset']))
  split = _split(results, config)
  if split != published.SPLIT:
    found.append(Difference('split', published.SPLIT, split))
  for name, value in published.SETTINGS[results['modality']].items():
    here = _get(config, name)
    if here is not None and here not in (value, _zero_is(config, name)):
      found.append(Difference(name, str(value), str(here)))
  if _get(config, 'distill.teachers'):
    # Of other settings, perhaps; its folder is nobody else's business.
    found.append(Difference('distill.teachers', 'none', 'of another run'))
  if _get(config, 'model.pretrained') == '':
    nothing = 'random weights'
    found.append(Difference('model.pretrained', published.PRETRAINED, nothing))
  return found


def split_name(results: Results) -> str:
  """Name of the split that was scored."""
  return results.get('split_name', results['split'])


def _split(results: Results, config: Mapping[str, Any]) -> str:
  """The data set's own name of the split that was scored."""
  if 'split_name' in results:
    return results['split_name']
  if _get(config, 'data.name') != 'prepared':
    return results['split']
  key = 'val_split' if results['split'] == 'val' else 'test_split'
  return _get(config, f'data.{key}') or results['split']


def _get(config: Mapping[str, Any], name: str) -> Any:
  for part in name.split('.'):
    if not isinstance(config, Mapping) or part not in config:
      return None
    config = config[part]
  return config


def _zero_is(config: Mapping[str, Any], name: str) -> Any:
  """What a setting's 0 means in full; None if that is nothing but 0."""
  same = published.ZERO_IS.get(name)
  return None if same is None else _get(config, same)


def verdict(results: Results, config: Mapping[str, Any]) -> str:
  """'levels', 'levels with care' or 'directions only'."""
  found = [difference.what for difference in differences(results, config)]
  if 'data set' in found or 'split' in found:
    return DIRECTIONS
  return CARE if found else LEVELS


def table(results: Results, config: Mapping[str, Any]) -> Table | None:
  """What differs, as a table; None if nothing does."""
  found = differences(results, config)
  if not found:
    return None
  answer = verdict(results, config)
  return Table(
    title='What differs from the paper',
    columns=['Paper', 'This run'],
    sections=[Section('', [(d.what, [d.paper, d.here]) for d in found])],
    better=['', ''],
    note=f'Comparable: {answer} ({MEANING[answer]}).',
  )
