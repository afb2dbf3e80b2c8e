"""The report of a run whose test images have votes, of a single task."""

import copy
import dataclasses
import io
import json

import numpy as np
import pytest
import scipy.stats
import synthetic_run
from rich.console import Console

from emojax import publish, tasks
from emojax.evaluation import evaluate, judge
from emojax.experiments.distillation import (
  findings,
  report,
  votes,
  votes_findings,
)
from emojax.report import verdicts

SCHEMA = (tasks.expr_task(tasks.FERPLUS),)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """(folder, results) of overconfident teachers and better students."""
  run = synthetic_run.Run(SCHEMA, clips=200, length=1)
  rng = np.random.default_rng(0)
  posterior = np.float64(run.dataset.test.truth['expr'])
  posterior /= posterior.sum(-1, keepdims=True)
  ballots = np.float32(rng.multinomial(10, posterior))
  test = dataclasses.replace(run.dataset.test, votes=ballots, truth=None)
  dataset = dataclasses.replace(run.dataset, test=test)
  predictions = [
    run.predictions('Tea', 3, noise=1, scale=3, passes=2, seed=1),
    run.predictions('Stu1', 3, noise=0.2, seed=2),
  ]
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(judge, 'REPLICATES', 100)
    results, curves = evaluate(SCHEMA, predictions, dataset)
  path = tmp_path_factory.mktemp('votes')
  results['timings'] = {}
  (path / 'results.json').write_text(json.dumps(results, allow_nan=False))
  (path / 'curves.json').write_text(json.dumps(curves, allow_nan=False))
  for prediction in predictions:
    prediction.save(path / 'predictions' / f'{prediction.name}.npz')
  report.write(path, dataset.test)
  return path, results


def test_the_report_has_tables_figure_and_verdicts(folder):
  path, results = folder
  text = (path / 'report.md').read_text()
  assert "## Against the annotators' votes" in text
  assert (path / 'figures' / 'votes.png').stat().st_size > 5000
  row = results['votes']['rows']['Tea single + TS']
  low, high = row['interval']['vote/nll']
  cell = (
    f'{row["mean"]["vote/nll"]:.3f} ± {row["std"]["vote/nll"]:.3f} '
    f'[{low:.3f}, {high:.3f}]'
  )
  assert cell in text
  assert 'Tea ensemble + TS' in text
  assert '| Stu1 single − Tea single + MC dropout |' in text
  assert 'by epistemic uncertainty' in text
  assert (path / 'report.html').exists()


def test_the_terminal_prints_intervals_as_they_are(folder):
  _, results = folder
  stream = io.StringIO()
  report.terminal(results, Console(file=stream, width=400))
  low, high = results['votes']['rows']['Stu1 ensemble']['interval']['vote/kl']
  assert f'[{low:.3f}, {high:.3f}]' in stream.getvalue()


def test_verdicts_follow_the_intervals(folder):
  _, results = folder
  found = {f.claim: f for f in votes_findings_of(results)}
  claim = 'Stu1 single models match the votes better (KL) than Tea single'
  assert found[claim].verdict == 'yes'
  assert len(found) == 3 * len(votes.CLAIMS) + 1
  changed = copy.deepcopy(results)
  for one in changed['votes']['differences']:
    one['difference'] *= -1
  flipped = {f.claim: f for f in votes_findings_of(changed)}
  assert flipped[claim].verdict == 'no'
  opposite = {'yes': 'no', 'no': 'yes', 'unclear': 'unclear'}
  for name, finding in found.items():
    if 'on every set' not in name:
      assert flipped[name].verdict == opposite[finding.verdict]
  for one in changed['votes']['differences']:
    one['error'] = 10
  verdicts_ = {f.verdict for f in votes_findings_of(changed)}
  assert verdicts_ == {'unclear'}


def test_corrected_teachers_do_not_look_like_students(folder):
  path, results = folder
  curves = json.loads((path / 'curves.json').read_text())
  curves['votes']['Tea single + PC'] = curves['votes']['Tea single']
  left = votes.figure(results, curves).axes[0]
  looks = {
    line.get_label(): (line.get_color(), line.get_linestyle())
    for line in left.lines
  }
  assert {'Tea single', 'Tea single + PC', 'Stu1 single'} <= looks.keys()
  same = {'Tea single + TS', 'Tea single + TS on votes'}  # may be one line
  distinct = [look for name, look in looks.items() if name not in same]
  assert len(set(distinct)) == len(distinct)


@pytest.mark.parametrize('students', [False, True])
def test_students_of_corrected_answers_have_corrected_rivals(folder, students):
  """Where there is nothing to correct in them; else corrected teachers are no rival."""
  results = copy.deepcopy(folder[1])
  judged = results['votes']
  for name, has in (('Tea', True), ('Stu1', students)):
    results['generations'][name]['pc'] = {'mean': {}} if has else None
  for kind in ('single', 'ensemble'):
    judged['rows'][f'Tea {kind} + PC'] = judged['rows'][f'Tea {kind}']
    if students:
      judged['rows'][f'Stu1 {kind} + PC'] = judged['rows'][f'Stu1 {kind}']
    judged['differences'] += [
      {**one, 'rival': f'Tea {kind} + PC'}
      for one in judged['differences']
      if (one['row'], one['rival']) == (f'Stu1 {kind}', f'Tea {kind}')
    ]
  found = votes_findings.claims(results)
  against = {
    c.text.split(' than ')[-1] for c in found if 'single models' in c.text
  }
  if students:
    assert against == {f'Tea single{x}' for x in ('', ' + TS', ' + MC dropout')}
  else:
    assert against == {'Tea single + PC'}
  assert any('on every set' in claim.text for claim in found)


