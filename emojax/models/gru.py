"""A gated recurrent unit over time, in PyTorch's form."""

import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from emojax.models import initialisers


class GRU(nn.Module):
  """One causal GRU layer that starts from zeros.

  The gates are PyTorch's, with two bias vectors: a Flax `GRUCell` has one for
  the reset and update gates and therefore 2 x hidden parameters fewer. The
  gate order of all parameters is reset, update, new.

  The input's share of the gates is one matrix product for all frames; only the
  recurrent share is inside the loop over time.

  Attributes:
    hidden: Size of the state.
    dtype: Compute dtype of the products; the state is float32.
  """

  hidden: int
  dtype: Any = jnp.float32

  @nn.compact
  def __call__(self, x):
    """Maps [B, L, F] to the states [B, L, hidden] after every frame."""
    init, size = (
      initialisers.uniform(1 / math.sqrt(self.hidden)),
      3 * self.hidden,
    )
    kernel_i = self.param('kernel_i', init, (x.shape[-1], size))
    kernel_h = self.param('kernel_h', init, (self.hidden, size))
    bias_i = self.param('bias_i', init, (size,))
    bias_h = self.param('bias_h', init, (size,))
    gates = x.astype(self.dtype) @ kernel_i.astype(self.dtype)
    gates = gates.astype(jnp.float32) + bias_i
    return recur(gates, kernel_h.astype(self.dtype), bias_h)


def recur(gates, kernel, bias):
  """Runs the recurrence on the inputs' gates [B, L, 3 x hidden]."""

  def step(state, inputs):
    recurrent = state.astype(kernel.dtype) @ kernel
    recurrent = recurrent.astype(jnp.float32) + bias
    ri, zi, ni = jnp.split(inputs, 3, axis=-1)
    rh, zh, nh = jnp.split(recurrent, 3, axis=-1)
    reset, update = jax.nn.sigmoid(ri + rh), jax.nn.sigmoid(zi + zh)
    new = jnp.tanh(ni + reset * nh)
    state = (1 - update) * new + update * state
    return state, state

  # Made from the gates so that it varies over the same mapped axes.
  start = jnp.zeros_like(gates[:, 0, : kernel.shape[0]])
  _, states = lax.scan(step, start, gates.swapaxes(0, 1))
  return states.swapaxes(0, 1)
