"""Benchmarks of networks judged by votes: plans, scores, verdicts, tables."""

import io
import itertools
import json
import pathlib
import runpy
import sys
import types

import numpy as np
import pytest
import scipy.spatial
import scipy.special
import scipy.stats
import small_run
from rich.console import Console

from benchmarks import (
  cifar10h,
  exchange_page,
  exchange_rate,
  ferplus_controls,
  planned_runs,
  prior_correction,
  vote_scores,
)
from benchmarks.vote_scores import ACCURACY, KL, NLL, SPEARMAN
from emojax import settings
from emojax.evaluation import votes
from emojax.metrics import calibration_errors
from emojax.report import verdicts
from emojax.runtime import overrides

FACES, CHAINS, MEMBERS = 120, 3, 2
STUDENT, RIVALS = 'Stu1', ferplus_controls.RIVALS


@pytest.fixture
def console():
  return Console(file=io.StringIO(), width=200)


def pieces(folder, names):
  return [
    planned_runs.Planned(folder / name, ('write', str(folder / name)), 2)
    for name in names
  ]


# Writes the last file of a piece, unless its name says that it fails.
PROGRAM = (
  'import pathlib, sys; path = pathlib.Path(sys.argv[2]);'
  'path.mkdir(exist_ok=True); sys.exit(3) if "bad" in path.name else'
  ' (path / "results.json").write_text("{}")'
)


def test_what_is_finished_is_not_done_again(tmp_path, console):
  plan = pieces(tmp_path, ['first', 'bad', 'last'])
  (tmp_path / 'first').mkdir()
  (tmp_path / 'first' / 'results.json').write_text('kept')
  with pytest.raises(ValueError, match='bad ended with status 3; the same'):
    planned_runs.do(plan, console, (sys.executable, '-c', PROGRAM))
  assert [one.state for one in plan] == [
    planned_runs.FINISHED, planned_runs.BEGUN, planned_runs.MISSING,
  ]  # fmt: skip
  lines = planned_runs.lines(plan, minutes=30)
  assert lines[0].split()[:3] == ['finished', '1.0', 'h']
  assert '1 of 3 are finished; the others take 2 hours' in lines[-1]
  assert planned_runs.cost(plan) == ''  # nothing was measured
  planned_runs.do(plan[1:], console, (sys.executable, '-c', GOOD))
  said = console.file.getvalue()
  assert 'last took 0 minutes; the 0 networks' in said
  assert 'bad took' not in said  # it was begun before
  (tmp_path / 'last' / 'timings.json').write_text('{"Tea": 90, "Stu1": 30}')
  assert planned_runs.lines(plan, 30)[-1] == (
    'Measured on 2 finished networks: 1.0 minutes of the clock each, 0.0 hours '
    'in all.'
  )
  assert plan[2].state == planned_runs.FINISHED
  assert (tmp_path / 'first' / 'results.json').read_text() == 'kept'


GOOD = PROGRAM.replace('"bad"', '"nothing"')


# Ctrl-C while it works: it writes what it has and ends as emojax.main does.
STOPPED = (
  'import os, pathlib, signal, sys, time; os.kill(os.getppid(), signal.SIGINT);'
  'time.sleep(0.5); pathlib.Path(sys.argv[2], "kept").touch(); sys.exit(130)'
)


def test_what_is_interrupted_may_stop_in_order(tmp_path, console):
  (plan,) = pieces(tmp_path, ['run'])
  plan.path.mkdir()
  with pytest.raises(ValueError, match='run ended with status 130'):
    planned_runs.do([plan], console, (sys.executable, '-c', STOPPED))
  assert (plan.path / 'kept').exists()


SMALL = {
  'ensemble.size': '3',
  'generations': '1',
  'model.width': '0.25',
  'train.schedule': 'exponential',
  'train.decay_every': '9',
  'train.epochs': '20',
}


