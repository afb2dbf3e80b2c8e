"""What a function computes, as a digest: whose code, and what it closes over.

A program that was compiled by an earlier process may stand in for tracing the
same one again only if nothing that tracing depends on has changed. Functions of
the packages below are known by their names, as `environment` has the packages'
versions and `SOURCE` the text of emojax itself; those made at run time by their
code and the values that they hold. What is not understood is an error, never a
guess. Only what is put in the place of a package's own functions at run time, as
tests do, goes unnoticed.
"""

import dataclasses
import functools
import hashlib
import importlib.metadata
import os
import pathlib
import platform
import sys
import sysconfig
import types
from typing import Any

import flax
import jax
import jax.extend.backend
import numpy as np
from jax.core import Tracer

import emojax
from emojax.host import processes

PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'numpy', 'ml_dtypes')
KNOWN = {'emojax', *PACKAGES, *sys.stdlib_module_names}
PLAIN = (type(None), bool, int, float, complex, str, bytes, types.EllipsisType)
VARIABLES = ('XLA_', 'JAX_', 'FLAX_', 'LIBTPU_', 'TF_', 'CUDA_', 'NVIDIA_')


class UnknownError(TypeError):
  """Something in a program is of a kind that has no fingerprint."""


def fingerprint(value: Any) -> str:
  """Digest of a function or value; equal in all processes.

  Functions, methods, partials, arrays, dataclasses (Flax modules among them),
  containers, meshes and tree structures are understood, and whatever a module of a
  known package has under its own name.

  Raises:
    UnknownError: For anything else.
  """
  return _Walk()(value)


