"""`emojax evaluate --model`: scores of a model on data that are at hand.

Without a run there are no generations and no validation set: what is scored is what
`predict` says, prior correction, mirror images and all, and the sets are those by the
thresholds that the model has.
"""

import dataclasses
import os
import pathlib
import tempfile
import types
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from emojax import experiments, tasks, uncertainty
from emojax.data.store.stored import Store
from emojax.evaluation import Predictions, coverage, coverage_labels, evaluate
from emojax.host.terminal import plain, say
from emojax.report import table, validity
from emojax.runtime import workdir
from emojax.trained import guarantees, recalibrating
from emojax.trained import model as pretrained
from emojax.trained.writing import check_free, write
from emojax.uncertainty import prior

Json = dict[str, Any]
SELECTED = "these frames chose the model's epochs, so that its scores are a little too good"

BRACKETS = ' In brackets: 95 % bootstrap interval over the images.'
VOTED = {
  'vote/kl': 'KL divergence from the votes',
  'vote/spearman/total': "Spearman, predicted and votes' entropy",
}
OTHER_LABELS = (
  'the labels of {} are of another kind than those that the thresholds of its sets were '
  'fitted on, shares of votes or majorities: what these promise is not about such labels'
)


@dataclasses.dataclass(frozen=True)
class Request:
  """What is to be scored.

  Attributes:
    model: As for `emojax.load`, but no ONNX file.
    out: Folder to write; must not exist, or be empty.
    data: Folder of a prepared data set; None for the embedded one, of models that
      were trained on it.
    split: Of its splits, one that the model was not trained on.
    ignore_labels: Classes of the data that the model does not know.
  """

  model: str | os.PathLike
  out: str | os.PathLike
  data: str | None
  split: str
  ignore_labels: Collection[str] = ()


def execute(request: Request, console: Console) -> pathlib.Path:
  """Predicts, scores and reports.

  Args:
    request: See there.
    console: Where tables go.

  Returns:
    The folder with results.json and the report.

  Raises:
    ValueError: As `recalibrating.recalibrate`; nothing is written then.
  """
  out = pathlib.Path(request.out)
  check_free(out)
  place = recalibrating.folder_of(request.model)
  model = pretrained.load(place)
  metadata = model.metadata
  known = recalibrating.at_hand(
    model, request.data, request.split, request.ignore_labels
  )
  clips, name = known.clips, os.path.basename(os.path.abspath(place))
  with console.status(plain(f'{name}: predicting')):
    logits = prior.correct(
      model.schema, recalibrating.logits_of(model, clips), model.prior
    )
  results, curves = _scored(name, model, clips, logits, request)
  said = [
    *known.source.notes,
    *([SELECTED] if known.source.selected_on else []),
  ]
  if others := results['generations'][name]['sets']['other_labels']:
    said.append(OTHER_LABELS.format(', '.join(others)))
  config = ConfigDict(metadata['config'])
  results |= {
    'split_name': request.split,
    'validity': {
      'floor': validity.floor_from_config(config),
      'improving': [],
      'unlearned': [],
    },
    'evaluation': {
      'run': name,
      'trained_on': metadata['trained_on'],
      'members': list(range(model.num_members)),
      'notes': said,
    },
  }
  with tempfile.TemporaryDirectory() as made:
    folder = pathlib.Path(made)
    workdir.write_json(folder / 'curves.json', curves)
    workdir.write_json(folder / 'results.json', results)
    experiments.trained(config.experiment).REPORT.write(folder, None)
    write(out, {
      path.relative_to(folder).as_posix(): path.read_bytes()
      for path in folder.rglob('*') if path.is_file()
    })  # fmt: skip
  for note in said:
    say(console, f'Note: {note}.')
  for one in tables(name, results):
    table.show(one, console)
  return out


