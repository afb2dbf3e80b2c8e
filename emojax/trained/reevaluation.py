"""What `python -m emojax.evaluate` is asked for, looked up and checked."""

import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from ml_collections import ConfigDict

from emojax import tasks
from emojax.data.clips import evaluation_sets
from emojax.data.relabel import Relabelling, relabel
from emojax.engine import optimisation
from emojax.evaluation.context import FIT_SPLIT
from emojax.runtime import overrides, provenance, workdir
from emojax.settings import check_named
from emojax.trained import run as runs

FOLDER = 'evaluations'
# What the weights were trained for; another value would be another model.
FIXED = ('data.image_size', 'data.audio', 'data.channels')
# What only the run itself computes.
OF_RUNS = (
  'eval.weights',
  'eval.spread',
  'eval.draws',
  'eval.replicates',
  'eval.train_images',
  'eval.tsne_images',
)
# For runs on other data, whose settings do not say how many to make.
EMBEDDED_CLIPS = {'val_clips': 80, 'test_clips': 240, 'ood_clips': 120}
OPEN = ('data.', 'eval.', 'runtime.')
# What runs that do without it are evaluated with.
ABSENT = {'audio': False, 'clip_length': 1, 'eval_clip_length': 0, 'path': ''}


@dataclasses.dataclass(frozen=True)
class Request:
  """What is to be evaluated.

  Attributes:
    workdir: Folder of the run.
    data: 'embedded' or the folder of a prepared data set; None for the run's.
    split: Its split; None for the run's test split.
    generations: Names; None for all that are finished.
    members: Numbers; None for all.
    mc_samples: Passes of MC dropout; None for as many as in the run.
    flip: Whether to predict over an image and its mirror image; None for as in
      the run.
    temperature: Whether to scale temperatures.
    ood: 'digits', 'textures' or folders; None for those of the run.
    ignore_labels: Classes of the data that the run does not know.
    overrides: Assignments to settings of the run, 'data.seed=7'.
    out: Where to write; None for `workdir/evaluations/name`.
    name: Name of that folder; None for one made of the settings.
  """

  workdir: str | os.PathLike
  data: str | None = None
  split: str | None = None
  generations: Sequence[str] | None = None
  members: Sequence[int] | None = None
  mc_samples: int | None = None
  flip: bool | None = None
  temperature: bool = True
  ood: Sequence[str] | None = None
  ignore_labels: Sequence[str] = ()
  overrides: Sequence[str] = ()
  out: str | None = None
  name: str | None = None


def completed(run: runs.TrainedRun) -> ConfigDict:
  """The run's configuration with the settings that its experiment lacks."""
  config = ConfigDict(run.config.to_dict())
  complete(config.data)
  if not run.experiment().FOREIGN:  # how many to make if they are asked for
    config.data.ood_clips = EMBEDDED_CLIPS['ood_clips']
  return config


def complete(data):
  """Adds to settings of data what some experiments do not have."""
  for name, value in ABSENT.items():
    data[name] = data.get(name, value)


def settings(run: runs.TrainedRun, request: Request):
  """The run's configuration with other data.

  Raises:
    OverrideError: If a setting is unknown, or was decided by the training.
    SettingError: If one means nothing for these data.
  """
  config = completed(run)
  known = workdir.flatten(config.to_dict())
  for assignment in request.overrides:
    name, _ = overrides.split(assignment)
    if name in FIXED and name in known:
      raise overrides.OverrideError(
        f'{name} is what the run was trained with ({known[name]}): images of any '
        'size are brought to it'
      )
    if name in OF_RUNS and name in known:
      raise overrides.OverrideError(
        f'{name} is of what the run itself computes: an evaluation has no use for it'
      )
    if not name.startswith(OPEN):
      raise overrides.OverrideError(
        f'{name} was decided by the training; settings that may differ here '
        f'start with {", ".join(OPEN)}'
      )
  if request.data == 'embedded':
    config.data.name, config.data.path = 'embedded', ''
    for name, count in EMBEDDED_CLIPS.items():
      config.data[name] = config.data.get(name, count)
  elif request.data is not None:
    config.data.name, config.data.path = 'prepared', request.data
  config = overrides.apply(config, request.overrides)
  named = {overrides.split(text)[0] for text in request.overrides}
  check_named(workdir.flatten(config.to_dict()), named)
  if request.mc_samples is not None:
    config.eval.mc_samples = request.mc_samples
  if request.flip is not None:
    config.eval.flip = request.flip
  if flips(config) and run.experiment().LEARNED is not None:
    raise overrides.OverrideError(
      '--flip: what the networks of this run have learned of their own doubt is '
      'of one view, so there are no predictions over both'
    )
  return config


