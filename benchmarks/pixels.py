"""How well pixels tell the action units of embedded faces, without a network.

  python -m benchmarks.pixels --sizes 32 48

prints the excess NLL of each action unit that whoever reads single frames perfectly
would still have, in nats: what is left between this and a network's is not of the
pixels. Near the truth an image is taken as linear in what made it (facial actions,
pose, person, light and camera), its sensor noise as normal: the Fisher information
of the pixels, with what is known of people beforehand, gives the deviation of an
intensity's estimate (the Cramer-Rao bound), and the answer is the mean posterior over
it. 'known': intensities vary together as they do in the data; 'unknown': each by
itself anywhere in [0, 1], which asks more of the pixels.
"""

import argparse
import dataclasses

import numpy as np

from emojax import tasks
from emojax.data.embedded import affect, annotator, parameters
from emojax.data.embedded.render import noiseless

FRAME_RATE = 7.5
STEP = 0.005  # of a parameter, for the differences
# Not seen, or not a matter of degree: taken as known.
GIVEN = (
  'noise',
  'glasses',
  'dark_glass',
  'hand',
  'block',
  'block_side',
  'voice',
)
QUANTISED = 1 / 12  # variance of rounding to a byte


def frames(seed: int, count: int, split: str) -> parameters.Parameters:
  """Parameters of `count` single frames, as the data set draws them."""
  return parameters.sample_clip_parameters(
    seed, count, 1, split=split, frame_rate=FRAME_RATE
  )


def _painted(params, size):
  """Frames before the sensor's noise, float64 [N, size x size x 3] in bytes."""
  image = noiseless(params, size)
  return image.reshape(len(image), -1).astype(np.float64)


def _moved(params, group, name, index, step):
  """Parameters with one of them `step` further."""
  if group == 'channels':
    channels = params.channels.copy()
    channels[..., index] += step
    return dataclasses.replace(params, channels=channels)
  values = dict(getattr(params, group))
  values[name] = values[name].astype(np.float32, copy=True)
  at = Ellipsis if index is None else (..., index)
  values[name][at] += np.float32(step)
  return dataclasses.replace(params, **{group: values})


def _nuisances(people):
  """(group, name, index, variance) of what else makes an image."""
  for group in ('motion', 'traits'):
    for name, value in getattr(people, group).items():
      colour = group == 'traits' and value.ndim == 2
      for index in range(value.shape[1]) if colour else (None,):
        spread = (value[:, index] if colour else value).var()
        if name not in GIVEN and spread > 0:
          yield group, name, index, float(spread)


def deviations(params, people, size: int, known: bool = True) -> np.ndarray:
  """Cramer-Rao deviations of the intensities of the action units, [N, 12].

  Args:
    params: Single frames.
    people: Many others, which tell how parameters vary.
    size: Pixels of a side.
    known: How intensities vary together is known; else only their range.
  """
  count = len(affect.CHANNELS)
  nuisances = list(_nuisances(people))
  moved = [('channels', '', i) for i in range(count)]
  moved += [nuisance[:3] for nuisance in nuisances]
  image = _painted(params, size)
  unclipped = (image > 0) & (image < 255)
  slopes = [
    _painted(_moved(params, *what, STEP), size)
    - _painted(_moved(params, *what, -STEP), size)
    for what in moved
  ]
  noise = np.sqrt((255 * params.traits['noise']) ** 2 + QUANTISED)
  slopes = (
    np.stack(slopes, 1) * (unclipped / (2 * STEP * noise[:, None]))[:, None]
  )
  prior = np.zeros((len(moved),) * 2)
  channels = np.cov(people.channels[:, 0].T) if known else 0.25 * np.eye(count)
  prior[:count, :count] = np.linalg.inv(channels + 1e-6 * np.eye(count))
  rest = np.arange(count, len(moved))
  prior[rest, rest] = [1 / nuisance[3] for nuisance in nuisances]
  covariance = np.linalg.inv(slopes @ slopes.transpose(0, 2, 1) + prior)
  return np.sqrt(np.diagonal(covariance, 0, 1, 2)[:, : len(tasks.AU12)])


def excess_nll(params, spread, points: int = 25) -> np.ndarray:
  """Mean excess NLL of each action unit in nats, [12].

  Estimates are normal around the true intensities with deviations `spread` [N, 12];
  the answer to an estimate is the mean of the true posteriors around it.
  """
  z = np.linspace(-3, 3, points)
  weight = np.exp(-(z**2) / 2)
  weight /= weight.sum()
  regions = annotator.REGION[: len(tasks.AU12)]
  visible = params.visible[:, regions, None]
  truth = _posterior(params.au[:, 0, :, None], visible)
  estimate = params.au[:, 0, :, None] + spread[..., None] * z
  around = estimate[..., None] + spread[..., None, None] * z
  answer = _posterior(around, visible[..., None]) @ weight
  lost = truth * np.log(truth / answer)
  lost += (1 - truth) * np.log((1 - truth) / (1 - answer))
  return (lost @ weight).mean(0)


def _posterior(au, visible):
  """`annotator.au_posterior` with the units on axis 1."""
  moved = np.moveaxis(np.clip(au, 0, 1), 1, -1), np.moveaxis(visible, 1, -1)
  return np.moveaxis(annotator.au_posterior(*moved), -1, 1)


def main(arguments: list[str] | None = None) -> int:
  parser = argparse.ArgumentParser(
    description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
  )
  parser.add_argument('--sizes', type=int, nargs='+', default=[32, 48])
  parser.add_argument('--frames', type=int, default=240)
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args(arguments)
  if options.frames < 1 or min(options.sizes) < 32:
    parser.error('expected a frame or more, and 32 pixels or more')
  params = frames(options.seed, options.frames, 'test')
  people = frames(options.seed, 2000, 'train')
  print('| pixels | people | mean | ' + ' | '.join(tasks.AU12) + ' |')
  print('|---|---|' + '---:|' * (1 + len(tasks.AU12)))
  for size in options.sizes:
    for known in (True, False):
      found = excess_nll(params, deviations(params, people, size, known))
      cells = [f'{value:.3f}' for value in (found.mean(), *found)]
      name = 'known' if known else 'unknown'
      print(f'| {size} | {name} | ' + ' | '.join(cells) + ' |')
  return 0


if __name__ == '__main__':
  raise SystemExit(main())
