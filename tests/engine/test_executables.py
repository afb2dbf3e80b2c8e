"""Programs on disk: the same numbers without tracing, and never a wrong one."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toy
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from emojax.engine import executables, stack
from emojax.engine.executables import PROGRAM, Program, Store
from emojax.engine.packing import pack
from emojax.host import files, processes

X = np.arange(8, dtype=np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """Where programs are kept during a test."""
  monkeypatch.setattr(executables, '_folder', tmp_path / 'programs')
  return tmp_path / 'programs'


class Traced:
  """A program `x * factor + sin(x)` that counts how often it is traced."""

  def __init__(self, factor=2.0, devices=2, **options):
    self.count = 0
    mesh = stack.make_mesh(devices)

    def run(x):
      self.count += 1
      return x * factor + jnp.sin(x)

    sharding = NamedSharding(mesh, P(stack.MEMBER))
    jitted = jax.jit(run, in_shardings=sharding, **options)
    # Stands for the function, which as one of the tests has no fingerprint.
    self.program = Program(
      functools.partial(jnp.multiply, factor), mesh, jitted, options
    )

  def __call__(self, x=X):
    return np.asarray(self.program(x))


def kept(folder):
  return sorted(folder.glob(f'*{PROGRAM}'))


def test_a_later_process_does_not_trace(folder):
  first, second = Traced(), Traced()
  np.testing.assert_array_equal(first(), second())
  np.testing.assert_array_equal(first(), second())
  assert (first.count, second.count) == (1, 0)
  np.testing.assert_allclose(first(), X * 2 + np.sin(X), rtol=1e-6)


def test_nothing_is_kept_without_a_folder(tmp_path, monkeypatch):
  monkeypatch.setattr(executables, '_folder', None)
  monkeypatch.chdir(tmp_path)
  first, second = Traced(), Traced()
  np.testing.assert_array_equal(first(), second())
  assert (first.count, second.count) == (1, 1)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
  ('change', 'x'),
  [
    ({'factor': 3.0}, X),
    ({'devices': 1}, X),
    ({'devices': 4}, X),
    ({}, X.astype(np.int32)),
    ({}, X[:4]),
    ({}, X[None].repeat(2, 0)),
    ({'compiler_options': {'xla_backend_optimization_level': 1}}, X),
  ],
)
def test_another_program_is_not_taken_for_it(folder, change, x):
  Traced()()
  other = Traced(**change)
  factor = change.get('factor', 2.0)
  np.testing.assert_allclose(other(x), x * factor + np.sin(x), rtol=1e-6)
  assert other.count == 1
  assert len(kept(folder)) == 2


def test_one_program_for_every_type_of_argument(folder):
  traced = Traced()
  for _ in range(2):
    traced(X)
    traced(X[:4])
  assert traced.count == 2


def edit(monkeypatch):
  monkeypatch.setattr(executables.fingerprint, 'source', lambda: 'edited')


def test_nothing_is_kept_of_a_package_that_was_edited_meanwhile(
  folder, monkeypatch
):
  Traced()()
  files = sorted(folder.iterdir())
  edit(monkeypatch)
  traced = Traced()
  traced()
  assert traced.count == 1
  assert sorted(folder.iterdir()) == files


def test_other_source_of_the_same_program(folder, monkeypatch):
  expected = Traced()()
  edit(monkeypatch)
  monkeypatch.setattr(executables.fingerprint, 'SOURCE', 'edited')
  (before,) = kept(folder)
  before_bytes = before.read_bytes()
  again, last = Traced(), Traced()
  np.testing.assert_array_equal(again(), expected)
  np.testing.assert_array_equal(last(), expected)
  assert (again.count, last.count) == (1, 0)  # traced, not compiled
  assert [before] == kept(folder)
  assert before.read_bytes() == before_bytes


def test_other_environment(folder, monkeypatch):
  Traced()()
  monkeypatch.setenv('XLA_SOMETHING', '1')
  other = Traced()
  other()
  assert other.count == 1
  assert len(kept(folder)) == 2


def truncate(path):
  path.write_bytes(path.read_bytes()[:-100])


def flip(path):
  data = bytearray(path.read_bytes())
  data[len(data) // 2] ^= 1
  path.write_bytes(data)


def empty(path):
  path.write_bytes(b'')


@pytest.mark.parametrize('damage', [truncate, flip, empty])
def test_damaged_ones_are_made_anew(folder, damage, caplog):
  expected = Traced()()
  (path,) = kept(folder)
  damage(path)
  again, last = Traced(), Traced()
  np.testing.assert_array_equal(again(), expected)
  assert 'compiled anew' in caplog.text
  assert str(path) in caplog.text
  np.testing.assert_array_equal(last(), expected)
  assert (again.count, last.count) == (1, 0)


@pytest.mark.parametrize('text', [bytes(64), b'\xff' * 64, b'', b'../x' * 16])
def test_damaged_names_are_written_anew(folder, text):
  expected = Traced()()
  (path,) = folder.glob('*.name')
  path.write_bytes(text)
  again, last = Traced(), Traced()
  np.testing.assert_array_equal(again(), expected)
  np.testing.assert_array_equal(last(), expected)
  assert (again.count, last.count) == (1, 0)


def test_the_same_numbers_under_another_name(folder):
  mesh = stack.make_mesh(1)
  for name in ('old', 'new'):
    jitted = jax.jit(lambda x, name=name: pack({name: x + 1}))
    identity = functools.partial(dict, name=name)
    assert list(Program(identity, mesh, jitted, ())(X).tree()) == [name]
  assert len(kept(folder)) == 2


def test_what_cannot_be_written_is_left_to_jax(folder, monkeypatch):
  first = Traced()
  first()
  monkeypatch.setattr(Store, 'save', lambda *_: False)
  other = Traced(3.0)
  np.testing.assert_allclose(other(), X * 3 + np.sin(X), rtol=1e-6)
  assert executables._folder is None
  other(), first()
  assert (first.count, other.count) == (1, 1)  # nothing is compiled again


def test_a_name_without_its_program(folder):
  Traced()()
  kept(folder)[0].unlink()
  again = Traced()
  again()
  assert again.count == 1
  assert len(kept(folder)) == 1


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
  (tmp_path / 'file').write_text('')
  monkeypatch.setattr(executables, '_folder', tmp_path / 'file' / 'programs')
  traced = Traced()
  np.testing.assert_allclose(traced(), X * 2 + np.sin(X), rtol=1e-6)


def test_several_processes_keep_nothing(folder, monkeypatch):
  traced = Traced()
  monkeypatch.setattr(processes, 'count', lambda: 2)
  traced()
  assert not folder.exists()


def test_a_function_without_fingerprint_is_jitted(folder):
  traced = Traced()
  traced.program = Program(
    lambda x: x, stack.make_mesh(1), traced.program.jitted, ()
  )
  traced()
  assert traced.count == 1
  assert not folder.exists()


def test_traced_as_the_jitted_function(folder):
  traced = Traced()
  assert traced.program.eval_shape(X).shape == X.shape
  assert jax.eval_shape(traced.program, X).shape == X.shape
  assert 'sine' in traced.program.lower(X).as_text()
  assert not folder.exists()


def test_jax_keeps_its_own_cache(folder):
  before = jax.config.jax_enable_compilation_cache
  Traced()()
  assert jax.config.jax_enable_compilation_cache == before


@pytest.mark.parametrize('ending', [PROGRAM, executables.NAME])
def test_a_file_under_another_key_is_not_taken_for_it(folder, ending):
  """Whole, with its own checksum, but renamed: it must not run in the other's place."""
  Traced()()
  (first,) = folder.glob(f'*{ending}')
  Traced(3.0)()
  (second,) = set(folder.glob(f'*{ending}')) - {first}
  os.replace(first, second)
  again = Traced(3.0)
  np.testing.assert_allclose(again(), X * 3 + np.sin(X), rtol=1e-6)
  assert again.count == 1


