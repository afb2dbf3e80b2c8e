"""Shape arithmetic of convolutions, shared by the lowerings."""

import itertools

from jax import lax


def per_axis(value, rank: int, name: str) -> tuple[int, ...]:
  """Returns one int per spatial dimension."""
  if isinstance(value, int):
    return (value,) * rank
  if len(value) != rank:
    raise ValueError(
      f'{name}={value}: expected an int or {rank} of them, one for each '
      'spatial dimension'
    )
  return tuple(value)


def check_conv(x_shape, kernel_shape, groups: int):
  """Raises ValueError unless `x` and `kernel` fit each other."""
  if len(kernel_shape) not in (3, 4) or len(x_shape) != len(kernel_shape):
    raise ValueError(
      f'convolution of x {x_shape} with kernel {kernel_shape}: expected '
      '[N, H, W, I] with [kh, kw, I, O], or [N, T, I] with [k, I, O]'
    )
  channels, (per_group, out) = x_shape[-1], kernel_shape[-2:]
  dense = groups == 1 and per_group == channels
  depthwise = groups == channels == out and per_group == 1
  if not dense and not depthwise:
    raise ValueError(
      f'convolution of x {x_shape} with kernel {kernel_shape} and '
      f'groups={groups}: groups must be 1 (kernel [..., {channels}, O]) or '
      f'{channels} (depth-wise, kernel [..., 1, {channels}])'
    )


def out_sizes(sizes, kernel_shape, strides, padding, dilation):
  """Spatial sizes of the output; ValueError if the kernel does not fit."""
  result = []
  for n, k, s, p, d in zip(sizes, kernel_shape, strides, padding, dilation):
    room = n + 2 * p - d * (k - 1) - 1
    if room < 0:
      raise ValueError(
        f'a kernel of {k} (dilation {d}) does not fit a size of {n} with '
        f'padding {p}: use larger inputs'
      )
    result.append(room // s + 1)
  return tuple(result)


def shifted(x, kernel_sizes, strides, padding, dilation):
  """The input each kernel tap sees: a list of [N, *out, C], row-major taps."""
  out = out_sizes(x.shape[1:-1], kernel_sizes, strides, padding, dilation)
  pads = [(0, 0, 0), *((p, p, 0) for p in padding), (0, 0, 0)]
  padded = lax.pad(x, x.dtype.type(0), pads) if any(padding) else x
  taps = []
  for tap in itertools.product(*map(range, kernel_sizes)):
    start = [t * d for t, d in zip(tap, dilation)]
    stop = [b + (n - 1) * s + 1 for b, n, s in zip(start, out, strides)]
    taps.append(
      lax.slice(
        padded,
        (0, *start, 0),
        (x.shape[0], *stop, x.shape[-1]),
        (1, *strides, 1),
      )
    )
  return taps