def test_a_recipe_is_that_of_all_runs_and_longer_ones_are_stretched(tmp_path):
  made = ferplus_controls.plan(tmp_path, 'DATA', 'RAW', [0], SMALL)
  found = {one.path.name: one for one in made}
  assert [one.networks for one in made] == [6, 3, 3, 6, 3]
  for name, one in found.items():
    assert '--config.model.width=0.25' in one.command, name
    longer = name == 'longer-0'
    assert f'--config.train.epochs={40 if longer else 20}' in one.command
    assert f'--config.train.decay_every={18 if longer else 9}' in one.command
  cosine = ferplus_controls.plan(tmp_path, 'DATA', '', [0])
  (longer,) = (one for one in cosine if one.path.name == 'longer-0')
  assert '--config.train.epochs=52' in longer.command
  assert not any('decay_every' in part for part in longer.command)


@pytest.mark.parametrize(
  ('recipe', 'said'),
  [
    ({'train.ema': '0.999'}, 'train.ema: the benchmark gives it to its runs'),
    ({'seed': '7'}, 'seed: the benchmark gives it to its runs'),
    ({'data.path': 'x'}, 'data.path: the benchmark gives it to its runs'),
    ({'generations': '0'}, 'a chain has students'),
    ({'ensemble.size': 'x'}, 'ensemble.size'),
    ({'ensemble.size': '0'}, 'ensemble.size'),
    ({'train.epochs': '2.5'}, 'train.epochs'),
    ({'model.widht': '0.2'}, 'did you mean'),
    ({'train.decay_every': '5'}, 'means nothing while'),  # of a cosine
  ],
)
def test_recipes_that_cannot_be_meant(tmp_path, recipe, said, capsys):
  with pytest.raises(ValueError, match=said):
    ferplus_controls.plan(tmp_path, 'DATA', '', [0], recipe)
  ((name, value),) = recipe.items()
  arguments = [str(tmp_path), '--set', f'{name}={value}']
  assert ferplus_controls.main(arguments) == 1
  assert capsys.readouterr().err.startswith('error: ')


def test_students_settings_are_not_given_to_those_without(tmp_path):
  recipe = {'distill.students': '1', 'model.width': '0.25'}
  made = ferplus_controls.plan(tmp_path, 'DATA', 'RAW', [0], recipe)
  planned_runs.check(made)  # every command means something
  assert [one.networks for one in made] == [7, 5, 5, 10, 5]
  given = ['--config.distill.students=1' in one.command for one in made]
  assert given == [True, False, False, False, False]


def test_runs_of_another_recipe_are_told_before_anything_is_done(
  tmp_path, capsys
):
  folder = tmp_path / 'chain-0'
  folder.mkdir()
  made = ferplus_controls.plan(tmp_path, 'DATA', '', [0], SMALL)
  config = runpy.run_path(f'{small_run.ROOT}/{ferplus_controls.CONFIG}')
  config = overrides.apply(
    config['get_config'](),
    [f'{k}={v}' for k, v in SMALL.items()] + ['data.path=ELSEWHERE'],
  )
  config.runtime.memory_gib = 3.0  # how, not what
  said = {'config': config.to_dict()}
  for name in ('config.json', 'results.json'):
    (folder / name).write_text(json.dumps(said))
  planned_runs.check(made)
  other = SMALL | {'model.width': '0.5'}
  made = ferplus_controls.plan(tmp_path, 'DATA', '', [0], other)
  with pytest.raises(ValueError, match=r'model\.width: 0\.25 there, 0\.5 now'):
    planned_runs.check(made)
  arguments = [str(tmp_path), '--data', 'DATA', '--train', '--seeds=1']
  assert ferplus_controls.main(arguments) == 1
  assert 'name another folder' in capsys.readouterr().err