def open_to_all(path):
  path.chmod(0o666)


def open_to_the_group(path):
  path.chmod(0o620)


def linked(path):
  path.rename(path.with_name('elsewhere'))
  path.symlink_to('elsewhere')


@pytest.mark.parametrize('change', [open_to_all, open_to_the_group, linked])
def test_programs_that_others_could_have_written_do_not_run(
  folder, change, caplog
):
  Traced()()
  change(kept(folder)[0])
  again = Traced()
  again()
  assert again.count == 1
  assert 'compiled anew' in caplog.text


def test_programs_of_another_user_do_not_run(folder, monkeypatch, caplog):
  Traced()()
  user = os.geteuid()
  monkeypatch.setattr(os, 'geteuid', lambda: user + 1)
  again = Traced()
  again()
  assert again.count == 1


def test_folders_and_files_are_the_users_alone(folder):
  before = os.umask(0)
  try:
    Traced()()
  finally:
    os.umask(before)
  assert folder.stat().st_mode & 0o777 == 0o700
  assert {p.stat().st_mode & 0o777 for p in folder.iterdir()} == {0o600}


def test_only_its_own_names_are_swept(tmp_path):
  """Whatever else is in the folder, or behind a link in it, is the user's."""
  folder, key = tmp_path / 'programs', 'ab' * 32
  folder.mkdir()
  theirs = [
    folder / name
    for name in (
      'thesis.txt',
      f'thesis{PROGRAM}',
      f'{key}{PROGRAM}.txt',
      f'.{key}{PROGRAM}.{"0" * 32}{files.UNFINISHED}.txt',
    )
  ]
  behind, link = tmp_path / 'behind', folder / f'{"cd" * 32}{PROGRAM}'
  link.symlink_to(behind)
  own = folder / f'{key}{PROGRAM}'
  torn = folder / f'.{key}{PROGRAM}.{"0" * 32}{files.UNFINISHED}'
  for path in (*theirs, behind, own, torn):
    path.write_bytes(bytes(100))
    os.utime(path, (1000, 1000))
  being_written = folder / f'.{key}{PROGRAM}.{"1" * 32}{files.UNFINISHED}'
  being_written.write_bytes(bytes(100))
  Store(folder, jax.devices(), max_bytes=0)._sweep()
  assert not own.exists()
  assert not torn.exists()
  assert sorted(folder.iterdir()) == sorted([*theirs, link, being_written])
  assert behind.exists()