def flips(config) -> bool:
  """Whether predictions are over both views of an image."""
  return optimisation.setting(config.eval, 'flip', 'eval')


def _default_split(run: runs.TrainedRun, config) -> str:
  return 'test' if config.data.name == 'embedded' else config.data.test_split


@dataclasses.dataclass
class Evaluation:
  """An evaluation with everything looked up.

  Attributes:
    run: The run.
    config: Its configuration with other data.
    request: What was asked for.
    split: The split with the data set's own labels.
    key: Name of the split in predictions: 'val' if it is the run's own
      validation set, else 'test'.
    generations: Names.
    members: Numbers.
    schema: What is scored.
    clips: The clips with labels of `schema`.
    ood: Out-of-distribution clips.
    notes: What the reader must know.
  """

  run: runs.TrainedRun
  config: Any
  request: Request
  split: evaluation_sets.Split
  key: str
  generations: tuple[str, ...]
  members: tuple[int, ...]
  schema: tasks.Schema
  clips: Any
  ood: dict[str, Any]
  notes: list[str]

  def passes(self, name: str) -> int:
    """Stochastic passes of each member of a generation."""
    asked = self.config.eval.get('mc_samples')
    if asked is None or asked == self.run.config.eval.get('mc_samples'):
      return self.run.stack(name).passes  # as many as the run itself has drawn
    return asked

  def description(self) -> dict[str, Any]:
    """What identifies the numbers; a folder holds one of these."""
    # As evaluations of before said, where nothing else is asked for.
    turned = flips(self.config) != flips(self.run.config)
    asked: dict[str, Any] = {'flip': flips(self.config)} if turned else {}
    if other := self._other():
      asked['other'] = other
    return {
      **asked,
      'run': str(self.run.path.resolve()),
      'trained': self.run.config.to_dict(),
      'data': self.config.data.to_dict(),
      'mc_samples': self.config.eval.get('mc_samples'),
      'split': self.split.name,
      'generations': list(self.generations),
      'members': list(self.members),
      'temperature': self.request.temperature,
      'ood': sorted(self.ood),
      'ignore_labels': sorted(self.request.ignore_labels),
    }

  def _other(self) -> dict[str, Any]:
    """Settings of networks and scores that are others than the run's."""
    here, there = (
      {
        **{f'eval.{k}': v for k, v in config.eval.items()},
        'runtime.precision': config.get('runtime', {}).get('precision'),
      }
      for config in (self.config, self.run.config)
    )
    own = ('eval.mc_samples', 'eval.flip')  # which are said apart
    return {
      name: value
      for name, value in here.items()
      if name not in own and value != there.get(name)
    }

  def refitted(self) -> bool:
    """Whether the run's own validation logits are of other inputs than these."""
    turned = flips(self.config) != flips(self.run.config)
    return turned or bool(
      {'eval.ten_crop', 'runtime.precision'} & {*self._other()}
    )

  def folder(self) -> pathlib.Path:
    """Where it is written unless `out` says otherwise."""
    if self.request.out is not None:
      return pathlib.Path(self.request.out)
    name = self.request.name or self._name()
    return self.run.path / FOLDER / name

  def _name(self) -> str:
    """Data set and split, and a hash of all that is not as in the run."""
    plain = Request(self.run.path, self.request.data, self.request.split)
    given = dataclasses.replace(
      self.request, workdir=self.run.path, out=None, name=None
    )
    base = f'{self.split.spec.name}-{self.split.name}'
    every = self.run.experiment().stacks(self.run.config)
    complete = len(self.generations) == len(every)
    if given == plain and complete:
      return base
    text = json.dumps(self.description(), sort_keys=True)
    return f'{base}-{hashlib.sha256(text.encode()).hexdigest()[:8]}'


