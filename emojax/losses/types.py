"""Names of types that functions of arrays share."""

import jax
import numpy as np

# What functions of NumPy's and of JAX's arrays take.
Array = jax.Array | np.ndarray
# The same, or one number for all of it.
Scalable = float | Array
