"""An experiment of several runs: variants of one base, and one report.

Every variant is a run of its own in WORKDIR/variants/NAME, trained by
`distillation.run`; finished ones are not trained again, so that the same
command goes on where a study was stopped.
"""

import json
import pathlib
from typing import Any

from ml_collections import ConfigDict
from rich.console import Console

from emojax import tasks
from emojax.data import load
from emojax.data.clips import evaluation_sets
from emojax.evaluation import Predictions
from emojax.evaluation.subsets import ensembles
from emojax.experiments.distillation import run as distillation
from emojax.experiments.distillation import study_report as report
from emojax.experiments.distillation.study_tables import ORDER, SIZES, Variant
from emojax.host import terminal
from emojax.runtime import overrides, provenance, workdir

FORMAT = 'emojax-study-1'


def variant_configs(config) -> dict[str, ConfigDict]:
  """The configuration of every variant.

  Raises:
    ValueError: If an assignment is wrong, or a table is not known or shows
      variants that do not exist.
  """
  made = dict(overrides.variant_configs(config))
  for table, names in config.study.tables.to_dict().items():
    if table not in ORDER:
      known = ', '.join(ORDER)
      raise ValueError(f'study.tables: no {table!r}, there are {known}')
    missing = [name for name in names if name not in made]
    if missing or not names:
      raise ValueError(
        f'study.tables.{table} shows the variants {list(names)}; there are '
        f'{", ".join(made)}'
      )
  return made


def run(config, folder: workdir.Workdir, console: Console) -> dict[str, Any]:
  """Trains all variants that are not finished, and reports on all.

  See `protocol.Experiment.run`.
  """
  configs = variant_configs(config)
  folders = {name: _open(folder, name, made) for name, made in configs.items()}
  for number, (name, made) in enumerate(configs.items(), 1):
    state = 'finished' if folders[name].finished else 'training'
    title = f'Variant {number} of {len(configs)}, {name}:'
    terminal.say(console, (title, 'bold'), f' {state}', wrap=True)
    if not folders[name].finished:
      distillation.run(made, folders[name], console)
  changes = config.study.variants.to_dict()
  with console.status('evaluating'):
    variants = {
      name: _read(name, changes[name], configs[name], folders[name].path)
      for name in configs
    }
  return _conclude(config, folder, variants, console)


def _open(folder: workdir.Workdir, name: str, config) -> workdir.Workdir:
  path = folder / 'variants' / name
  made = workdir.Workdir(path, config.to_dict(), folder.loggers)
  made.open()
  return made


def _read(name: str, changes, config, path: pathlib.Path) -> Variant:
  """A finished variant, with the scores of ensembles of several sizes."""
  results = json.loads((path / 'results.json').read_text())
  curves = json.loads((path / 'curves.json').read_text())
  teachers = Predictions.load(
    path / 'predictions' / f'{results["names"][0]}.npz'
  )
  clips = _scored_clips(config.data, results['split'])
  provenance.check_part(path, results['split'], clips)
  sizes = ensembles(
    teachers,
    clips,
    results['split'],
    SIZES,
    _bin_values(config),
  )
  return Variant(name, changes, config.to_dict(), results, curves, sizes)


def _bin_values(config):
  return tasks.bin_values(kind=config.loss.bin_values)


def _scored_clips(data, split: str):
  """The labels that a run was scored with; no image is read."""
  if data.name == 'embedded':
    return evaluation_sets.open_split(data, split).clips
  data = data.copy_and_resolve_references()
  data.memory_gib, data.ood_path = 0.0, ''
  return getattr(load.from_config(data), split)


def _conclude(config, folder, variants, console) -> dict[str, Any]:
  chosen = config.study.tables.to_dict()
  shown = {name: chosen[name] for name in ORDER if name in chosen}
  results = {
    'format': FORMAT,
    'tables': {name: list(names) for name, names in shown.items()},
    'variants': {
      name: {
        'changes': list(variant.changes),
        'results': f'variants/{name}/results.json',
        'sizes': {str(size): rows for size, rows in variant.sizes.items()},
      }
      for name, variant in variants.items()
    },
  }
  workdir.write_json(folder / 'results.json', results)
  report.write(folder.path, variants, shown)
  report.terminal(variants, shown, console)
  return results
