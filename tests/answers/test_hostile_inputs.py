"""More than a hundred inputs of no use, by the command line: never a traceback."""

import csv
import errno
import os
import pathlib
import resource
import signal

import hostile_inputs as hostile
import pytest

import emojax
from emojax import answer
from emojax.answers import gallery, overlay, run, writers
from emojax.answers.session import Session


@pytest.fixture
def command(model, monkeypatch, capfd):
  """Calls the command line; returns its exit code and what it said."""
  monkeypatch.setattr(emojax, 'load', lambda _: model)

  def call(arguments, out, *flags):
    try:
      code = answer.main(
        [*map(str, arguments), '--out', str(out), '--model', 'none', *flags]
      )
    except SystemExit as error:  # of argparse
      code = error.code
    said = ''.join(capfd.readouterr())
    assert 'Traceback' not in said, said
    if code:
      assert 'error:' in said
    return code, said

  return call


@pytest.mark.parametrize('name', hostile.WRONG)
def test_what_is_wrong_is_passed_over_and_named(name, command, tmp_path):
  folder, out = tmp_path / 'in', tmp_path / 'out'
  folder.mkdir()
  (folder / hostile.GOOD).write_bytes(hostile.encoded('PNG'))
  arguments = hostile.WRONG[name](folder)
  code, said = command(arguments, out, '--crops')
  assert code == 0, said
  problems = (out / 'problems.txt').read_text().splitlines()
  assert problems
  assert len(problems) == 1 or name.startswith('a.avi')  # a frame and the end
  assert all('found ' in line for line in problems)
  names = [row['file'].rsplit('/', 1)[-1] for row in rows(out)]
  assert names.count(hostile.GOOD) == 1
  assert (out / 'summary.json').exists()


@pytest.mark.parametrize('name', hostile.ODD)
def test_what_is_odd_is_read(name, command, tmp_path):
  folder, out = tmp_path / 'in', tmp_path / 'out'
  folder.mkdir()
  code, said = command(hostile.ODD[name](folder), out, '--crops')
  assert code == 0, said
  assert (out / 'problems.txt').read_text() == ''
  (path,) = folder.iterdir()
  assert {row['file'] for row in rows(out)} == {str(path)}
  assert all(row['answer'] for row in rows(out))
  assert (out / 'page.html').read_text().count('</script>') == 2


@pytest.mark.parametrize('name', hostile.BOXES)
def test_tables_of_boxes_that_are_read(name, command, tmp_path):
  code, said = command(hostile.BOXES[name](tmp_path), tmp_path / 'out')
  assert code == 0, said
  (row,) = rows(tmp_path / 'out')
  assert [float(row[side]) for side in 'xywh'] == [1, 1, 20, 20]


@pytest.mark.parametrize('name', hostile.REFUSED)
def test_what_is_refused_leaves_nothing(name, command, tmp_path):
  out = tmp_path / 'out'
  code, said = command(hostile.REFUSED[name](tmp_path), out)
  assert code in (1, 2), said
  assert not out.exists()


@pytest.mark.parametrize(
  ('flag', 'name'), [('--boxes', 'boxes.csv'), ('--detector', 'yunet.onnx')]
)
def test_options_that_name_a_pipe_are_refused(flag, name, command, tmp_path):
  path = tmp_path / hostile.GOOD
  path.write_bytes(hostile.encoded('PNG'))
  os.mkfifo(tmp_path / name)
  arguments = [path, flag, tmp_path / name]
  code, said = command(arguments, tmp_path / 'out')
  assert code == 1
  assert name in said
  assert not (tmp_path / 'out').exists()


def test_a_pipe_in_the_place_of_a_command_is_refused(command, tmp_path):
  path, out = tmp_path / hostile.GOOD, tmp_path / 'out'
  path.write_bytes(hostile.encoded('PNG'))
  out.mkdir()
  os.mkfifo(out / 'command.json')
  code, said = command([path], out, '--crops')
  assert code == 1
  assert 'command.json' in said


@pytest.mark.parametrize(
  'make', [os.mkfifo, lambda path: path.symlink_to('/dev/zero')]
)
def test_a_folder_is_not_taken_for_ours_by_what_never_ends(
  make, command, tmp_path
):
  folder, out = tmp_path / 'in' / 'strange', tmp_path / 'out'
  folder.mkdir(parents=True)
  (folder / hostile.GOOD).write_bytes(hostile.encoded('PNG'))
  make(folder / 'command.json')
  code, said = command([tmp_path / 'in'], out, '--crops')
  assert code == 0, said
  (row,) = rows(out)
  assert row['file'] == str(folder / hostile.GOOD)