def test_data_of_other_options_are_told(tmp_path):
  made = exchange_rate.plan(tmp_path, 'FER', (1,), (1,), [0])
  data = made[0]
  data.path.mkdir(parents=True)
  options = dict(text.split('=') for text in data.command if '=' in text)
  for change, good in (({}, True), ({'votes': '2'}, False)):
    settings_ = {'settings': {'options': options | change}}
    (data.path / 'emojax.json').write_text(json.dumps(settings_))
    if good:
      planned_runs.check(made)
    else:
      with pytest.raises(ValueError, match='was prepared with the options'):
        planned_runs.check(made)


def every_run(folder):
  seeds = range(2)
  return [
    *prior_correction.plan(folder / 'v', seeds, audio=False),
    *prior_correction.plan(folder / 'va', seeds, audio=True),
    *ferplus_controls.plan(folder, 'DATA', 'RAW', seeds),
    *exchange_rate.plan(folder, 'FER', (1, 10), (1, 5), seeds),
    *cifar10h.plan(folder / 'cifar10', 'CIFAR', seeds),
  ]


def test_plans_are_of_settings_that_mean_something(tmp_path):
  small = ferplus_controls.plan(tmp_path / 'small', 'D', 'RAW', [0], SMALL)
  shared = (
    'model.width',
    'train.schedule',
    'train.decay_every',
    'train.epochs',
  )
  recipe = {name: SMALL[name] for name in shared}
  fewer = exchange_rate.plan(
    tmp_path / 'fewer', 'FER', (1,), (1,), [0], members=2, recipe=recipe
  )
  assert [one.networks for one in fewer] == [0, 3, 1]
  plan = [*every_run(tmp_path), *small, *fewer]
  assert len({one.path for one in plan}) == len(plan)
  for program, *arguments in (one.command for one in plan):
    if program != 'emojax.main':
      continue
    file, where, *changes = arguments
    path, _, preset = file.removeprefix('--config=').partition(':')
    made = runpy.run_path(f'{small_run.ROOT}/{path}')['get_config']
    changes = [one.removeprefix('--config.') for one in changes]
    config = overrides.apply(made(*([preset] if preset else [])), changes)
    overrides.check(config, {one.split('=')[0] for one in changes})
    assert where.startswith(f'--workdir={tmp_path}')
    taken = settings.flatten(config.to_dict()).get('distill.teachers')
    assert not taken or taken in {str(one.path) for one in plan}


def test_plans_take_what_they_say(tmp_path):
  cifar = {one.path.name: one for one in every_run(tmp_path)[-15:]}
  config = runpy.run_path(f'{small_run.ROOT}/{cifar10h.CONFIG}')['get_config']()
  assert (config.ensemble.size, config.generations) == (
    cifar10h.MEMBERS, cifar10h.GENERATIONS,
  )  # fmt: skip
  assert cifar.keys() == {'clean', 'aggregate', 'random1'} | {
    f'{kind}-{seed}' for kind in ('chain', *cifar10h.KINDS) for seed in range(2)
  }
  assert [cifar[name].networks for name in ('clean', 'chain-1', 'ema-0')] == [
    0, 6, 3,
  ]  # fmt: skip
  where = f'--config.data.path={cifar["random1"].path}'
  assert where in cifar['random1-1'].command
  plan = {one.path.name: one for one in every_run(tmp_path)[:-15]}
  config = runpy.run_path(f'{small_run.ROOT}/{ferplus_controls.CONFIG}')
  config = config['get_config']()
  assert config.generations == 2
  assert config.ensemble.size == exchange_rate.MEMBERS
  # A chain has three generations of five; controls are teachers alone.
  networks = {name: one.networks for name, one in plan.items()}
  assert networks['chain-0'] == 15
  assert networks['ema-1'] == 5
  assert networks['longer-0'] == 10
  assert networks['votes1-teachers5-0'] == 6
  assert networks['votes1-teachers1-0'] == 1
  # Draws of one vote differ by chain, and all ten votes are the same ones.
  assert {'votes1-0', 'votes1-1', 'votes10'} <= plan.keys()
  order = list(plan)
  assert order.index('votes10') < order.index('votes10-teachers5-0')
  assert order.index('votes1-teachers5-0') < order.index('votes1-teachers1-0')