def test_unused_ones_make_room(tmp_path):
  paths = [tmp_path / f'{str(i) * 64}{PROGRAM}' for i in range(4)]
  for age, path in enumerate(paths):
    path.write_bytes(bytes(100))
    os.utime(path, (1000 - age, 1000 - age))
  Store(tmp_path, jax.devices(), max_bytes=250)._sweep()
  assert [path.exists() for path in paths] == [True, True, False, False]


def test_reading_counts_as_use(folder):
  Traced()()
  (path,) = kept(folder)
  os.utime(path, (1000, 1000))
  Traced()()
  assert path.stat().st_mtime > 1000


@pytest.mark.slow
@pytest.mark.parametrize(
  'settings', [{'member_devices': 2}, {'stream_steps': 2}]
)
def test_training_with_programs_from_disk(folder, monkeypatch, settings):
  """Donated states, packed weights, segments, streaming: the same bits."""
  known = executables.fingerprint.KNOWN | {'toy'}  # as if it were of emojax
  monkeypatch.setattr(executables.fingerprint, 'KNOWN', known)

  def train():
    toy.method.cache_clear()  # as another process, which has other functions
    trainer = toy.trainer(members=2, epochs=2, **settings)
    return toy.train(trainer, toy.generation(members=2))

  with monkeypatch.context() as context:
    context.setattr(executables, '_folder', None)
    expected = train()
  compiled, files = train(), kept(folder)
  monkeypatch.setattr(Store, 'save', lambda *_: pytest.fail('compiled again'))
  loaded = train()
  toy.assert_same(compiled, expected)
  toy.assert_same(loaded, expected)
  assert len(files) > 1
  assert kept(folder) == files
