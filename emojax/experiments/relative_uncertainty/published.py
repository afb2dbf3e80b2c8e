"""Numbers of paper 003, in per cent: accuracies on clean test labels."""

# Table 1: data set -> method -> noise level -> (mean, standard deviation).
_TABLE1 = {
  'RAF-DB': {
    'baseline': '80.43 0.72 78.01 0.29 75.12 0.78',
    'scn': '81.92 0.69 80.02 0.32 77.46 0.64',
    'dul': '85.08 0.21 81.95 0.32 78.90 0.80',
    'rul': '86.22 0.29 84.34 0.29 82.06 0.44',
  },
  'FER2013': {
    'baseline': '69.25 0.18 64.87 0.32 62.52 0.56',
    'scn': '69.28 0.05 66.30 0.49 62.61 0.82',
    'dul': '69.43 0.27 65.55 0.31 60.98 0.34',
    'rul': '70.29 0.28 67.86 0.35 64.62 0.39',
  },
  'AffectNet': {
    'baseline': '56.85 0.14 54.74 0.62 51.46 0.52',
    'scn': '58.72 0.20 56.35 0.61 52.60 0.86',
    'dul': '58.26 0.10 56.25 0.09 55.09 0.32',
    'rul': '60.66 0.13 58.36 0.28 56.65 0.13',
  },
}
LEVELS = ('10 %', '20 %', '30 %')


def _pairs(text):
  numbers = [float(n) for n in text.split()]
  return dict(zip(LEVELS, zip(numbers[::2], numbers[1::2])))


TABLE1 = {
  data: {method: _pairs(text) for method, text in rows.items()}
  for data, rows in _TABLE1.items()
}


def _row(text):
  return tuple(float(n) for n in text.split())


# Tables 2 and 6: data set -> method -> accuracy at 0, 10, 20, 30 % rejection,
# trained on labels without added noise.
REJECTION = {
  'RAF-DB': {
    'scn': _row('87.35 86.85 86.63 87.28'),
    'conf': _row('88.30 91.78 93.97 95.90'),
    'dul': _row('88.04 90.11 92.58 94.50'),
    'rul': _row('88.98 92.72 95.40 97.35'),
  },
  'FER2013 (private test)': {
    'scn': _row('72.67 72.82 74.29 75.80'),
    'conf': _row('72.69 73.00 73.11 72.97'),
    'dul': _row('73.67 76.01 79.10 82.25'),
    'rul': _row('73.75 77.24 80.98 84.75'),
  },
  'CIFAR-10': {
    'conf': _row('93.47 96.84 98.90 99.56'),
    'scn': _row('95.37 94.87 94.24 94.14'),
    'dul': _row('95.24 98.16 99.22 99.49'),
    'rul': _row('95.58 98.60 99.34 99.44'),
  },
}

# Table 5, RAF-DB: method -> accuracy without and with 10 % rejection.
STRUCTURES = {
  'mix_output': (88.36, 92.17),
  'loss_attention': (88.75, 89.32),
  'rul': (88.98, 92.72),
}
