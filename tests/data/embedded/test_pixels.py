"""What pixels tell of action units (benchmarks/pixels.py)."""

import dataclasses

import numpy as np
import pytest

from benchmarks import pixels
from emojax import tasks
from emojax.data.embedded import annotator, render
from emojax.data.embedded.render import noiseless

MOUTH = [u for u in range(12) if annotator.REGION[u] == 2]


@pytest.fixture(scope='module')
def some():
  return pixels.frames(0, 12, 'test')


@pytest.fixture(scope='module')
def people():
  return pixels.frames(0, 300, 'train')


@pytest.fixture(scope='module')
def spread(some, people):
  return pixels.deviations(some, people, 32)


def test_noiseless_frames_are_the_mean_of_noisy_ones(some):
  one = dataclasses.replace(
    some, traits=some.traits | {'noise': np.full(12, 0.02, np.float32)}
  )
  seeds = np.arange(64, dtype=np.uint64)[:, None] + some.noise_seed
  noisy = np.stack(
    [render(dataclasses.replace(one, noise_seed=s), 32) for s in seeds]
  ).astype(np.float32)
  clean = noiseless(one, 32)
  inside = (clean > 30) & (clean < 225)  # else clipped
  assert inside.mean() > 0.5
  error = (noisy.mean(0) - clean)[inside]
  assert abs(error.mean()) < 0.02
  deviation = np.sqrt((0.02 * 255) ** 2 + pixels.QUANTISED)
  np.testing.assert_allclose(error.std(), deviation / 8, rtol=0.02)


# What no picture shows: the shirt is below the crop, talk is heard.
UNSEEN = ('shirt', 'talk', 'syllables')


def test_everything_that_makes_a_picture_is_moved(some, people):
  before, moved = noiseless(some, 32), set()
  for group, name, index, variance in pixels._nuisances(people):
    further = pixels._moved(some, group, name, index, 0.05)
    value, old = getattr(further, group)[name], getattr(some, group)[name]
    at = ... if index is None else (..., index)
    np.testing.assert_allclose(value[at] - old[at], 0.05, rtol=1e-3)
    assert variance > 0
    if not np.array_equal(noiseless(further, 32), before):
      moved.add(name)
    else:
      assert name in UNSEEN
  assert {'yaw', 'scale', 'shift_x', 'eye_size', 'exposure', 'skin'} <= moved


def test_who_is_not_known_is_read_less_well(some, people, spread, monkeypatch):
  monkeypatch.setattr(pixels, '_nuisances', lambda people: [])
  known = pixels.deviations(some, people, 32)
  assert np.median(spread / known) > 1.3


def test_pixels_tell_more_than_people(some, people, spread):
  population = people.au[:, 0].std(0)
  assert (spread < 1.001 * population).all()
  assert np.median(spread / population) < 0.2
  finer = pixels.deviations(some, people, 64)
  assert (finer < 1.001 * spread).mean() > 0.97


def test_intensities_that_may_vary_freely_are_known_less(some, people, spread):
  free = pixels.deviations(some, people, 32, known=False)
  assert (free > 0.999 * spread).mean() > 0.97


def test_noise_hides(some, people, spread):
  noise = some.traits['noise']
  louder = dataclasses.replace(some, traits=some.traits | {'noise': 3 * noise})
  assert (pixels.deviations(louder, people, 32) > spread).all()


def test_a_hand_hides_the_mouth_alone(some, people):
  def of(hand):
    traits = some.traits | {
      'hand': np.full(12, hand, np.float32),
      'block': np.zeros(12, np.float32),
    }
    return pixels.deviations(
      dataclasses.replace(some, traits=traits), people, 32
    )

  covered, open_ = of(1.0), of(0.0)
  ratio = np.median(covered / open_, axis=0)
  # What is known of tight lips is known of other people.
  assert ratio[MOUTH].min() > 1.05
  assert np.median(ratio[MOUTH]) > 1.5
  brows = [u for u in range(12) if annotator.REGION[u] == 0]
  assert ratio[brows].max() < 1.1


def test_certain_estimates_lose_nothing(some):
  lost = pixels.excess_nll(some, np.full((12, 12), 1e-6))
  np.testing.assert_allclose(lost, 0, atol=1e-6)


def test_the_excess_is_that_of_drawn_estimates(some):
  spread = np.random.default_rng(0).uniform(0.02, 0.15, (12, 12))
  rng = np.random.default_rng(1)
  estimates = some.au[:, 0] + spread * rng.normal(size=(500, 12, 12))
  regions = annotator.REGION[: len(tasks.AU12)]
  visible = some.visible[:, regions]
  around = estimates + spread * rng.normal(size=(150, 1, 12, 12))
  answer = annotator.au_posterior(np.clip(around, 0, 1), visible).mean(0)
  truth = annotator.au_posterior(some.au[:, 0], visible)
  lost = truth * np.log(truth / answer)
  lost += (1 - truth) * np.log((1 - truth) / (1 - answer))
  np.testing.assert_allclose(
    pixels.excess_nll(some, spread), lost.mean((0, 1)), rtol=0.15, atol=2e-3
  )


def test_the_command_prints_a_row_for_each_size(capsys):
  assert pixels.main(['--sizes', '32', '--frames', '4']) == 0
  lines = capsys.readouterr().out.splitlines()
  assert [line.count('|') for line in lines] == [16] * 4
  means = [float(line.split('|')[3]) for line in lines[2:]]
  assert 0 <= means[0] <= means[1] < 0.1


@pytest.mark.parametrize('arguments', [['--frames', '0'], ['--sizes', '1']])
def test_what_cannot_be_measured_is_refused(arguments, capsys):
  with pytest.raises(SystemExit):
    pixels.main(arguments)
  assert '32 pixels or more' in capsys.readouterr().err
