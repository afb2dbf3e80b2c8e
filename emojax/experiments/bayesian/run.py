"""A run of paper 004, top to bottom: train, sample, score, report."""

import dataclasses
from typing import Any

import jax
import numpy as np
from rich.console import Console

from emojax import settings
from emojax.engine import checkpoint, flip, member, optimisation, stack
from emojax.engine.trainer import Trainer, settings_from_config
from emojax.evaluation import Predictions
from emojax.experiments import frame
from emojax.experiments.bayesian import evaluate, networks, report
from emojax.experiments.bayesian import faces as data
from emojax.experiments.bayesian.evaluate import Setting
from emojax.experiments.bayesian.faces import Faces
from emojax.experiments.bayesian.networks import Stack
from emojax.runtime import training, workdir

PyTree = Any
SAMPLE_STREAM = 2_000_000  # keys of the passes, apart from training's


@dataclasses.dataclass(frozen=True)
class Run(frame.Run):
  """What the stacks of a run share."""

  faces: Faces

  def sampled(self) -> dict[str, Any]:
    """The images that stochastic passes are drawn for."""
    foreign = self.faces.dataset.ood.items()
    scored = {self.faces.split: self.faces.clips}
    return scored | {f'ood/{name}': clips for name, clips in foreign}

  def sets(self) -> dict[str, Any]:
    """The images to predict: those, and what models are calibrated on."""
    return self.faces.known | self.sampled()


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains, samples, evaluates and reports; resumes where it stopped.

  See `protocol.Experiment.run`.
  """
  kinds = networks.stacks(config)
  check(config, kinds)
  with console.status('making the data set'):
    faces = data.from_config(config.data)
  known = frame.data_of(faces.dataset, data.summary(faces))
  frame.keep(folder, known, console)
  evaluate.judges_of(faces)  # before training: there is something to score
  total = len(kinds) * config.train.epochs
  with training.session(folder, console, total) as session:
    this = Run(config, known, session, faces)
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
  session, epochs = run.session, run.config.train.epochs
  methods = {run.predictions_path(kind.predicts(m)): m for m in kind.methods}
  with training.stack(session, kind.name, [*methods], epochs) as missing:
    if missing:
      weights, chosen = _train(run, kind)
      for path in missing:
        session.lap()
        _predict(run, kind, methods[path], weights, chosen)


def _train(run: Run, kind: Stack):
  """Trains a stack; its weights, which are written, and their epochs."""
  trainer = _trainer(run, kind)
  generation = networks.generation(run.config, kind, run.faces)
  segment = training.train(run.session, trainer, kind.name, generation)
  weights, epochs = _selected(run, trainer, segment)
  checkpoint.save_tree(run.weights_path(kind.name), weights)
  return weights, epochs


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
  config, session = run.config, run.session
  session.progress.describe(f'{kind.network}, {name}: predicting')
  session.timings.start(f'{kind.predicts(name)} predictions')
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
      for key_, clips in run.sampled().items()
    }
  Predictions(
    kind.predicts(name),
    run.faces.dataset.schema,
    logits,
    epochs[:size],
    passes,
  ).save(run.predictions_path(kind.predicts(name)))


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


def _conclude(run: Run, kinds: list[Stack], console: Console) -> dict[str, Any]:
  """Evaluates, writes results.json and the report, prints the tables."""
  config, schema = run.config, run.faces.dataset.schema
  setting = Setting(config.eval.draws, config.eval.replicates, config.seed)
  judges = evaluate.judges_of(run.faces)
  found, curves = {}, {}
  with console.status('evaluating'):
    for kind in kinds:
      for name in kind.methods:
        prediction = run.load(kind.predicts(name), schema)
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
    results |= run.outcome()
    spread = optimisation.setting(config.eval, 'spread', 'eval')
    results['validity']['spread'] = spread
    run.write(results, curves)
    report.write(run.path(), run.faces.clips)
  report.terminal(results, console)
  return results