class Made:
  """Faces with known posteriors, and networks that know them more or less."""

  def __init__(self, rng, replicates=40):
    self.rng = rng
    self.posterior = rng.dirichlet(np.full(8, 0.3), FACES)
    share = rng.multinomial(10, self.posterior) / 10
    label = np.where(share.max(1) > 0.5, share.argmax(1), -1)
    self.scorer = vote_scores.Scorer(share, label, replicates)

  def chain(self, noise, skill=0.05):
    """Members [M, F, 8] of a run; runs differ in their skill, too."""
    noise = noise * np.exp(skill * self.rng.normal())
    drawn = self.rng.normal(size=(MEMBERS, *self.posterior.shape))
    return scipy.special.softmax(
      np.log(self.posterior + 1e-3) + noise * drawn, -1
    )

  def chains(self, **noise):
    """Scores by row and seed; `noise` by network."""
    score = {'single': self.scorer.singles, 'ensemble': self.scorer.ensemble}
    return {
      f'{kind} {name}': {
        seed: score[kind](self.chain(level)) for seed in range(CHAINS)
      }
      for name, level in noise.items()
      for kind in ferplus_controls.KINDS
    }


@pytest.fixture(scope='module')
def made():
  return Made(np.random.default_rng(0))


def test_scores_are_those_of_definitions(made):
  probs = made.chain(1.0)
  found, (share, label) = (
    made.scorer.ensemble(probs), (made.scorer.share, made.scorer.label)
  )  # fmt: skip
  mean = probs.mean(0)
  kl = scipy.special.rel_entr(share, mean).sum(1).mean()
  assert found[KL][0] == pytest.approx(kl, abs=1e-6)
  rho = scipy.stats.spearmanr(
    scipy.stats.entropy(mean, axis=1), votes.entropy(share).round(9)
  )[0]
  assert found[SPEARMAN][0] == pytest.approx(rho)
  known = label >= 0
  assert 0 < known.sum() < FACES
  right = mean[known].argmax(1) == label[known]
  assert found[ACCURACY][0] == pytest.approx(right.mean())
  nll = -np.log(mean[known, label[known]]).mean()
  assert found[NLL][0] == pytest.approx(nll, abs=1e-6)
  scorer = vote_scores.Scorer(share, label, 40, wanted=cifar10h.COLUMNS)
  more = scorer.score(mean)
  assert more[vote_scores.VOTE_NLL][0] == pytest.approx(
    -(share * np.log(mean)).sum(1).mean(), abs=1e-6
  )
  distance = scipy.spatial.distance.jensenshannon(share, mean, axis=1) ** 2
  assert more[vote_scores.JENSEN_SHANNON][0] == pytest.approx(distance.mean())
  gap = np.abs(share - mean).sum(1).mean() / 2
  assert more[vote_scores.TOTAL_VARIATION][0] == pytest.approx(gap)
  agreed = share[range(FACES), mean.argmax(1)]
  assert more[vote_scores.VOTE_ECE][0] == pytest.approx(
    calibration_errors.binned_error(mean.max(1), agreed, bins=10)
  )
  for key in (KL, SPEARMAN, ACCURACY, NLL):
    np.testing.assert_array_equal(more[key], found[key])
  each = [made.scorer.score(one)[SPEARMAN] for one in probs]
  singles = made.scorer.singles(probs)[SPEARMAN]
  np.testing.assert_allclose(singles, np.mean(each, 0))


def test_chains_are_what_is_repeated():
  values = np.array([0.3, 0.5, 0.9])
  chains = [np.full(11, value) for value in values]  # images make no difference
  found = vote_scores.over_chains(chains, faces=50)
  assert found.value == pytest.approx(values.mean())
  assert found.error == pytest.approx(scipy.stats.sem(values))
  assert found.freedom == pytest.approx(2)
  assert vote_scores.over_chains(chains[:2], 50).error is None
  assert vote_scores.over_chains(chains[:1], 50) == (0.3, None, np.inf)


