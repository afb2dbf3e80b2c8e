"""Published numbers of paper 000 (Aff-Wild2), for reports and comparisons.

Metric names are those of `metrics`; generations are named as in the paper's
tables (`Tea`, `Stu1`, ...). `V` is EMENet-V (visual), `VA` EMENet-VA
(visual-audio). None of these numbers can be reproduced without Aff-Wild2.
"""

from emojax import tasks


def _named(names, values: str) -> dict[str, float]:
  return dict(zip(names, map(float, values.split()), strict=True))


# Weights p_c of Eqs. 2 and 5. The first pair is that of the published code.
# Appendix A prints 24.7 for AU2 and 0.24 for fear: with 3 positives in 50
# frames the ratio is 47/3, and the authors' later code has 15.6 for AU2, so
# that 24.7 is taken for a misprint.
AU_POSITIVE_WEIGHTS = dict(
  zip(
    tasks.AU12,
    (23 / 3, 47 / 3, 21 / 4, 37 / 13, 3 / 2, 13 / 7, 3.0)
    + (97 / 3, 97 / 3, 97 / 3, 37 / 63, 23 / 2),
    strict=True,
  )
)
EXPR_CLASS_WEIGHTS = _named(tasks.AFFWILD2, '2.5 25 40 33 4 5.88 12.5')
AU_POSITIVE_WEIGHTS_PRINTED = _named(
  tasks.AU12, '7.7 24.7 5.3 2.9 1.5 1.9 3 32.3 32.3 32.3 0.59 11.5'
)
EXPR_CLASS_WEIGHTS_PRINTED = _named(
  tasks.AFFWILD2, '0.02 0.2 0.33 0.24 0.03 0.05 0.1'
)

_EMOTION = (
  'au/score',
  'expr/score',
  'va/ccc/valence',
  'va/ccc/arousal',
  'total',
)

# Teachers of EMENet-V on the validation set. T is the size of the ensemble.
# Table 1: (class re-weighting, T). Table 5: (Algorithm 1, T). As printed: the
# scores of (True, 1) add up to 2.1567 and not to their total.
TABLE1 = {
  (False, 1): _named(_EMOTION, '0.6773 0.5128 0.3830 0.5268 2.0999'),
  (False, 5): _named(_EMOTION, '0.6858 0.5354 0.4099 0.5537 2.1848'),
  (False, 10): _named(_EMOTION, '0.6843 0.5449 0.4105 0.5577 2.1974'),
  (True, 1): _named(_EMOTION, '0.6632 0.5541 0.4202 0.5192 2.1527'),
  (True, 5): _named(_EMOTION, '0.6808 0.5779 0.4423 0.5455 2.2465'),
}
TABLE5 = {
  (False, 1): _named(_EMOTION, '0.6307 0.5620 0.3902 0.5344 2.1173'),
  (False, 5): _named(_EMOTION, '0.6487 0.5802 0.4221 0.5585 2.2095'),
  (True, 1): _named(_EMOTION, '0.6632 0.5541 0.4202 0.5192 2.1527'),
  (True, 5): _named(_EMOTION, '0.6808 0.5779 0.4423 0.5455 2.2465'),
}

# Test set: (model, generation, T).
TABLE2 = {
  ('V', 'Stu3', 1): _named(_EMOTION[:4], '0.6320 0.4639 0.4942 0.4355'),
  ('V', 'Stu3', 5): _named(_EMOTION[:4], '0.6328 0.4704 0.5104 0.4419'),
  ('VA', 'Stu2', 1): _named(_EMOTION[:4], '0.6418 0.5046 0.5355 0.4442'),
  ('VA', 'Stu1', 5): _named(_EMOTION[:4], '0.6528 0.5041 0.5326 0.4537'),
}

_AU_NLL = (*(f'au/nll/{name}' for name in tasks.AU12), 'au/nll')
_OTHER = ('expr/nll', 'va/rmse/valence', 'va/rmse/arousal')

