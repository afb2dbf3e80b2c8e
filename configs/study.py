"""Every table and figure of paper 000, each by one command that resumes.

  python -m emojax.main --config=configs/study.py:table1 --workdir=runs/table1

trains the variants that the table compares, each in WORKDIR/variants/NAME, and
writes one report with our numbers beside the paper's. Presets after the colon:

  table1   class re-weighting on and off; ensembles of 1, 5 and 10 teachers
  table2   generations of EMENet-V and EMENet-VA (also Figure 4)
  table3   NLL and RMSE of EMENet-V by generation, with temperature scaling and
           MC dropout (Tables 3 and 4, Figure 5)
  table6   the same of EMENet-VA (Tables 6 and 7)
  table5   Algorithm 1 on and off
  paper    all of them, sharing what they can (needs the longest)
  tiny     a look at every part; the numbers mean nothing

All of these use the embedded data set. With `_affwild2` after the name they use
the paper's hyper-parameters and Aff-Wild2, prepared by emojax.data.prepare:

  python -m emojax.main --config=configs/study.py:table1_affwild2 \
    --config.data.path=PREPARED --workdir=runs/table1_affwild2

Settings outside `study` are those of configs/gen.py and hold for all variants;
a variant's own settings come on top of them.
"""

import pathlib
import runpy

from ml_collections import ConfigDict

GEN = runpy.run_path(str(pathlib.Path(__file__).with_name('gen.py')))
AFFWILD2 = '_affwild2'


def _flat(config, prefix=''):
  flat = {}
  for key, value in config.items():
    if isinstance(value, ConfigDict):
      flat |= _flat(value, f'{prefix}{key}.')
    else:
      flat[prefix + key] = value
  return flat


def _changes(base: ConfigDict, other: ConfigDict) -> tuple[str, ...]:
  """Assignments that turn one preset into another."""
  before, after = _flat(base), _flat(other)
  return tuple(
    f'{name}={after[name]}' for name in after if after[name] != before[name]
  )


def _study(base: ConfigDict, variants, tables) -> ConfigDict:
  """A preset of gen.py as the base of several runs.

  Args:
    base: Settings of all runs.
    variants: Name -> assignments to settings.
    tables: Name of a table of the paper -> variants that it shows.
  """
  config = base
  config.experiment = 'study'
  config.study = ConfigDict()
  config.study.variants = ConfigDict(
    {name: tuple(changes) for name, changes in variants.items()}
  )
  config.study.tables = ConfigDict(
    {name: tuple(names) for name, names in tables.items()}
  )
  return config


TEACHERS = ('generations=0',)
TEN = (*TEACHERS, 'ensemble.size=10')
UNWEIGHTED = ('loss.reweight=False',)
UNBALANCED = ('train.balance=off',)
V_TABLES = {'table3': ('v',), 'table4': ('v',), 'figure5': ('v',)}


def _base(paper: bool) -> ConfigDict:
  """EMENet-V with as many generations as the paper's tables have."""
  config = GEN['get_config']('paper_v' if paper else 'embedded')
  config.generations = 4
  config.ensemble.size = 5
  return config


def _listening(paper: bool) -> tuple[str, ...]:
  """What EMENet-VA changes."""
  if paper:
    return _changes(_base(True), GEN['get_config']('paper_va'))
  return ('generations=3', 'model.name=emenet_va', 'data.audio=True')


def table1(paper: bool) -> ConfigDict:
  variants = {'reweighted': TEN, 'unweighted': TEN + UNWEIGHTED}
  return _study(_base(paper), variants, {'table1': tuple(variants)})


def table2(paper: bool) -> ConfigDict:
  variants = {'v': (), 'va': _listening(paper)}
  names = tuple(variants)
  return _study(_base(paper), variants, {'table2': names, 'figure4': names})


def table3(paper: bool) -> ConfigDict:
  return _study(_base(paper), {'v': ()}, V_TABLES)


def _balancing(paper: bool) -> dict[str, tuple[str, ...]]:
  """Variants of Table 5.

  Algorithm 1 acts on tasks that have stopped improving. In the few epochs of the
  embedded data set teachers hardly do, so here they train longer.
  """
  longer = () if paper else ('train.epochs=30',)
  balanced = TEACHERS + longer
  return {'unbalanced': balanced + UNBALANCED, 'balanced': balanced}


def table5(paper: bool) -> ConfigDict:
  variants = _balancing(paper)
  return _study(_base(paper), variants, {'table5': tuple(variants)})


def table6(paper: bool) -> ConfigDict:
  tables = {'table6': ('va',), 'table7': ('va',)}
  return _study(_base(paper), {'va': _listening(paper)}, tables)


def paper(paper: bool) -> ConfigDict:
  variants = {
    'v': (),
    'va': _listening(paper),
    'unweighted': TEN + UNWEIGHTED,
    **_balancing(paper),
  }
  tables = {
    'table1': ('v', 'unweighted'),
    'table2': ('v', 'va'),
    'figure4': ('v', 'va'),
    **V_TABLES,
    'table5': ('unbalanced', 'balanced'),
    'table6': ('va',),
    'table7': ('va',),
  }
  return _study(_base(paper), variants, tables)


def tiny(paper: bool) -> ConfigDict:
  if paper:
    raise ValueError("configs/study.py: 'tiny' is for the embedded data set")
  config = GEN['get_config']('tiny')
  variants = {
    'v': (),
    'unweighted': (*TEACHERS, 'ensemble.size=3', *UNWEIGHTED),
    'unbalanced': TEACHERS + UNBALANCED,
  }
  tables = {
    'table1': ('v', 'unweighted'),
    'table2': ('v',),
    'figure4': ('v',),
    **V_TABLES,
    'table5': ('unbalanced', 'v'),
  }
  return _study(config, variants, tables)


PRESETS = {
  f.__name__: f for f in (table1, table2, table3, table5, table6, paper, tiny)
}


def get_config(preset: str = 'paper') -> ConfigDict:
  """Returns the configuration of a preset."""
  name = preset.removesuffix(AFFWILD2)
  if name not in PRESETS:
    raise ValueError(
      f'configs/study.py has no preset {preset!r}; it has '
      f'{", ".join(PRESETS)}, and each with {AFFWILD2}'
    )
  return PRESETS[name](preset.endswith(AFFWILD2))
