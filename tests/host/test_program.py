"""What all commands say of their arguments."""

import importlib

import pytest

from emojax.data.prepare import arguments

PARSERS = {
  'answer': ['picture.png', '--out', ''],
  'calibrate': ['ferplus', '--out', ' '],
  'evaluate': ['--workdir', ''],
  'export': ['--workdir', '', '--out', 'made'],
}


@pytest.mark.parametrize('command', PARSERS)
def test_an_empty_name_is_no_folder(command, capsys):
  """As of a variable of the shell that is not set: not the current folder."""
  parser = importlib.import_module(f'emojax.{command}').parser()
  with pytest.raises(SystemExit):
    parser.parse_args(PARSERS[command])
  assert "'' is no folder: is a variable not set?" in capsys.readouterr().err


@pytest.mark.parametrize(
  'given',
  [['--source', '', '--out', 'made'], ['--source', 'given', '--out', '']],
)
def test_nothing_is_prepared_of_or_to_no_folder(given, capsys):
  with pytest.raises(SystemExit):
    arguments.parse(['fer2013', *given], None)
  assert 'is a variable not set?' in capsys.readouterr().err