def _scored(name: str, model, clips, logits, request: Request):
  """(results, curves) of `evaluate`, with the sets by the model's thresholds."""
  made = Predictions(
    name, model.schema, {'test': logits}, [0] * model.num_members
  )
  # What temperatures and thresholds would be fitted on: nothing.
  empty = types.SimpleNamespace(
    targets=tasks.empty_targets(model.schema, (1, 1)),
    frame_mask=np.zeros((1, 1), np.float32),
    truth=None,
  )
  data = 'embedded' if request.data is None else Store(request.data).spec.name
  dataset = types.SimpleNamespace(val=empty, test=clips, ood={}, name=data)
  results, curves = evaluate(
    model.schema,
    [made],
    dataset,
    bin_values=model.bin_values,
    split='test',
    temperature=False,
  )
  sets = results['generations'][name]['sets']
  sets['held_out'] = held(model, clips, logits) or None
  said = (model.metadata.get(guarantees.KEY) or {}).get('calibration', {})
  sets['other_labels'] = [
    one.title
    for one in coverage_labels.labels(model.schema, clips)
    if one.title in (sets['held_out'] or {})
    and not one.votes
    and one.soft != (one.task.name in said.get('soft', ()))
  ]
  return results, curves


def held(model: pretrained.Model, clips, logits: Mapping[str, Any]) -> Json:
  """How often sets by the thresholds of a model hold the labels of clips.

  Returns:
    Task (and 'TASK votes') -> method -> coverage as text -> `coverage.measure`.
  """
  said = model.metadata.get(guarantees.KEY) or {}
  levels, found = said.get('coverages', ()), {}
  for one in coverage_labels.labels(model.schema, clips):
    there = said.get(guarantees.VOTES if one.votes else 'tasks', {})
    probs = uncertainty.probabilities(one.task, one.pick(logits))
    for method in one.usual:
      if method not in there.get(one.task.name, {}):
        continue
      fitted = guarantees.from_json(there[one.task.name][method], levels)
      found.setdefault(one.title, {})[method] = {
        str(level): coverage.measure(
          one, method, probs, fitted, level, model.bin_values
        )
        for level in levels
      }
  return found


def tables(name: str, results: Json) -> list[table.Table]:
  """What the terminal shows; the report has the rest.

  Args:
    name: The model's.
    results: Of `execute`.
  """
  one = results['generations'][name]
  scores = _scores(one['single_mean'], one['single_std'], one['ensemble'])
  voted = (results['votes'] or {}).get('rows', {})
  for place, kind in enumerate(('single', 'ensemble')):
    if (row := voted.get(f'{name} {kind}')) is None:
      continue
    for score, title in VOTED.items():
      scores.setdefault(title, ['', ''])[place] = table.Cell(
        row['mean'][score], interval=tuple(row['interval'][score])
      )
  frames = f'{results["num_frames"]:,} frames of {results["dataset"]}'
  found = [
    table.Table(
      f'{name} on {frames} ({results["split_name"]})',
      ('one member', 'all members'),
      [table.Section('', list(scores.items()), ranked=False)],
      ('', ''),
      note='One member: mean over the members ± standard deviation.'
      + (BRACKETS if results['votes'] else ''),
    )
  ]
  sets = one['sets']['held_out'] or {}
  if rows_of_sets := _set_rows(sets):
    found.append(
      table.Table(
        'Sets by the thresholds of the model',
        ('promised', 'hold the truth', 'size'),
        [table.Section('', rows_of_sets, ranked=False)],
        ('', '', ''),
        note='Shares of frames, each person or unnamed picture counting once; in '
        'brackets where they would lie in 95 % of the cases if people and labels '
        'are like those of the calibration. Size: classes, share of the units that '
        'are unsure, width.',
      )
    )
  return found


def _scores(mean: Json, std: Json, ensemble: Json) -> dict[str, list[Any]]:
  """Scores of whole tasks, without those of each label."""
  keys = [key for key in ensemble if key.count('/') == 1]
  return {
    key: [
      table.Cell(mean.get(key), (std or {}).get(key)),
      table.Cell(ensemble[key]),
    ]
    for key in keys
  }


def _set_rows(sets: Json):
  rows = []
  for title, methods in sets.items():
    for method, levels in methods.items():
      for level, found in levels.items():
        ends = [part['band'] for part in found['parts'].values()]
        band = tuple(ends[0]) if len(ends) == 1 else None
        rows.append(
          (
            f'{title}, {method}',
            [
              level,
              table.Cell(found['coverage'], interval=band),
              table.Cell(found['size']),
            ],
          )
        )
  return rows
