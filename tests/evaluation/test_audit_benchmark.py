"""benchmarks/audit.py: from logits and posteriors to ranks and the page."""

import json

import numpy as np
import pytest
import scipy.special
import scipy.stats

from benchmarks import audit as tool
from benchmarks import audit_methods as reading
from benchmarks import audit_metrics as metrics
from benchmarks import audit_page as page
from benchmarks import audit_ranks, tables
from emojax import tasks, uncertainty
from emojax.uncertainty import temperature

AU = tasks.au_task(('AU1', 'AU2'))
EXPR = tasks.expr_task(('a', 'b', 'c'))
VA = tasks.va_task(4)
SCHEMA = (AU, EXPR, VA)
BINS = tasks.bin_values(4)
BIAS = {'au': np.array([2.0, -1.0]), 'expr': np.array([0.0, -2.0, -1.0])}
CLIPS, LENGTH = {'val': 60, 'test': 90}, 2


def made(seed):
  """Two members that know the posteriors up to noise and the class weights."""
  rng = np.random.default_rng(seed)
  frames, logits = {}, {}
  for split, clips in CLIPS.items():
    frames[split], logits[split] = {}, {}
    n = clips * LENGTH
    for task in SCHEMA:
      true = rng.normal(0, 1.5, (n, task.num_outputs))
      truth = uncertainty.probabilities(task, true)
      noisy = true + rng.normal(0, 0.5, (2, *true.shape))
      noisy = noisy + BIAS.get(task.name, 0)
      logits[split][task.name] = np.float32(noisy.reshape(2, clips, LENGTH, -1))
      if task.kind == 'binary':
        value = np.float64(rng.uniform(size=true.shape) < truth)
      else:
        gumbel = rng.gumbel(size=true.shape)
        best = tasks.split_logits(task, true + gumbel).argmax(-1)
        value = BINS[best] if task.kind == 'binned' else np.eye(3)[best]
      mask = np.ones(value.shape[:1] if task is EXPR else value.shape)
      groups = np.arange(n) // 4
      frames[split][task.name] = reading.Frames(
        np.arange(n), tasks.Target(value, mask), truth, groups
      )
  passes = {
    task.name: logits['test'][task.name][:, None].repeat(3, 1)
    for task in SCHEMA
  }
  stack = reading.Stack('Tea', SCHEMA, logits, passes, BIAS)
  plain = reading.Stack('Stu1 (corrected)', SCHEMA, logits, {}, {})
  return reading.Seed([stack, plain], frames, BINS)


@pytest.fixture(scope='module')
def found():
  """Task -> seed -> audit, as JSON keeps it."""
  seeds = {number: made(number) for number in range(2)}
  numbers = {
    n: {task.name: tool.audit(seed, task) for task in SCHEMA}
    for n, seed in seeds.items()
  }
  return tool.by_task(json.loads(json.dumps(numbers)))


@pytest.mark.slow
def test_what_undoes_the_bias_is_nearest(found):
  for task in ('au', 'expr'):
    one = found[task]['0']['methods']
    plain, right = (
      one[f'Tea, {name}, ensemble']['kl'] for name in ('none', 'PC')
    )
    assert right < plain / 3
    for name in ('vector', 'Dirichlet'):
      assert one[f'Tea, {name}, ensemble']['kl'] < plain / 2
    assert one['Tea, MC, single']['kl'] == pytest.approx(
      one['Tea, none, single']['kl']
    )
    assert not one['Tea, TS, single']['unbiased']
    assert one['Tea, PC, single']['unbiased']
    assert one['Stu1 (corrected), TS, single']['unbiased']


