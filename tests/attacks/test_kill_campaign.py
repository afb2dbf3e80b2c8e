"""The campaign of `benchmarks.kill` finds programs that are not what they should be."""

import random
import sys

import pytest

from benchmarks import kill, kill_programs

PROGRAM = """
import fcntl, os, pathlib, sys, time
out = pathlib.Path(sys.argv[1])
out.mkdir(exist_ok=True)
lock = open(out / '.lock', 'w')
try:
  fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except OSError:
  sys.exit('error: another process is at work')
for i in range(15):
  path = out / f'{{i}}.txt'
  if path.exists():
    continue
  {write}
  time.sleep(0.03)
"""
ATOMIC = "part = out / '.part'; part.write_text(str(i)); os.replace(part, path)"
TORN = 'path.touch(); time.sleep(0.05); path.write_text(str(i))'
LEFT = "(out / f'log{os.getpid()}.txt').touch(); path.write_text(str(i))"
FAILS = "sys.exit('no room')"


def campaign(tmp_path, write, kills=5):
  text = PROGRAM.format(write=write)
  out = tmp_path / 'out'
  command = [sys.executable, '-c', text, str(out)]
  program = kill_programs.Program(command, out, '0.txt', resumes=True)
  return kill.campaign(program, tmp_path / 'log', kills, random.Random(0))


@pytest.mark.slow
def test_a_program_that_goes_on_where_it_was(tmp_path, capsys):
  assert campaign(tmp_path, ATOMIC) == []
  printed = capsys.readouterr().out
  assert printed.count('\nkill ') == 5
  assert 'two at once: exit codes [0, ' in printed


@pytest.mark.slow
def test_files_that_were_cut_off_are_found(tmp_path):
  assert any('.txt' in name for name in campaign(tmp_path, TORN))


def test_what_a_killed_life_has_left_is_found(tmp_path):
  assert any('log' in name for name in campaign(tmp_path, LEFT, kills=2))


def test_a_program_that_fails_by_itself_ends_the_campaign(tmp_path):
  with pytest.raises(SystemExit, match='exit code 1:\nno room'):
    campaign(tmp_path, FAILS)