def prepare(request: Request) -> Evaluation:
  """Opens the run and the data; nothing is computed or written yet.

  Raises:
    RunError: If the run cannot be opened or lacks what is asked for.
    StoreError: If the data set or split does not exist.
    SchemaMismatchError: If its labels are not those of the run.
    OverrideError: If a setting is unknown or cannot differ.
  """
  run = runs.open_run(request.workdir)
  generations = run.choose_generations(request.generations)
  run = run.select(generations)
  config = settings(run, request)
  members = run.choose_members(request.members)
  config.ensemble.size = len(members)
  name = request.split or _default_split(run, config)
  split = evaluation_sets.open_split(config.data, name)
  adapt, schema = run.experiment().as_trained, split.spec.schema
  split = split._replace(clips=adapt(config, split.clips, schema))
  kept = provenance.read(run.path)
  own = _same_data(run, config, name) or _same_split(kept, split.clips)
  adapted = relabel(
    split.clips.targets, split.spec.schema, run.schema, request.ignore_labels
  )
  clips = split.clips
  if run.schema != split.spec.schema or request.ignore_labels:
    clips = Relabelling(clips, adapted.targets)
  notes = list(adapted.notes)
  if adapted.schema != run.schema:
    notes.append('uncertainties are of the labels that the data have')
  names = request.ood
  if names is None and not run.experiment().FOREIGN:
    names = ()
  ood = {
    name: adapt(config, clips, ())
    for name, clips in evaluation_sets.out_of_domain(
      config.data, split.spec, run.schema, names
    ).items()
  }
  if own:
    notes += _changed(run, kept, request, config, split)
  if request.ood is None:
    _check_foreign(run, kept, ood)
  chosen = own and is_validation(run.config.data, name)
  key = FIT_SPLIT if chosen else 'test'
  if key == FIT_SPLIT and _selects(run.config):
    notes.append('epochs were selected on this split: scores are optimistic')
  elif name == 'train' and own:
    notes.append('the run was trained on this split: scores mean little')
  return Evaluation(
    run,
    config,
    request,
    split,
    key,
    generations,
    members,
    adapted.schema,
    clips,
    ood,
    notes,
  )


def _selects(config) -> bool:
  """Whether the validation split has chosen the epochs of a run."""
  last = (config.eval.get('weights'), config.train.get('select'))
  return 'last' not in last


def _same_data(run: runs.TrainedRun, config, split: str) -> bool:
  """Whether a split is of the data set that the run was trained on."""
  here, there = config.data, completed(run).data
  if there.name == 'embedded':
    # Clips of a split do not depend on how many another one has.
    mine = f'{evaluation_sets.EMBEDDED_SPLITS.get(split)}_clips'
    others = {*EMBEDDED_CLIPS, 'train_clips'} - {mine}
    here, there = (
      {k: v for k, v in data.to_dict().items() if k not in others}
      for data in (here, there)
    )
    return here == there
  return (here.name, here.path) == (there.name, there.path)


def _same_split(kept: dict[str, Any] | None, clips: Any) -> bool:
  """Whether clips are of a split that the run was trained on, wherever it is."""
  if kept is None or clips.origin is None or clips.origin.shards is None:
    return False
  return clips.origin._asdict() in _origins(kept, foreign=False)


def _origins(kept: dict[str, Any], foreign: bool) -> list[dict[str, Any]]:
  """The prepared splits of a run, or those of its out-of-distribution sets."""
  return [
    origin
    for name, one in kept['sets'].items()
    if name.startswith('ood/') == foreign
    for origin in one['origins']
  ]


def _changed(run, kept, request: Request, config, split) -> list[str]:
  """Notes on the run's own data; raises RunError if they have changed."""
  if kept is None:
    return [provenance.OLD]
  found, clips = [], split.clips
  if clips.origin is not None:
    here = clips.origin._asdict()
    there = [o for o in _origins(kept, False) if o['split'] == here['split']]
    if there and here not in there:
      found = provenance.origin_differences(there[0], here)
  elif _same_data(run, config, split.name):
    part = evaluation_sets.EMBEDDED_SPLITS[split.name]
    found = provenance.part_differences(kept, part, clips)
  if not found:
    return []
  text = f'{split.name}: {", ".join(found)}'
  if request.data is None:
    raise runs.RunError(
      f'the data have changed since {run.path} was trained:\n  {text}\nRestore '
      'them, or name a folder with --data to evaluate on what is there now'
    )
  return [f'the data have changed since the run was trained: {text}']


def _check_foreign(run, kept, ood: dict[str, Any]):
  """Raises RunError if a prepared out-of-distribution set of the run changed."""
  there = (
    {}
    if kept is None
    else {(o['split'], o['table']): o for o in _origins(kept, True)}
  )
  for name, clips in ood.items():
    if clips.origin is None or not there:
      continue
    here = clips.origin._asdict()
    same = there.get((here['split'], here['table']))
    if same is None or provenance.origin_differences(same, here):
      raise runs.RunError(
        f'the out-of-distribution set {name} has changed since {run.path} was '
        'trained: restore it, or name the sets with --ood'
      )


def is_validation(data, split: str) -> bool:
  """Whether a split of a run's own data is the one that chose its epochs.

  Args:
    data: `config.data` of the run.
    split: Name of the split.
  """
  if data.name == 'embedded':
    return evaluation_sets.EMBEDDED_SPLITS.get(split) == 'val'
  # With a fraction, the validation clips were taken out of the training split.
  return not data.get('val_fraction', 0) and split == data.val_split