@pytest.mark.slow
def test_numbers_are_those_of_the_metrics(found):
  seed = made(0)
  frames = seed.frames['test']['expr']
  probs = scipy.special.softmax(
    np.float64(seed.stacks[0].logits['test']['expr']).reshape(2, -1, 3), -1
  )
  one = found['expr']['0']['methods']
  label = frames.target.value.argmax(-1)
  rows = np.arange(len(label))
  expected = np.mean([-np.log(p[rows, label] + 1e-8).mean() for p in probs])
  single = one['Tea, none, single']
  assert single['labels']['NLL'] == pytest.approx(expected)
  mean = probs.mean(0)
  kl = np.sum(frames.truth * np.log(frames.truth / mean), -1).mean()
  assert one['Tea, none, ensemble']['kl'] == pytest.approx(kl)
  # Of posteriors in place of labels, the NLL is the distance but for a constant.
  gaps = {
    round(m['truth']['NLL'] - m['kl'], 6)
    for m in one.values()
    if m['truth'] and m['map'] != 'isotonic'
  }
  assert max(gaps) - min(gaps) < 1e-4


@pytest.mark.slow
def test_true_coverage_is_near_what_is_counted(found):
  for by_seed in found.values():
    for audit in by_seed.values():
      for one in audit['methods'].values():
        assert (one['sets'] is None) == (one['map'] == 'MC')
        for true, counted, size in (one['sets'] or {}).values():
          assert 0.4 < true <= 1 + 1e-9
          assert abs(true - counted) < 0.12
          assert size >= 0


def one_seed():
  """Made-up numbers: two teachers and a student that is one network."""
  rng, found = np.random.default_rng(0), {}
  for stack, kinds in (('Tea', ('single', 'ensemble')), ('Stu1', ('single',))):
    for name in ('none', 'PC'):
      for many in kinds:
        numbers = dict.fromkeys((*metrics.METRICS, metrics.SIZE), 0.0)
        found[f'{stack}, {name}, {many}'] = {
          'stack': stack,
          'map': name,
          'many': many,
          'unbiased': name == 'PC',
          'kl': float(rng.uniform()),
          'labels': {key: float(rng.uniform()) for key in numbers},
          'truth': {key: float(rng.uniform()) for key in metrics.METRICS},
          'sets': {
            str(c): [c, c + 0.01, 2.0 + (stack == 'Stu1')]
            for c in metrics.COVERAGES
          },
        }
  optimum = dict.fromkeys(metrics.METRICS, 0.0)
  return {'expr': {0: {'methods': found, 'optimum': optimum}}}


def test_one_seed_has_numbers_and_no_verdicts(monkeypatch):
  monkeypatch.setattr(audit_ranks, 'PERMUTATIONS', 9)
  first, *_, last = page.tables_of(one_seed())
  assert 'one seed: no intervals' in first.notes[-1]
  assert not any('±' in cell or '**' in cell for r in first.rows for cell in r)
  assert last.title.startswith('Sets of each network')
  assert last.rows[0][1:] == [
    '0.800 / 0.810', '0.900 / 0.910', '0.950 / 0.960', '2.000', '1.000'
  ]  # fmt: skip
  assert [row[0] for row in last.rows] == [
    'Tea, PC, single', 'Tea, PC, ensemble', 'Stu1, PC, single'
  ]  # fmt: skip
  assert last.rows[2][-1] == '1.500'


def test_sections_of_a_page_are_filled_by_their_names(tmp_path):
  path = tmp_path / 'page.md'
  start, end = tables.markers('one network')
  whole, stop = tables.markers()
  path.write_text(f'{whole}\na\n{stop}\n{start}\nb\n{end}\n')
  made_ = [tables.Table('T', ['x'], [['1']])]
  tables.fill(path, made_, 'one network')
  text = path.read_text()
  assert f'{whole}\na\n{stop}' in text
  assert '\nb\n' not in text
  tables.fill(path, made_)
  assert path.read_text().count('### T') == 2
  with pytest.raises(ValueError, match='no lines <!-- tables of x -->'):
    tables.fill(path, made_, 'x')


def test_sets_hold_what_is_in_them():
  truth = np.array([[0.2, 0.7]])
  held = metrics.holds(AU, np.array([[1, -1]]), truth, None)
  assert held == pytest.approx([0.6])
  held = metrics.holds(EXPR, np.array([[1, 0, 1]], bool),
                       np.array([[0.5, 0.3, 0.2]]), None)  # fmt: skip
  assert held == pytest.approx([0.7])
  interval = np.array([[[-1.0, 0.0], [0.0, 1.0]]])
  bins = np.array([[[0.4, 0.3, 0.2, 0.1]] * 2])
  assert metrics.holds(VA, interval, bins, BINS) == pytest.approx([0.5])