def verdicts_of(chains):
  claims = ferplus_controls.claims(chains, [STUDENT], FACES)
  return [one.verdict for one in verdicts.decide(claims)]


def test_students_that_are_better_than_everybody_win(made):
  chains = made.chains(Stu1=0.3, **dict.fromkeys(RIVALS, 1.5))
  assert verdicts_of(chains) == ['yes', 'yes']
  # One control that is as good is enough, and a much better one contradicts.
  assert verdicts_of(chains | made.chains(ema=0.3)) == ['unclear', 'unclear']
  worse = made.chains(**dict.fromkeys((STUDENT, *RIVALS), 5) | {'ema': 0.1})
  assert verdicts_of(worse) == ['no', 'no']


def test_kl_alone_does_not_win(made):
  chains = made.chains(Stu1=0.3, **dict.fromkeys(RIVALS, 1.5))
  better = dict(chains)
  for kind in ferplus_controls.KINDS:
    same = {
      seed: one | {SPEARMAN: chains[f'{kind} scaled'][seed][SPEARMAN]}
      for seed, one in chains[f'{kind} Stu1'].items()
    }
    better[f'{kind} Stu1'] = same
  assert verdicts_of(better) == ['unclear', 'unclear']


def test_without_a_control_nothing_is_tested(made):
  chains = made.chains(Stu1=0.3, **dict.fromkeys(RIVALS, 1.5))
  del chains['single ema'], chains['ensemble ema']
  (one, _) = ferplus_controls.claims(chains, [STUDENT], FACES)
  assert one.untestable == 'no run of teachers, averaged weights'
  assert set(verdicts_of(chains)) == {'untestable'}
  # Two chains have no interval.
  chains = made.chains(Stu1=0.3, **dict.fromkeys(RIVALS, 1.5))
  few = {row: {0: by[0], 1: by[1]} for row, by in chains.items()}
  assert set(verdicts_of(few)) == {'unclear'}


@pytest.mark.parametrize(
  ('others', 'share'),
  [(0.5, 0), pytest.param(2.0, 0.2, marks=pytest.mark.slow)],
)
def test_students_that_are_teachers_rarely_win(others, share, monkeypatch):
  """Identical to all rivals, or to the best of them while others are worse."""
  monkeypatch.setattr(ferplus_controls, 'KINDS', ('single',))
  rng, trials = np.random.default_rng(1), 60
  wins = lucky = 0
  levels = dict.fromkeys(RIVALS, others) | {'teachers': 0.5, STUDENT: 0.5}
  for _ in range(trials):
    chains = Made(rng, 10).chains(**levels)
    wins += verdicts_of(chains) == ['yes']
    (claim,) = ferplus_controls.claims(chains, [STUDENT], FACES)
    lucky += all(one.value > 0 for one in claim.differences)
  assert wins <= scipy.stats.binom.ppf(0.9995, trials, 0.05)
  assert lucky >= share * trials  # wins of who looks at means alone


def test_tables_have_a_row_for_everything(made):
  chains = made.chains(Stu1=0.3, **dict.fromkeys(RIVALS, 1.5))
  levels = ferplus_controls.levels(chains, FACES)
  assert len(levels.rows) == len(chains)
  assert ['teachers, averaged weights, single', '3'] in [
    row[:2] for row in levels.rows
  ]
  gaps = ferplus_controls.differences(chains, [STUDENT], FACES)
  assert len(gaps.rows) == 2 * len(RIVALS)
  claims = ferplus_controls.claims(chains, [STUDENT], FACES)
  row = ferplus_controls.decisions(claims).rows[0]
  assert row[1] == 'yes'
  assert 'over teachers' in row[2]


def test_ensembles_have_every_member_as_often(made):
  probs = np.concatenate([made.chain(1.0), made.chain(1.0)])[:3]
  for size in (1, 2, 3):
    found = exchange_rate.subsets(made.scorer, probs, size)
    # Of three members all subsets are in a row.
    every = [
      made.scorer.score(probs[list(each)].mean(0))
      for each in itertools.combinations(range(3), size)
    ]
    right = vote_scores.mean(every)
    for key, values in found.items():
      np.testing.assert_allclose(values, right[key], err_msg=key)


