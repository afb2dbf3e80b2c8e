"""A run of paper 004, top to bottom: train, sample, score, report."""

import dataclasses
import pathlib
from typing import Any

import jax
import numpy as np
from rich.console import Console

from emojax import settings
from emojax.data import unseen
from emojax.engine import checkpoint, flip, member, optimisation, stack
from emojax.engine.trainer import Trainer, settings_from_config
from emojax.evaluation import Predictions
from emojax.experiments.bayesian import evaluate, networks, report
from emojax.experiments.bayesian import faces as data
from emojax.experiments.bayesian.evaluate import Setting
from emojax.experiments.bayesian.faces import Faces
from emojax.experiments.bayesian.networks import Stack
from emojax.host import terminal
from emojax.host.signals import StopFlag
from emojax.report import validity
from emojax.runtime import damage, provenance, training, workdir
from emojax.runtime.progress import TrainingProgress

PyTree = Any
SAMPLE_STREAM = 2_000_000  # keys of the passes, apart from training's


@dataclasses.dataclass
class Run:
  """What the stacks of a run share."""

  config: Any
  faces: Faces
  session: training.Session

  def path(self, *parts: str) -> pathlib.Path:
    """A file of the run."""
    return self.session.folder.path.joinpath(*parts)

  def predictions_path(self, network: str, method: str) -> pathlib.Path:
    """Logits of a method; written last, so it marks its end."""
    return self.path('predictions', f'{network}-{method}.npz')

  def sets(self) -> dict[str, Any]:
    """The images to predict."""
    foreign = self.faces.dataset.ood.items()
    scored = {self.faces.split: self.faces.clips}
    return scored | {f'ood/{name}': clips for name, clips in foreign}


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains, samples, evaluates and reports; resumes where it stopped.

  Args:
    config: Resolved configuration (configs/bayesian.py).
    folder: The run's folder, opened.
    console: Where progress and tables go.

  Returns:
    The results, as in results.json.

  Raises:
    StopRequested: After SIGINT or SIGTERM, with everything saved.
    DivergedError: If a loss is not finite.
    ValueError: On a setting that makes no sense.
  """
  kinds = networks.stacks(config)
  check(config, kinds)
  with console.status('making the data set'):
    faces = data.from_config(config.data)
  terminal.say(console, data.summary(faces))
  dataset = faces.dataset
  parts = provenance.sets_of(dataset)
  provenance.keep(folder, parts, dataset.schema, console)
  unseen.tell(dataset.schema, dataset.train.targets, console)
  evaluate.judges_of(faces)  # before training: there is something to score
  total = len(kinds) * config.train.epochs
  with StopFlag() as stop, TrainingProgress(console, total) as progress:
    session = training.Session(folder, progress, stop)
    this = Run(config, faces, session)
    for kind in kinds:
      _run_stack(this, kind)
  return _conclude(this, kinds, console)


def check(config, kinds: list[Stack]):
  """Raises ValueError if a setting cannot be meant, before anything is made."""
  settings.check(settings.flatten(config.to_dict()))
  optimisation.from_config(config.train, select='total')
  for kind in kinds:
    networks.optimizer(config, kind.network)
    networks.rate(config, kind.network)


def _run_stack(run: Run, kind: Stack):
  """Trains a stack and predicts with its methods, unless that is done."""
  session = run.session
  missing = [
    name
    for name in kind.methods
    if not run.predictions_path(kind.network, name).exists()
  ]
  if not missing:
    session.progress.skip(run.config.train.epochs)
  else:
    trainer = _trainer(run, kind)
    generation = networks.generation(run.config, kind, run.faces)
    segment = training.train(session, trainer, kind.name, generation)
    weights, epochs = _selected(run, trainer, segment)
    checkpoint.save_tree(run.path('checkpoints', kind.name), weights)
    for name in missing:
      session.progress.describe(f'{kind.network}, {name}: predicting')
      session.timings.start(f'{kind.network}-{name} predictions')
      _predict(run, kind, name, weights, epochs)
      session.timings.lap()
      session.stop_if_asked()
  training.forget(session, kind.name)


def _trainer(
  run: Run, kind: Stack, predict_chunk: int = 0, both_views: bool = False
) -> Trainer:
  r = run.config.runtime
  mesh = stack.make_mesh(r.member_devices, r.batch_devices, kind.members)
  dataset = run.faces.dataset
  method = networks.method(run.config, kind, dataset.schema, mesh)
  if both_views:
    method = flip.with_flip(method, dataset.schema)
  return Trainer(
    method,
    # So many faces share a mask, if it is set.
    settings_from_config(
      run.config, kind.members, run.config.train.epochs, predict_chunk
    ),
    mesh,
    dataset.train,
    dataset.val,
    dataset.val.targets,
  )


def _selected(run: Run, trainer: Trainer, segment):
  """Weights of the last or the best epoch on the host, and these epochs."""
  state = segment.state
  chosen, epochs = member.weights(state), None
  if run.config.train.select != 'last':
    chosen = state.best.params, state.best.model_state
    epochs = [int(e) for e in trainer.fetch(state.best.epoch)]
  weights = dict(zip(('params', 'model_state'), chosen))
  last = [run.config.train.epochs - 1] * trainer.settings.members
  return trainer.fetch(weights), epochs or last


def _predict(run: Run, kind: Stack, name: str, weights: PyTree, epochs):
  """Writes what a method predicts with the first members of a stack."""
  config = run.config
  size, chunk = config.ensemble.size, 0
  if name != 'ensemble':
    size, chunk = config.mc.members, config.mc.batch
  both_views = optimisation.setting(config.eval, 'flip', 'eval')
  few = dataclasses.replace(kind, members=size)
  trainer = _trainer(run, few, chunk, both_views)
  parts = trainer.place_weights(jax.tree.map(lambda x: x[:size], weights))
  logits = {
    key: trainer.predict(*parts, clips) for key, clips in run.sets().items()
  }
  passes = {}
  if name != 'ensemble':
    base = jax.random.key(config.seed)
    key = jax.random.fold_in(base, SAMPLE_STREAM + kind.number)
    passes = {
      key_: _sample(run, trainer, parts, clips, key)
      for key_, clips in run.sets().items()
    }
  Predictions(
    f'{kind.network}-{name}',
    run.faces.dataset.schema,
    logits,
    epochs[:size],
    passes,
  ).save(run.predictions_path(kind.network, name))


def _sample(run: Run, trainer: Trainer, parts, clips, key) -> PyTree:
  """Logits of all passes [M, P, N, 1, E], some passes at a time."""
  wanted, size = run.config.mc.passes, run.config.mc.passes_per_call
  params, model_state = parts
  blocks = [
    trainer.sample(params, model_state, clips, jax.random.fold_in(key, i), size)
    for i in range(-(-wanted // size))
  ]
  joined = jax.tree.map(lambda *x: np.concatenate(x, axis=1), *blocks)
  return jax.tree.map(lambda x: x[:, :wanted], joined)


def _load(path: pathlib.Path, schema) -> Predictions:
  with damage.explained(path):
    return Predictions.load(path, schema)


def _conclude(run: Run, kinds: list[Stack], console: Console) -> dict[str, Any]:
  """Evaluates, writes results.json and the report, prints the tables."""
  config, schema = run.config, run.faces.dataset.schema
  setting = Setting(config.eval.draws, config.eval.replicates, config.seed)
  judges = evaluate.judges_of(run.faces)
  found, curves = {}, {}
  with console.status('evaluating'):
    for kind in kinds:
      for name in kind.methods:
        path = run.predictions_path(kind.network, name)
        prediction = _load(path, schema)
        values = evaluate.study(prediction, name, run.faces, judges, setting)
        values[0]['stack'] = kind.name
        for target, value in zip((found, curves), values):
          target.setdefault(kind.network, {})[name] = value
    facts = {
      'rule': config.data.rule,
      'eval_rule': config.data.eval_rule,
      'select': config.train.select,
      'batch_norm': config.mc.batch_norm,
    }
    results = evaluate.results(run.faces, facts, found)
    floor = validity.floor_from_config(config)
    results['validity'] = validity.of_run(run.path(), floor)
    targets = run.faces.dataset.train.targets
    if names := unseen.unseen(schema, targets):
      results['unseen'] = names
    results['timings'] = run.session.timings.rounded()
    workdir.write_json(run.path('curves.json'), curves)
    workdir.write_json(run.path('results.json'), results)
    report.write(run.session.folder.path, run.faces.clips)
  report.terminal(results, console)
  return results
