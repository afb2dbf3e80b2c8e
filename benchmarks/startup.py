"""How long a fresh process takes to its first step, as a real run does it."""

import tempfile
import time

from benchmarks import problem as problems
from benchmarks import tables, workers

STAGES = {
  'imports': 'imports',
  'init': 'weights of the stack drawn',
  'first': 'first epoch of one step, compilation included',
  'second': 'second epoch of one step',
}


def measure(spec) -> tuple[None, dict]:
  """Times the stages in this process, which must be fresh."""
  clock = [time.perf_counter()]

  def lap():
    clock.append(time.perf_counter())
    return clock[-1] - clock[-2]

  from benchmarks import engine
  from emojax.engine.trainer import Generation
  from emojax.runtime import compilation

  compilation.collect_seldom()
  facts = {'imports': lap()}
  engine.set_up(spec)
  members = spec['members']
  data = problems.make(spec['size'], spec['frames'], members, steps=1)
  trainer = engine.trainer(data, spec)
  batch = data.plan.shape[-1]
  generation = Generation(
    1,
    [data.plan[0, 0]],
    batch,
    1,
    trainer.train.targets,
    engine.hparams(members),
  )
  lap()
  state = trainer.init(1)
  trainer.fetch(state)
  facts['init'] = lap()
  segments = trainer.segments(generation, state)
  for name in ('first', 'second'):
    trainer.fetch(next(segments).state)
    facts[name] = lap()
  return None, facts | {'memory': workers.peak_memory()}


def table(spec) -> tables.Table:
  """Runs twice with a compilation cache that is empty at first."""
  with tempfile.TemporaryDirectory() as cache:
    facts = [_run(spec | {'cache': cache}) for _ in range(2)]
  rows = [
    [text, *(f'{fact[name]:.2f}' for fact in facts)]
    for name, text in STAGES.items()
  ]
  first = [f'{fact["init"] + fact["first"]:.2f}' for fact in facts]
  peak = [f'{fact["memory"] / 1024:.2f}' for fact in facts]
  rows += [
    ['**imports done to first step done**', *first],
    ['peak memory, GiB', *peak],
  ]
  return tables.Table(
    f'Start of a run: {spec["members"]} members, {spec["size"]} px',
    ['seconds', 'empty cache', 'warm cache'],
    rows,
  )


def _run(spec) -> dict:
  worker = workers.Worker()
  try:
    worker.send(make='benchmarks.startup:measure', spec=spec)
    return worker.receive()
  finally:
    worker.close()