def test_intervals_over_images_alone_decide_nothing(folder):
  """Of a run that was scored before members were resampled."""
  old = copy.deepcopy(folder[1])
  for one in old['votes']['differences']:
    del one['error'], one['freedom']
  for row in old['votes']['rows'].values():
    del row['error']
  assert {f.verdict for f in votes_findings_of(old)} == {'unclear'}


def test_members_and_images_are_left_out_together(folder):
  _, results = folder
  judged = results['votes']
  found = votes.differences(judged)
  one = found['Stu1 single', 'Tea single', 'hard/acc']
  low, high = one['interval']
  margin = scipy.stats.t.ppf(0.975, one['freedom']) * one['error']
  assert [low, high] == pytest.approx(
    [one['difference'] - margin, one['difference'] + margin]
  )
  # Three chains differ, whatever the images: as much as a paired t-test says.
  assert 2 <= one['freedom'] < 200
  for row in ('Tea single', 'Tea ensemble'):
    errors = judged['rows'][row]['error']
    low, high = judged['rows'][row]['interval']['vote/kl']
    assert errors['vote/kl']['error'] > (high - low) / 4  # of images alone


def test_one_claim_has_one_row(folder):
  """What votes judge is not claimed a second time with other intervals."""
  _, results = folder
  found = findings.all_findings(results)
  assert len({f.claim for f in found}) == len(found)
  assert sum('foreign' in f.claim for f in found) == 1
  assert not any(f.claim.startswith('EXPR NLL') for f in found)
  plain = findings.all_findings({**results, 'votes': None})
  assert sum('foreign' in f.claim for f in plain) == 1
  assert any(f.claim.startswith('EXPR NLL') for f in plain)


def votes_findings_of(results):
  return verdicts.decide(votes_findings.claims(results))


def test_nothing_without_votes(folder):
  _, results = folder
  plain = {**results, 'votes': None}
  assert votes.tables(plain) == []
  assert votes_findings.claims(plain) == []
  assert votes.figure(plain, {'votes': {}}) is None


CONFIG = {
  'config': {
    'seed': 3,
    'data': {'path': '/home/me/secret/ferplus', 'ood_path': '/x/cifar10,/y/fm'},
  },
  'environment': {'revision': 'abc123', 'jax': '1.2'},
}


@pytest.mark.slow
def test_a_page_keeps_what_was_written_by_hand(folder, tmp_path):
  path, _ = folder
  (path / 'config.json').write_text(json.dumps(CONFIG))
  target = tmp_path / 'ferplus.md'
  target.write_text(
    f'# By hand\n\nBefore.\n\n{publish.START}\nstale\n{publish.END}\n\nAfter.\n'
  )
  arguments = [
    '--workdir',
    str(path),
    '--page',
    str(target),
    '--command',
    'run',
  ]
  assert publish.main([*arguments, '--machine', 'a laptop']) == 0
  text = target.read_text()
  assert text.startswith('# By hand\n\nBefore.\n')
  assert text.endswith('After.\n')
  assert 'stale' not in text
  for part in ('`run`', 'abc123', 'a laptop', 'seed 3', '`data.path=ferplus`'):
    assert part in text
  assert 'secret' not in text
  assert '`data.ood_path=cifar10,fm`' in text
  assert "## Against the annotators' votes" in text
  found = {p.stem for p in (tmp_path / 'figures' / 'ferplus').iterdir()}
  assert {'votes', 'rejection'} <= found
  assert 'example' not in found  # it shows people
  assert '(figures/ferplus/votes.png)' in text
  # Again: the same page.
  assert publish.main([*arguments, '--machine', 'a laptop']) == 0
  assert target.read_text() == text


REPORT = """# A study

The lead.

![Faces (Figure 4).](figures/gallery-rul.png)

*Faces (Figure 4).*

![Scores [%].](figures/scores.png)

*Scores [%].*

## The run

| data.path | /home/me/secret |
"""


def test_a_page_of_another_experiment(tmp_path):
  path, target = tmp_path / 'run', tmp_path / 'docs' / 'rul.md'
  (path / 'figures').mkdir(parents=True)
  target.parent.mkdir()
  for name in ('gallery-rul', 'scores'):
    (path / 'figures' / f'{name}.png').write_bytes(b'png')
  (path / 'config.json').write_text(json.dumps(CONFIG))
  results = {'format': 'emojax-rul-1', 'timings': {'rul': 90.0}}
  (path / 'results.json').write_text(json.dumps(results))
  (path / 'report.md').write_text(REPORT)
  publish.publish(path, target, 'the command', 'a laptop')
  text = target.read_text()
  for part in ('`the command`', 'rul 2 min', 'The lead.', 'data.path=ferplus'):
    assert part in text
  assert '![Scores [%].](figures/rul/scores.png)\n\n*Scores [%].*' in text
  assert 'Faces' not in text  # they may be people's
  assert 'secret' not in text
  assert '# A study' not in text
  names = [p.name for p in (target.parent / 'figures' / 'rul').iterdir()]
  assert names == ['scores.png']


@pytest.mark.slow
def test_a_page_without_the_marks_is_left_alone(folder, tmp_path, capsys):
  path, _ = folder
  target = tmp_path / 'page.md'
  target.write_text('all by hand\n')
  arguments = ['--workdir', str(path), '--page', str(target), '--command', 'x']
  assert publish.main(arguments) == 1
  assert 'once each' in capsys.readouterr().err
  assert target.read_text() == 'all by hand\n'
  arguments[1] = str(tmp_path)
  assert publish.main(arguments) == 1
  assert 'results.json is missing' in capsys.readouterr().err