# Validation set, mean over single models; TS is temperature scaling, MC is
# Monte Carlo dropout with ten passes. Tables 3 and 4: EMENet-V; 6 and 7: VA.
TABLE3 = {
  'Tea': '.407 .348 .424 .435 .477 .437 .380 .389 .464 .459 .491 .442 .430',
  'Stu1': '.366 .326 .354 .387 .471 .427 .379 .322 .388 .328 .482 .413 .387',
  'Stu2': '.358 .319 .355 .388 .468 .424 .383 .314 .367 .303 .487 .400 .381',
  'Stu3': '.351 .312 .369 .395 .479 .435 .400 .310 .353 .287 .488 .398 .381',
  'Stu4': '.338 .301 .377 .401 .482 .440 .421 .322 .347 .271 .490 .386 .381',
  'TS': '.405 .345 .420 .435 .476 .435 .379 .388 .462 .449 .491 .441 .427',
  'MC': '.408 .350 .455 .429 .472 .422 .362 .357 .402 .499 .485 .414 .421',
}
TABLE4 = {
  'Tea': '1.052 .400 .256',
  'Stu1': '.911 .379 .234',
  'Stu2': '.905 .377 .231',
  'Stu3': '.918 .373 .232',
  'Stu4': '.957 .370 .233',
  'TS': '.998',
  'MC': '1.071 .398 .251',
}
TABLE6 = {
  'Tea': '.380 .302 .427 .407 .472 .422 .352 .307 .378 .394 .466 .401 .392',
  'Stu1': '.326 .264 .366 .381 .459 .412 .355 .256 .289 .256 .458 .359 .348',
  'Stu2': '.320 .261 .368 .384 .465 .419 .366 .256 .280 .251 .467 .352 .349',
  'Stu3': '.308 .255 .359 .388 .469 .427 .383 .262 .276 .233 .474 .342 .348',
  'TS': '.380 .301 .415 .406 .472 .421 .351 .306 .377 .381 .465 .400 .390',
  'MC': '.356 .274 .419 .411 .473 .416 .351 .311 .345 .384 .463 .382 .382',
}
TABLE7 = {
  'Tea': '1.060 .416 .240',
  'Stu1': '.825 .397 .233',
  'Stu2': '.846 .392 .231',
  'Stu3': '.858 .383 .230',
  'TS': '.955',
  'MC': '.994 .416 .237',
}


def _rows(table, names):
  return {
    row: _named(names[: len(values.split())], values)
    for row, values in table.items()
  }


TABLE3, TABLE6 = _rows(TABLE3, _AU_NLL), _rows(TABLE6, _AU_NLL)
TABLE4, TABLE7 = _rows(TABLE4, _OTHER), _rows(TABLE7, _OTHER)

TEACHERS = 'Tea'  # the first generation; students are Stu1, Stu2, ...

# What the numbers were made with (section 4 and appendix A; batches, clip lengths
# and augmentation are the published code's), under the names of configs/gen.py, and
# those of today that the paper knows nothing of, at what does nothing. The trunk
# starts from a network that was trained to find landmarks. Epochs were chosen by
# hand, by the metrics that 'total' adds up.
DATASET, SPLIT = 'Aff-Wild2', 'validation'
PRETRAINED = 'landmarks'
SETTINGS = {
  'V': {
    'data.image_size': 112,
    'data.clip_length': 16,
    'data.eval_clip_length': 64,
    'data.stride': 0,
    'data.tail': 'drop',
    'data.gaps': 'jump',
    'data.val_fraction': 0.0,
    'data.unlabelled_train': False,
    'model.name': 'emenet_v',
    'model.width': 1.0,
    'model.hidden': 128,
    'model.dropout': 0.5,
    'model.head': 'paper',
    'model.dtype': 'float32',
    'ensemble.size': 5,
    'distill.method': 'mean',
    'distill.students': 0,
    'train.epochs': 10,
    'train.clips_per_task': 5,
    'train.max_steps': 0,
    'train.learning_rate': 1e-3,
    'train.schedule': 'step',
    'train.warmup_epochs': 0.0,
    'train.decay_every': 3,
    'train.decay_factor': 0.1,
    'train.weight_decay': 0.0,
    'train.ema': 0.0,
    'train.select': 'total',
    'train.mixup': 0.0,
    'train.augment': 'emenet',
    'train.augment_per': 'frame',
    'train.balance': 'paper',
    'loss.reweight': True,
    'loss.weight_power': 1.0,
    'loss.reweight_students': False,
    'loss.correct_teachers': False,
    'loss.label_smoothing': 0.0,
    'loss.bin_values': 'ends',
    'eval.mc_samples': 10,
    'eval.flip': False,
  }
}
SETTINGS['VA'] = SETTINGS['V'] | {
  'data.clip_length': 8,
  'model.name': 'emenet_va',
  'train.epochs': 15,
  'train.clips_per_task': 8,
  'train.decay_every': 4,
}
# Where 0 stands for the value of another setting.
ZERO_IS = {
  'data.stride': 'data.clip_length',
  'distill.students': 'ensemble.size',
}