def test_what_votes_are_worth():
  counts, kl = (1, 2, 5, 10), (0.6, 0.5, 0.45, 0.4)
  for count, value in zip(counts, kl, strict=True):
    found = exchange_page.worth(counts, kl, value, lower=True)
    assert found == pytest.approx(count)
  between = exchange_page.worth(counts, kl, 0.55, lower=True)
  assert between == pytest.approx(np.sqrt(2))
  assert exchange_page.worth(counts, kl, 0.7, lower=True) == 0
  assert exchange_page.worth(counts, kl, 0.3, lower=True) == np.inf
  rho = [-value for value in kl]
  found = exchange_page.worth(counts, rho, -0.55, lower=False)
  assert found == pytest.approx(between)
  # A score that falls again is reached where it is first.
  again = exchange_page.worth(counts, (0.6, 0.4, 0.5, 0.3), 0.45, lower=True)
  assert 1 < again < 2


def scored(value):
  return {key: np.full(3, value) for key in (KL, SPEARMAN)}


def test_rates_are_by_chain_and_of_all():
  teacher = {
    1: {0: scored(0.6), 1: scored(0.7)},
    4: {0: scored(0.4), 1: scored(0.5)},
  }
  better = {1: {0: scored(0.5), 1: scored(0.5)}, 4: {0: scored(0.3)}}
  found = {'one teacher': teacher, '2 teachers': better}
  table = exchange_page.rates(found, KL)
  assert table.columns == ['votes', '2 teachers']
  # 0.5 is half way from 0.6 to 0.4, all of it from 0.7 to 0.5; of means 3/4.
  assert table.rows == [
    ['1', '2.8 (2.0 to 4.0)'], ['4', 'more'],
  ]  # fmt: skip
  del teacher[4][1]
  assert exchange_page.rates(found, KL).rows[0] == ['1', '–']
  levels = exchange_page.levels(found, KL, faces=10)
  assert levels.rows[1] == ['4', '0.400 (1)', '0.300 (1)']


def priced(accuracy, improving=()):
  """A run, as far as it matters to whether it prices anything."""
  results = {
    'names': ['Tea', 'Stu1'],
    'generations': {'Tea': {'single_mean': {'expr/acc': accuracy}}},
    'validity': {'floor': 0.8, 'improving': list(improving)},
  }
  return types.SimpleNamespace(path=pathlib.Path('run'), results=results)


def test_what_prices_nothing():
  """The floor is the recipe's, on the most votes; no run is to be at its rise."""
  fine = {(1, 3, 0): priced(0.7), (10, 3, 0): priced(0.81)}
  assert exchange_rate.unfinished(fine) == []
  (said,) = exchange_rate.unfinished(fine | {(10, 3, 1): priced(0.79)})
  assert said.startswith('run prices nothing: an accuracy of 0.790 is below')
  (said,) = exchange_rate.unfinished(fine | {(1, 3, 1): priced(0.7, ['Tea'])})
  assert 'improving' in said
  assert len(exchange_rate.unfinished({(1, 3, 0): priced(0.7)})) == 1


