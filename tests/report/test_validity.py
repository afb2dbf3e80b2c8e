"""When a run can test nothing, and that it then contradicts nothing."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict

from emojax.report import validity
from emojax.report.estimates import Estimate
from emojax.report.verdicts import Claim, decide


def approach(constants, epochs=40, members=5, noise=0.002, seed=0):
  """Scores that approach 1 within `constants` time constants."""
  time = np.linspace(0, constants, epochs)
  spread = np.random.default_rng(seed).normal(0, noise, (members, epochs))
  return 1 - np.exp(-time) + spread


@pytest.mark.parametrize(
  ('constants', 'expected'), [(0.5, True), (2, True), (5, False), (9, False)]
)
def test_training_that_had_not_come_to_an_end(constants, expected):
  assert validity.improving(approach(constants)) is expected
  assert validity.improving(approach(constants, members=1)) is expected
  assert validity.improving(7 * approach(constants) - 3) is expected
  assert validity.improving(approach(constants, members=2)) is expected


def test_scores_that_only_vary_or_fall_are_at_an_end():
  rng = np.random.default_rng(0)
  flat = 0.5 + 0.01 * rng.normal(size=(200, 4, 16))
  flat[..., 0] = 0.3  # all was learned in the first epoch
  assert np.mean([validity.improving(curves) for curves in flat]) <= 0.08
  assert np.mean([validity.improving(curves[:2]) for curves in flat]) <= 0.08
  assert not validity.improving(-approach(0.5))
  assert not validity.improving([[0.5, 0.5]])


def test_two_members_need_not_gain_alike():
  both = approach(1.5, members=2, noise=0)
  both[1] = 0.5 + (both[1] - 0.5) / 4  # their t-test would find nothing
  assert validity.improving(both)


def test_short_trainings():
  assert validity.improving([[0.4]])  # nothing shows that it has ended
  assert validity.improving([[0.1, 0.4], [0.1, 0.45]])
  assert not validity.improving([[0.1, 0.4], [0.4, 0.1]])
  # Members that patience stopped have fewer epochs.
  assert not validity.improving([[0.1, 0.5, 0.5, 0.5], [0.1, 0.5, 0.5]])


def write(path, lines):
  text = '\n'.join(map(json.dumps, lines))
  (path / 'metrics.jsonl').write_text(text)


def lines_of(name, curves):
  return [
    {'generation': name, 'epoch': e, 'member': m, 'val/total': float(value)}
    for e in range(len(curves[0]))
    for m, value in enumerate(curve[e] for curve in curves)
  ]


def test_a_run_names_the_stacks_that_were_still_improving(tmp_path):
  lines = lines_of('Tea', approach(9)) + lines_of('Stu1', approach(1))
  write(tmp_path, lines)
  found = validity.of_run(tmp_path, 0.8)
  assert found == {'floor': 0.8, 'improving': ['Stu1'], 'unlearned': []}
  both = [*lines_of('Tea', approach(1)), *lines_of('Stu1', approach(1))]
  half = len(both) // 2
  for lines in (both, both[half:] + both[:half]):  # made anew or not
    write(tmp_path, lines)
    assert validity.of_run(tmp_path, 0)['improving'] == ['Stu1', 'Tea']
  empty = tmp_path / 'empty'
  empty.mkdir()
  assert validity.of_run(empty, 0) == {
    'floor': 0,
    'improving': [],
    'unlearned': [],
  }


@pytest.mark.parametrize(
  'curve',
  [
    [0.3] * 12,
    [0.3 - 0.01 * epoch for epoch in range(12)],
    [0.3, *[0.1] * 8, 0.2, 0.2, 0.2],  # collapsed
    [0.3, *[0.9] * 8, 0.1, 0.1, 0.1],
  ],
)
def test_a_stack_that_gained_nothing_has_learned_nothing(tmp_path, curve):
  write(
    tmp_path, lines_of('Tea', [curve, curve]) + lines_of('Stu1', approach(9))
  )
  found = validity.of_run(tmp_path, 0)
  assert found['unlearned'] == ['Tea']
  assert verdict(AGAINST, found, None) == 'untestable'
  (gated,) = validity.gate([AGAINST], found, None)
  assert (
    gated.untestable == 'no better at the end than after the first epoch: Tea'
  )
  assert verdict(AGAINST, {**found, 'unlearned': ['Stu2']}, None) == 'no'


def test_members_that_learn_are_not_unlearned_for_one_that_does_not():
  good, flat = approach(9)[0], [approach(9)[0][0]] * len(approach(9)[0])
  assert validity.learned([good, good, flat])
  assert validity.learned([[0.5]])  # of one epoch: `improving` says so


@pytest.mark.parametrize(
  'line', ['{"gener', '[1]', '{"generation": "Tea"}', '7']
)
def test_a_damaged_file_is_named(tmp_path, line):
  good = json.dumps(lines_of('Tea', [[0.5]])[0])
  (tmp_path / 'metrics.jsonl').write_text(f'{good}\n{line}\n')
  with pytest.raises(ValueError, match=r'metrics\.jsonl, line 2 is not what'):
    validity.of_run(tmp_path, 0)


def test_the_floor_is_an_accuracy():
  def config(**values):
    return ConfigDict({'eval': ConfigDict(values)})

  assert validity.floor_from_config(config(floor=0.8)) == 0.8
  assert validity.floor_from_config(config()) == 0  # of an older run
  assert validity.floor_from_config(ConfigDict()) == 0
  for value in (-0.1, 1.0, 80.0, float('nan')):
    with pytest.raises(ValueError, match=r'config\.eval\.floor=.*\[0, 1\)'):
      validity.floor_from_config(config(floor=value))


AGAINST = Claim('', '', 'here', (Estimate(-9.0, 1.0),), stacks=('Tea', 'Stu1'))


def verdict(claim, found, accuracy):
  (decided,) = decide(validity.gate([claim], found, accuracy))
  return decided.verdict


def test_nothing_below_the_floor_speaks_against_a_paper():
  assert verdict(AGAINST, {'floor': 0.8, 'improving': []}, 0.79) == 'untestable'
  assert verdict(AGAINST, {'floor': 0.8, 'improving': []}, None) == 'untestable'
  assert verdict(AGAINST, {'floor': 0.8, 'improving': []}, 0.8) == 'no'
  assert verdict(AGAINST, {'floor': 0.0, 'improving': []}, None) == 'no'
  assert verdict(AGAINST, None, None) == 'no'  # a run that was made before


@pytest.mark.parametrize(
  ('stacks', 'improving', 'expected'),
  [
    (('Tea', 'Stu1'), 'Stu1', 'untestable'),
    (('Tea', 'Stu1'), 'Stu10', 'no'),
    ((), 'Stu10', 'untestable'),
    (('rnn4-',), 'rnn4-teacher', 'untestable'),
    (('rnn4-',), 'rnn40-teacher', 'no'),
  ],
)
def test_stacks_that_were_still_improving(stacks, improving, expected):
  claim = Claim('', '', '', AGAINST.differences, stacks=stacks)
  found = {'floor': 0.0, 'improving': [improving]}
  assert verdict(claim, found, None) == expected


def test_an_earlier_reason_stays():
  claim = Claim('', '', 'here', untestable='no students')
  (gated,) = validity.gate([claim], {'floor': 0.9, 'improving': []}, 0.1)
  assert gated.untestable == 'no students'