def _sha(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()


class _Walk:
  """Digests of objects, each made once; a cycle is where it began."""

  def __init__(self):
    self._done = {}  # by id; the objects are kept, or ids might come again
    self._open = {}

  def __call__(self, x: Any) -> str:
    if isinstance(x, PLAIN):
      return f'{type(x).__name__} {x!r}'
    if id(x) in self._done:
      return self._done[id(x)][1]
    if id(x) in self._open:
      return f'cycle {self._open[id(x)]}'
    self._open[id(x)] = len(self._open)
    name = _known_name(x)
    parts = ('name', name) if name else (type(x).__name__, *_parts(x, self))
    del self._open[id(x)]
    self._done[id(x)] = x, _sha(repr(parts).encode())
    return self._done[id(x)][1]


def _parts(x: Any, describe) -> tuple:
  """What an object without a name of its own consists of."""
  match x:
    case types.FunctionType():
      cells = [_content(cell) for cell in x.__closure__ or ()]
      others = (x.__defaults__, x.__kwdefaults__, x.__dict__)
      _check_known(_home(x), x)
      return _code(x.__code__), describe(cells), describe(others)
    case types.MethodType():
      return describe(x.__self__), describe(x.__func__)
    case functools.partial():
      return describe(x.func), describe(x.args), describe(x.keywords)
    case type() | Tracer():
      raise UnknownError(f'{x!r} is of this process only')
    case jax.Array() | np.ndarray() | np.generic():
      array = np.asarray(x)
      if array.dtype.hasobject:
        raise UnknownError(f'an array of objects: {x!r}')
      weak = getattr(x, 'weak_type', False)
      return str(array.dtype), weak, array.shape, _sha(array.tobytes())
    case jax.sharding.Mesh():
      devices = [(d.id, d.device_kind) for d in x.devices.flat]
      return x.axis_names, x.devices.shape, devices, repr(x.axis_types)
    case np.dtype() | jax.sharding.PartitionSpec() | jax.tree_util.PyTreeDef():
      return (repr(x),)
    case set() | frozenset():
      return tuple(sorted(map(repr, map(describe, x))))
    case dict():
      kind = describe((type(x), getattr(x, 'default_factory', None)))
      return kind, *((describe(k), describe(v)) for k, v in x.items())
    case tuple() | list():
      return describe(type(x)), *map(describe, x)
  if dataclasses.is_dataclass(x):
    fields = [f.name for f in dataclasses.fields(x)]
    values = ((name, describe(getattr(x, name))) for name in fields)
    return describe(type(x)), *values
  raise UnknownError(f'{x!r} of type {type(x).__qualname__}')


def _content(cell):
  try:
    return cell.cell_contents
  except ValueError:  # not yet assigned
    return 'empty'


def _code(code: types.CodeType) -> tuple:
  """Instructions of a function; its constants may be functions again."""
  constants = [
    _code(c) if isinstance(c, types.CodeType) else _constant(c)
    for c in code.co_consts
  ]
  names = (code.co_names, code.co_varnames, code.co_freevars)
  return code.co_qualname, code.co_firstlineno, code.co_code, names, constants


def _constant(x) -> str:
  """As text; sets are in another order in every process."""
  if isinstance(x, frozenset):
    return repr(sorted(map(repr, x)))
  return repr(x)


def _home(function: types.FunctionType) -> str | None:
  """Module of a function's text; `__module__` may be that of what it wraps."""
  return function.__globals__.get('__name__')


def _check_known(module: str | None, x: Any):
  root = (module or '').split('.')[0]
  if root not in KNOWN or not _is_installed(root):
    raise UnknownError(f'{x!r} is of module {module}, whose version is unknown')


@functools.cache
def _is_installed(root: str) -> bool:
  """Whether a known package is the one whose version is known.

  Not a user's file of the same name, and no checkout whose text may change.
  """
  file = getattr(sys.modules.get(root), '__file__', None)
  if root in sys.stdlib_module_names:
    paths = sysconfig.get_paths()
    places: list[Any] = [paths['stdlib'], paths['platstdlib']]
  elif root in PACKAGES:
    places = [importlib.metadata.distribution(root).locate_file('')]
  else:
    return True
  real = file and pathlib.Path(file).resolve()
  return not real or any(
    real.is_relative_to(pathlib.Path(place).resolve()) for place in places
  )


def _known_name(x: Any) -> str | None:
  """'module:name' if that is how a known package calls exactly this object."""
  module = getattr(x, '__module__', None)
  name = getattr(x, '__qualname__', None) or getattr(x, '__name__', None)
  if isinstance(x, types.ModuleType):
    _check_known(x.__name__, x)
    return x.__name__
  if not (isinstance(module, str) and isinstance(name, str)):
    return None
  found = sys.modules.get(module)
  for part in name.split('.'):
    found = getattr(found, part, None)
  if found is not x:
    return None
  _check_known(module, x)
  if isinstance(x, types.FunctionType):
    _check_known(_home(x), x)
  return f'{module}:{name}'


def source() -> str | None:
  """Digest of the text of the package, as it is on disk now; None without."""
  root = pathlib.Path(emojax.__file__).parent
  digest, paths = hashlib.sha256(), sorted(root.rglob('[!.]*.py'))
  try:
    for path in paths:
      text = path.read_bytes()
      digest.update(f'{path.relative_to(root)} {len(text)} '.encode() + text)
  except OSError:  # it is being changed
    return None
  return digest.hexdigest() if paths else None


# Of what has been imported: files may be edited while a program runs.
SOURCE = source()


def environment() -> str:
  """Digest of all else that a compiled program depends on.

  Versions, JAX's settings (but for where it keeps files), variables of the
  environment, devices and the processor. The `SOURCE` comes in addition.
  """
  settings = {k: v for k, v in jax.config.values.items() if 'cache' not in k}
  facts = (
    platform.python_version(),
    [(name, importlib.metadata.version(name)) for name in PACKAGES],
    sorted((k, repr(v)) for k, v in settings.items()),
    repr(flax.config),
    sorted((k, v) for k, v in os.environ.items() if k.startswith(VARIABLES)),
    [(d.id, d.platform, d.device_kind) for d in jax.devices()],
    jax.extend.backend.get_backend().platform_version,
    processes.count(),
    processor(),
  )
  return _sha(repr(facts).encode())


@functools.cache
def processor() -> tuple:
  """What the compiler for CPUs looks at: instructions and number of cores."""
  features = platform.processor()
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
    wanted = ('model name', 'flags', 'Features')
    features = sorted({x for x in lines if x.startswith(wanted)})
  except OSError:
    pass
  cores = getattr(os, 'sched_getaffinity', lambda _: range(os.cpu_count() or 1))
  return platform.machine(), features, len(cores(0))