def test_limits_are_of_the_votes_alone(tmp_path, capsys):
  rng = np.random.default_rng(0)
  names = ','.join(('neutral', 'happiness', 'surprise', 'sadness', 'anger'))
  header = f'Usage,Image name,{names},disgust,fear,contempt,unknown,NF'
  ballots = rng.multinomial(10, rng.dirichlet(np.full(10, 0.3), 200))
  rows = [
    f'PublicTest,fer{i:07d}.png,{",".join(map(str, one))}'
    for i, one in enumerate(ballots)
  ]
  rows += ['PublicTest,,10,0,0,0,0,0,0,0,0,0', 'Training,a.png' + ',1' * 10]
  (tmp_path / 'fer2013new.csv').write_text('\n'.join([header, *rows]))
  page = tmp_path / 'page.md'
  page.write_text('before\n<!-- tables -->\n<!-- end of tables -->\nafter')
  code = exchange_rate.main(
    [str(tmp_path / 'runs'), f'--source={tmp_path}', f'--out={page}']
  )
  assert code == 0
  voted = (ballots[:, :8].sum(1) > 1).sum()
  said = capsys.readouterr().out
  assert f'{voted} faces of PublicTest' in said
  assert '0 of 88 are finished' in said
  text = page.read_text()
  assert 'What other annotators of a face know' in text
  assert text.endswith('after')
  assert exchange_rate.main([str(tmp_path), '--source=nowhere']) == 1
  for wrong, said in (
    ('--votes=1,12', '--votes: expected at most 10'),
    ('--distilled=6', '--distilled: expected at most 5'),
    ('--members=12', '--members: expected at most 10'),
    ('--members=0', "'0': expected a number above 0"),
    ('--set=model.widht=1', 'did you mean model.width'),
    ('--set=ensemble.size=2', 'the benchmark gives it to its runs'),
    ('--seeds=0', "'0': expected a number above 0"),
  ):
    with pytest.raises(SystemExit):
      exchange_rate.main([str(tmp_path), '--source=nowhere', wrong])
    assert said in capsys.readouterr().err
  assert ferplus_controls.main([str(tmp_path / 'runs')]) == 0
  code = ferplus_controls.main([str(tmp_path / 'runs'), f'--out={page}'])
  assert code == 1
  assert 'no finished run chain-SEED yet' in capsys.readouterr().err


def test_rows_by_disagreement(made):
  share, label = made.scorer.share, made.scorer.label
  share = np.where(np.arange(FACES)[:, None] < 30, np.eye(8)[0], share)
  said = {
    (name, seed): made.chain(1.0)
    for name in ('teachers', 'Stu1', 'random1')
    for seed in range(CHAINS)
  }
  found = cifar10h.by_strata(said, share, label, replicates=5)
  assert [one.title.rpartition(',')[0] for one in found] == [
    KL, vote_scores.TOTAL_VARIATION, vote_scores.VOTE_ECE,
  ]  # fmt: skip
  rows = {row[0]: row[1:] for row in found[0].rows}
  assert rows.keys() == {
    f'{name}, {kind}'
    for name in ('one label an image', 'Stu1', 'labels of one human')
    for kind in ferplus_controls.KINDS
  }
  groups = votes.strata(share, 3)
  assert found[0].columns[1:] == [
    f'{name} ({len(index)})'
    for name, index in zip(cifar10h.STRATA, groups, strict=True)
  ]
  for cell, index in zip(rows['Stu1, ensemble'], groups, strict=True):
    each = [
      scipy.special.rel_entr(share, said['Stu1', seed].mean(0))[index].sum(1)
      for seed in range(CHAINS)
    ]
    assert float(cell.split(' ')[0]) == pytest.approx(np.mean(each), abs=1e-3)


def test_what_votes_allow_needs_no_run(tmp_path, capsys):
  rng = np.random.default_rng(0)
  ballots = rng.multinomial(51, rng.dirichlet(np.full(10, 0.2), 60))
  np.save(tmp_path / 'cifar10h-counts.npy', ballots)
  page = tmp_path / 'page.md'
  page.write_text('<!-- tables --><!-- end of tables -->')
  flags = [f'--source={tmp_path}', f'--out={page}']
  assert cifar10h.main([str(tmp_path / 'runs'), *flags]) == 0
  text = page.read_text()
  assert '60 test images with two votes or more' in text
  plain = (ballots.max(1) == 51).sum()
  assert f'{plain} of them have all votes on one class' in text
  assert '0 of 21 are finished' in capsys.readouterr().out
  assert cifar10h.main([str(tmp_path), '--source=nowhere']) == 1