def rows(out: pathlib.Path):
  with open(out / 'answers.csv', newline='', encoding='utf-8') as file:
    return list(csv.DictReader(file))


# Where to.


@pytest.mark.parametrize(
  'where',
  ['input', 'in input', 'file', 'below file', 'system', 'loop', 'zero', 'long'],
)
def test_outputs_that_cannot_be(where, command, faces, tmp_path):
  file = tmp_path / 'file'
  file.write_text('mine')
  (tmp_path / 'loop').symlink_to('loop')
  out = {
    'input': faces,
    'in input': faces / 'out',
    'file': file,
    'below file': file / 'out',
    'system': '/proc/out',  # where not even root may write
    'loop': tmp_path / 'loop',
    'zero': 'a\0b',
    'long': tmp_path / ('x' * 300),
  }[where]
  before = sorted(faces.iterdir())
  code, said = command([faces], out, '--crops')
  assert code == 1
  assert said.count('\n') == 1  # a line
  assert file.read_text() == 'mine'
  assert sorted(faces.iterdir()) == before


@pytest.mark.skipif(os.geteuid() == 0, reason='root may write anywhere')
def test_an_output_that_is_read_only(command, faces, tmp_path):
  tmp_path.chmod(0o500)
  assert command([faces], tmp_path / 'out', '--crops')[0] == 1
  tmp_path.chmod(0o700)


@pytest.mark.skipif(os.geteuid() == 0, reason='root may read anything')
def test_an_input_that_may_not_be_read(command, tmp_path):
  path = tmp_path / 'a.png'
  path.write_bytes(hostile.encoded('PNG'))
  path.chmod(0)
  code, said = command([path], tmp_path / 'out', '--crops')
  assert code == 1
  assert 'Permission denied' in said


@pytest.fixture
def small_disk():
  """Files may not become larger than that."""
  limit = resource.getrlimit(resource.RLIMIT_FSIZE)
  handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
  yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, limit[1]))
  resource.setrlimit(resource.RLIMIT_FSIZE, limit)
  signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.slow
@pytest.mark.parametrize('size', [200, 3_000, 25_000])
@pytest.mark.parametrize('form', ['csv', 'parquet', 'jsonl'])
def test_a_disk_that_is_full(size, form, command, clip, tmp_path, small_disk):
  """Nothing half written stays, and the same command goes on afterwards."""
  arguments, out = [clip[0], '--to', '2', '--format', form], tmp_path / 'out'
  small_disk(size)
  code, said = command(arguments, out, '--crops')
  small_disk(resource.RLIM_INFINITY)
  assert code == 1
  assert 'File too large' in said
  assert not list(tmp_path.rglob('*.emojax-tmp'))
  assert not (out / 'summary.json').exists()
  assert command(arguments, out, '--crops')[0] == 0
  assert command(arguments, tmp_path / 'whole', '--crops')[0] == 0
  assert contents(out) == contents(tmp_path / 'whole')


@pytest.mark.parametrize('step', ['part', 'table', 'video', 'page', 'end'])
def test_a_disk_that_becomes_full(step, command, clip, tmp_path, monkeypatch):
  owner, name = {
    'part': (Session, 'add'),
    'table': (writers, 'write'),
    'video': (overlay, '_video'),
    'page': (gallery, 'read'),
    'end': (run.Session, 'finish'),
  }[step]

  def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  arguments, out = [clip[0], '--to', '1'], tmp_path / 'out'
  with monkeypatch.context() as patch:
    patch.setattr(owner, name, full)
    code, said = command(arguments, out, '--crops')
  assert code == 1
  assert 'No space left' in said
  assert not (out / 'summary.json').exists()
  assert command(arguments, out, '--crops')[0] == 0


def contents(out):
  return {
    str(path.relative_to(out)): path.read_bytes()
    for path in sorted(out.rglob('*'))
    if path.is_file()
  }


def test_they_are_more_than_a_hundred():
  cases = hostile.WRONG, hostile.ODD, hostile.BOXES, hostile.REFUSED
  assert sum(map(len, cases)) > 120
