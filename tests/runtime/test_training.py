"""Stacks that diverge, are left out once they are done, or are stopped.

That stacks are saved, stopped and resumed is tested in test_distillation.py.
"""

import signal
import types

import numpy as np
import pytest
from rich.console import Console

from emojax.engine import member
from emojax.host.signals import StopRequested
from emojax.runtime import training, workdir


def state_with(scores=(1.0, 2.0), **steps):
  bad = {k: np.array(v, np.int32) for k, v in steps.items()}
  best = types.SimpleNamespace(score=np.array(scores))
  return types.SimpleNamespace(first_bad=bad, best=best)


NEVER = member.NEVER


@pytest.mark.parametrize(
  ('steps', 'message'),
  [
    # The valence head fails; a step later its NaN is everywhere.
    (
      {'au': [6, NEVER], 'total': [5, NEVER], 'va': [5, NEVER]},
      r'Tea, member 0: the loss of va was not finite at step 5\.',
    ),
    (
      {'au': [9, 3], 'total': [9, 3], 'va': [9, 3]},
      r'Tea, member 1: the loss of au, va was not finite at step 3\.',
    ),
    (
      {'au': [NEVER, 4], 'total': [NEVER, 3], 'va': [NEVER, 4]},
      r'Tea, member 1: the loss of total was not finite at step 3\.',
    ),
  ],
)
def test_the_first_bad_loss_is_the_culprit(steps, message):
  with pytest.raises(training.DivergedError, match=message):
    training.check_finite('Tea', state_with(**steps))


@pytest.mark.parametrize(
  ('saved', 'message'),
  [
    (0, 'before the first checkpoint: there is none'),
    (1, 'The checkpoint of the 1 epoch before is kept and is good'),
    (3, 'The checkpoint of the 3 epochs before is kept and is good'),
  ],
)
@pytest.mark.parametrize('losses', [True, False])
def test_what_is_left_is_said(saved, message, losses):
  bad = [0, NEVER] if losses else [NEVER, NEVER]
  state = state_with((0.5, np.nan), au=bad, total=bad)
  with pytest.raises(training.DivergedError, match=message):
    training.check_finite('Tea', state, saved)


def test_finite_losses_pass():
  training.check_finite('Tea', state_with(au=[NEVER] * 2, total=[NEVER] * 2))


def test_an_epoch_without_a_score_is_never_silent():
  totals = np.array([[0.1, 0.2, 0.3], [0.1, np.nan, 0.4]])
  message = r'^Tea, member 1: the validation score of epoch 6 was not finite'
  with pytest.raises(training.DivergedError, match=message):
    training.check_totals('Tea', 5, totals)
  training.check_totals('Tea', 5, totals[:1])


def test_member_without_a_score_has_no_best_epoch():
  state = state_with((0.5, -np.inf), au=[NEVER] * 2)
  message = r'^Tea, member 1: the validation score was not finite'
  with pytest.raises(training.DivergedError, match=message):
    training.check_finite('Tea', state)


class Kept:
  """In the place of a session: says what it is asked for."""

  def __init__(self, folder, stop=''):
    self.stop, self.asked = stop, []
    self.progress = types.SimpleNamespace(skip=self._note('skip'))
    self.running = folder.joinpath

  def _note(self, name):
    return lambda *arguments: self.asked.append((name, *arguments))

  def lap(self):
    self.asked.append(('lap',))
    if self.stop:
      raise StopRequested(self.stop)


@pytest.fixture
def checkpoints(tmp_path):
  folder = tmp_path / 'Tea'
  folder.mkdir()
  return folder


def test_a_stack_is_trained_until_its_files_are_there(tmp_path, checkpoints):
  session, paths = Kept(tmp_path), [tmp_path / 'a.npz', tmp_path / 'b.npz']

  def killed():
    with training.stack(session, 'Tea', paths, 7) as missing:
      assert missing == paths
      paths[0].touch()
      raise ZeroDivisionError

  with pytest.raises(ZeroDivisionError):
    killed()
  assert checkpoints.exists()
  assert session.asked == []
  with training.stack(session, 'Tea', paths, 7) as missing:
    assert missing == paths[1:]
    paths[1].touch()
  assert session.asked == [('lap',)]
  assert not checkpoints.exists()
  checkpoints.mkdir()  # what was left by a kill after the last file
  with training.stack(session, 'Tea', paths, 7) as missing:
    assert missing == []
  assert session.asked == [('lap',), ('skip', 7)]
  assert not checkpoints.exists()


def test_a_stop_after_a_stack_comes_before_its_checkpoints_go(
  tmp_path, checkpoints
):
  session = Kept(tmp_path, 'SIGTERM')
  with pytest.raises(StopRequested, match='SIGTERM'):
    with training.stack(session, 'Tea', [tmp_path / 'a.npz'], 7):
      pass
  assert checkpoints.exists()


def test_a_session_takes_signals_and_keeps_its_time(tmp_path):
  folder = workdir.Workdir(tmp_path, {})
  before = signal.getsignal(signal.SIGTERM)
  with training.session(folder, Console(quiet=True), 3) as session:
    session.timings.start('Tea')
    session.lap()
    assert (tmp_path / 'timings.json').exists()
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(StopRequested, match='SIGTERM'):
      session.lap()
  assert signal.getsignal(signal.SIGTERM) == before