def test_ranks_are_those_of_scipy():
  rng = np.random.default_rng(0)
  true = rng.uniform(size=(3, 12))
  value = np.round(true + rng.normal(0, 0.3, true.shape), 1)  # with ties
  value[:, 4] = np.nan  # a method without the metric
  one = audit_ranks.ranks(value, true)
  kept = np.arange(12) != 4
  for s in range(3):
    pair = value[s, kept], true[s, kept]
    assert one.kendall[s] == pytest.approx(scipy.stats.kendalltau(*pair)[0])
    assert one.spearman[s] == pytest.approx(scipy.stats.spearmanr(*pair)[0])
    best = np.nanargmin(value[s])
    assert one.picked[s] == best
    assert one.regret[s] == pytest.approx(true[s, best] - true[s].min())
  assert 0.1 < one.chance < 0.7
  perfect = audit_ranks.ranks(true, true)
  np.testing.assert_allclose(perfect.kendall, 1)
  np.testing.assert_allclose(perfect.regret, 0)
  assert np.isnan(
    audit_ranks.ranks(np.ones((2, 5)), true[:2, :5]).kendall
  ).all()
  with pytest.raises(ValueError, match='fewer than two'):
    audit_ranks.ranks(np.full((2, 5), np.nan), true[:2, :5])


def test_logits_of_probabilities_are_their_inverse():
  rng = np.random.default_rng(0)
  for task in SCHEMA:
    logits = rng.normal(size=(5, task.num_outputs))
    probs = uncertainty.probabilities(task, logits)
    again = uncertainty.probabilities(task, reading.as_logits(task, probs))
    np.testing.assert_allclose(again, probs, rtol=1e-9)


def test_one_temperature_of_equal_labels_is_the_usual_one():
  seed = made(0)
  task = tasks.au_task(('AU1',))
  logits = np.float64(seed.stacks[0].logits['val']['au'][0]).reshape(-1, 2)
  target = seed.frames['val']['au'].target
  part = tasks.Target(target.value[:, :1], target.mask[:, :1])
  found_ = reading.one_temperature(task, part, None)(logits[:, :1])
  expected = temperature.fit(task, logits[:, :1], part)
  np.testing.assert_allclose(found_, expected)


@pytest.mark.slow
def test_the_page_keeps_what_is_around_the_tables(found, tmp_path, monkeypatch):
  monkeypatch.setattr(audit_ranks, 'PERMUTATIONS', 9)
  path = tmp_path / 'page.md'
  start, end = tables.markers()
  path.write_text(f'# T\n\n{start}\nformer\n{end}\n\nafter\n')
  made_ = page.tables_of(found)
  page.write(path, found, made_)
  text = path.read_text()
  assert text.startswith('# T\n\n')
  assert text.endswith('\n\nafter\n')
  assert 'former' not in text
  assert not any('Sets of each network' in table.title for table in made_)
  for table in made_:
    assert f'### {table.title}' in text
    assert all(len(row) == len(table.columns) for row in table.rows)
  figure = tmp_path / 'figures' / 'page' / 'scatter.png'
  assert figure.stat().st_size > 9999
  path.write_text('# no markers')
  with pytest.raises(ValueError, match='no lines'):
    page.write(path, found, made_)


@pytest.mark.slow
def test_runs_that_do_not_fit_together_are_refused(found, tmp_path, capsys):
  first = {'methods': {'x': 1}}
  with pytest.raises(ValueError, match='other methods of au'):
    tool.by_task({0: {'au': first}, 1: {'au': {'methods': {'y': 1}}}})
  assert tool.main([str(tmp_path / 'run')]) == 1
  assert f'there is no folder {tmp_path / "run"}' in capsys.readouterr().err
