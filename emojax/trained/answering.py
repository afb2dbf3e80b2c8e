"""What every model does with the logits of its members, in NumPy alone.

`model.Model` computes them with JAX, `onnx_model.OnnxModel` with ONNX Runtime, which
needs no JAX: nothing here may import it.
"""

import numbers
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from emojax import tasks, uncertainty
from emojax.data.transform import images
from emojax.host import terminal
from emojax.trained import guarantees
from emojax.trained.description import MEAN
from emojax.uncertainty import Uncertainty, prior, routing
from emojax.uncertainty.temperature import apply as scale

LEARNED = 'uncertainty'  # what a network has learned to doubt, beside logits
MAX_TEXT = 4000  # characters of an error


class ModelError(ValueError):
  """An exported model is damaged or does not fit; says what to do, in one line.

  Args:
    text: May name what a stranger's file holds, of any length.
  """

  def __init__(self, text: str = ''):
    super().__init__(terminal.one_line(text, MAX_TEXT))


class Output(NamedTuple):
  """What a model says about some frames.

  All arrays start with the input's axes up to the height: [N, L], [N] or none.

  Attributes:
    probabilities: Task -> mean probabilities of the members, float32: 'binary'
      [..., A], 'categorical' [..., E], 'binned' [..., D, K].
    members: Task -> the same of every member, with a leading axis M.
    uncertainty: Task, and 'mean' over the tasks, -> `Uncertainty` of normalised
      entropies [...]; the epistemic part of a single model is 0.
    values: Label of a binned task ('valence', 'arousal') -> expectation [...].
    learned: What networks of paper 003 have learned to doubt, mean over the
      members, float32 [...], in the method's own unit; None of other networks.
    calibrated: Whether thresholds of prediction sets apply, which are of
      predictions without temperatures and stochastic passes.
  """

  probabilities: dict[str, np.ndarray]
  members: dict[str, np.ndarray]
  uncertainty: dict[str, Uncertainty]
  values: dict[str, np.ndarray]
  learned: np.ndarray | None = None
  calibrated: bool = True


class Answering:
  """A model but for its network; subclasses define `logits`.

  Attributes:
    metadata: What model.json says.
    schema: The tasks, with their labels in order.
    image_size: Size to which images are brought.
    num_members: M.
    audio: Whether the model also listens.
    bin_values: Values of the bins of binned tasks, [K] or None.
    prior: Task -> log weights of the classes in training, which `predict` takes
      out again; {} for models of before.
  """

  def __init__(self, metadata: dict[str, Any]):
    self.metadata = metadata
    self.schema: tasks.Schema = tasks.schema_from_json(metadata['schema'])
    self.image_size: int = metadata['preprocessing']['image_size']
    self.audio: bool = metadata['preprocessing']['audio'] is not None
    self.num_members: int = len(metadata['members'])
    values = metadata['bin_values']
    self.bin_values: np.ndarray | None = (
      None if values is None else np.array(values, np.float32)
    )
    self.prior: prior.Prior = prior.from_json(
      self.schema, metadata.get('prior', {})
    )

  def logits(
    self,
    image: Any,
    audio: Any = None,
    batch: int = 16,
    samples: int = 0,
    seed: int = 0,
  ) -> dict[str, np.ndarray]:
    """Logits of every member, task -> float32 [M, N, L, outputs]."""
    raise NotImplementedError

  def inputs(self, image: Any, audio: Any = None) -> dict[str, np.ndarray]:
    """Clips uint8 [N, L, H, W, C] and their sound as the network takes them.

    Raises:
      ValueError: If they are of another form; says what to pass.
    """
    image = images.resize(images.check(image), self.image_size)
    image = images.as_trained(image, self.metadata['preprocessing'])
    if self.audio:
      return {
        'image': image,
        'audio': self._check_audio(audio, image.shape[:2]),
      }
    if audio is not None:
      raise ModelError('this model does not listen: call it without audio')
    return {'image': image}

  def _check_audio(self, audio: Any, shape) -> np.ndarray:
    if audio is not None and not np.isfinite(audio).all():
      raise ModelError(
        'audio holds numbers that are not finite: mend its features'
      )
    if audio is None or np.shape(audio)[:2] != shape or np.ndim(audio) != 4:
      found = () if audio is None else np.shape(audio)
      raise ModelError(
        f'this model listens: pass audio {(*shape, 64, 64)}, features as '
        f'{self.metadata["preprocessing"]["audio"]}; got {found}'
      )
    return np.asarray(audio, np.float32)

  def predict(
    self,
    image: Any,
    audio: Any = None,
    *,
    temperature: bool = False,
    batch: int = 16,
    samples: int = 0,
    seed: int = 0,
  ) -> Output:
    """Probabilities and uncertainties.

    They are of the prevalences that the training data have: what class weights
    added to each member's logits is subtracted (`prior`), before temperatures
    and the mean over the members.

    Args:
      image: Faces, uint8: a clip is [L, H, W, C] with an axis of clips in
        front, [N, L, H, W, C]; stills are [N, H, W, C], one still [H, W, C]. C
        is 1 or 3 (RGB). Other sizes than the model's are resized as in
        training. Frames of a clip are one after the other in time.
      audio: As `image` up to its height, then [64, 64]; for models that listen.
      temperature: Scale every member's logits by the temperatures that were
        fitted on the run's validation set.
      batch: Clips that are computed at a time.
      samples: Stochastic passes of every member (MC dropout or DropConnect),
        which then are the members of the output, M * S; 0 for one pass without
        noise. Thresholds are of predictions without.
      seed: Seed of the passes: same seed and batch, same numbers.

    Raises:
      ValueError: If the inputs are not as described, or there are no
        temperatures; says what to pass.
    """
    image = images.as_array(image)
    missing = 5 - image.ndim
    if not 0 <= missing <= 2:
      raise ModelError(
        f'image has shape {image.shape}: expected [N, L, H, W, C], [N, H, W, '
        'C] or [H, W, C]'
      )
    axes = {0: (), 1: (1,), 2: (0, 1)}[missing]
    image = np.expand_dims(image, axes)
    if audio is not None:
      audio = np.expand_dims(np.asarray(audio), axes)
    if temperature and samples:
      raise ModelError('temperatures were fitted without noise: samples=0')
    logits = self.logits(image, audio, batch, samples, seed)
    learned = logits.pop(LEARNED, None)
    logits = prior.correct(self.schema, logits, self.prior)
    if temperature:
      logits = self._scaled(logits)
    output = self._output(logits, tuple(1 + axis for axis in axes))
    output = output._replace(calibrated=not (temperature or samples))
    if learned is None:
      return output
    return output._replace(learned=learned.mean(0).squeeze(axes))

  def _scaled(self, logits):
    found = self.metadata['temperatures'] or {}
    if not found:
      raise ModelError('the model was exported without temperatures')
    scaled = dict(logits)
    for task in self.schema:
      if found.get(task.name) is not None:
        scaled[task.name] = np.stack(
          [
            scale(task, one, np.array(values))
            for one, values in zip(logits[task.name], found[task.name])
          ]
        )
    return scaled

  def _output(self, logits, axes) -> Output:
    # Infinite logits become NaN, which `answers` and `unsure` know of.
    with np.errstate(invalid='ignore'):
      members = {
        task.name: np.asarray(
          uncertainty.probabilities(task, logits[task.name]), np.float32
        ).squeeze(axes)
        for task in self.schema
      }
    mean, parts = uncertainty.multitask_uncertainty(members, self.schema)
    probabilities = {name: probs.mean(0) for name, probs in members.items()}
    values = {}
    for task in self.schema:
      if task.kind == 'binned':
        expected = probabilities[task.name] @ self.bin_values
        values |= {n: expected[..., i] for i, n in enumerate(task.labels)}
    doubt = {**parts, MEAN: mean}
    return Output(probabilities, members, doubt, values)

  def answers(self, output: Output, favour_rare: float = 0.0) -> dict[str, Any]:
    """Decisions by the thresholds of the model.

    Args:
      output: Of `predict`.
      favour_rare: Of tasks with classes: 0 answers the likeliest class, 1 the one
        that is likeliest beside its share of the labels, and so is right equally
        often for all classes, at the cost of frequent ones; or between the two
        (`prior.favoured`).

    Returns:
      Task -> 'categorical': names [...]; 'binary': label -> bool [...];
      'binned': label -> value [...].

    Raises:
      ModelError: If the network's outputs are not finite for some frame: they
        are no answer. `unsure` marks such frames. Or if rare classes are to be
        favoured and the model does not know which these are.
      ValueError: If `favour_rare` is not from 0 to 1.
    """
    _check_output(output)
    real = isinstance(favour_rare, numbers.Real)
    if not real or favour_rare is True or not 0 <= favour_rare <= 1:
      raise ValueError(
        f'favour_rare={favour_rare!r}: expected a number from 0 to 1'
      )
    found = {}
    for task in self.schema:
      probs = output.probabilities[task.name]
      self._check_finite(task, probs)
      if task.kind == 'categorical':
        scores = self.favoured(task, probs, favour_rare)
        found[task.name] = np.array(task.labels)[scores.argmax(-1)]
      elif task.kind == 'binary':
        limits = self.metadata['thresholds']['decision'][task.name]
        found[task.name] = {
          name: probs[..., i] > limits[name]
          for i, name in enumerate(task.labels)
        }
      else:
        found[task.name] = {name: output.values[name] for name in task.labels}
    return found

  def favoured(
    self, task: tasks.Task, probs: np.ndarray, power: float
  ) -> np.ndarray:
    """Scores [..., E] whose largest is the answer; raises as `answers`."""
    if power == 0:
      return probs
    known = self.metadata['thresholds'].get('prevalence', {}).get(task.name)
    if known is None:
      raise ModelError(
        f'the model does not say how frequent the classes of {task.name} are: '
        'calibrate it on its own data (`emojax calibrate` without --split), or '
        'favour_rare=0'
      )
    return prior.favoured(probs, [known[label] for label in task.labels], power)

  def sets(
    self,
    output: Output,
    coverage: float = 0.9,
    methods: Mapping[str, str] | None = None,
    votes: bool = False,
  ) -> dict[str, Any]:
    """Conformal prediction sets, calibrated by subject (docs/guarantees.md).

    Args:
      output: Of `predict`, without temperatures and samples.
      coverage: Share of new people's frames whose set holds the label, one of
        `metadata['conformal']['coverages']`.
      methods: Task -> method, where not the default one.
      votes: Sets for annotators' votes instead of labels.

    Returns:
      Task -> 'categorical': bool [..., E]; 'binary': label -> 'absent',
      'present' or 'unsure' [...]; 'binned': label -> float32 [..., 2], ends.

    Raises:
      ModelError: If the model has no such sets, or its outputs are not finite.
    """
    _check_output(output)
    if not output.calibrated:
      raise ModelError(
        'prediction sets were calibrated without temperatures and stochastic '
        'passes: call predict(..., temperature=False, samples=0)'
      )
    for task in self.schema:
      self._check_finite(task, output.probabilities[task.name])
    try:
      return guarantees.sets(
        self.metadata,
        self.schema,
        output.members,
        coverage,
        methods or {},
        votes,
        self.bin_values,
      )
    except guarantees.NoSetsError as error:
      raise ModelError(str(error)) from None

  def _check_finite(self, task: tasks.Task, probs: np.ndarray):
    """Raises ModelError unless all frames have probabilities."""
    axes = tuple(range(-2 if task.kind == 'binned' else -1, 0))
    bad = np.argwhere(~np.isfinite(probs).all(axis=axes))
    if len(bad):
      where = f', the first at {bad[0].tolist()}' if bad.shape[1] else ''
      raise ModelError(
        f'the network has no finite output of {task.name} for {len(bad)} '
        f'frames{where}: its numbers overflow, so there is no answer. Leave '
        'out these frames, which `unsure` marks'
      )

  def unsure(
    self,
    output: Output,
    share: float = 0.1,
    kind: str = 'total',
    task: str = MEAN,
  ) -> np.ndarray:
    """Frames more uncertain than a share of the run's validation frames.

    Args:
      output: Of `predict`, without temperatures and samples.
      share: One of the shares of `thresholds['uncertainty']`, e.g. 0.1: the
        most uncertain tenth of validation frames would be marked.
      kind: 'total', to reject doubtful answers, 'aleatoric' to notice ambiguous
        frames, or 'epistemic', foreign ones.
      task: A task, or 'mean' over the tasks.

    Returns:
      bool [...]; True where the uncertainty is not finite.

    Raises:
      ModelError: If the model has no such thresholds, or they are of other
        predictions.
    """
    _check_output(output)
    _check_plain(output)
    limit = self._limit(task, kind, share)
    return ~(getattr(output.uncertainty[task], kind) <= limit)  # NaN, too

  def route(
    self,
    output: Output,
    reject: float = 0.05,
    sets: float = 0.2,
    kind: str = 'aleatoric',
    task: str = MEAN,
  ) -> np.ndarray:
    """What to do with each frame: answer, give the set, or reject.

    Frames on which the members disagree are rejected, ambiguous ones are for
    `sets` (docs/guarantees.md). Thresholds are of the run's validation frames.

    Args:
      output: Of `predict`, without temperatures and samples.
      reject: Share of the validation frames that would be rejected, one of the
        shares of `thresholds['uncertainty']`.
      sets: Share of them that would get a set, likewise.
      kind: 'aleatoric', or 'total' for models of before.
      task: A task, or 'mean' over the tasks.

    Returns:
      'answer', 'set' or 'reject', [...].

    Raises:
      ModelError: If the model is a single network, which has no epistemic
        uncertainty, or has no such thresholds.
    """
    _check_output(output)
    if kind not in ('aleatoric', 'total'):
      raise ModelError(f"kind {kind!r}: expected 'aleatoric' or 'total'")
    _check_plain(output)
    if self.num_members == 1:
      raise ModelError(
        'the model is a single network, which does not disagree with itself: '
        'nothing can be rejected by epistemic uncertainty. Use unsure(output)'
      )
    limits = routing.Thresholds(
      self._limit(task, kind, sets), self._limit(task, 'epistemic', reject)
    )
    doubt = output.uncertainty[task]
    return routing.route(getattr(doubt, kind), doubt.epistemic, limits)

  def _limit(self, task: str, kind: str, share: float) -> float:
    """Uncertainty that a share of the validation frames exceeds."""
    limits = self.metadata['thresholds']['uncertainty']
    try:
      return limits[task][kind][str(share)]
    except (KeyError, TypeError):
      if not isinstance(task, str):
        raise ModelError(f'expected the name of a task, not {task!r}') from None
      if not limits:
        raise ModelError(
          'the model was exported without validation data, so it has no '
          'thresholds of uncertainty: compare output.uncertainty with limits of '
          'your own, export it again with the data of the run, or calibrate it '
          '(python -m emojax.calibrate)'
        ) from None
      if kind == 'aleatoric' and kind not in limits.get(task, {kind: 0}):
        raise ModelError(
          "the model was exported before there were thresholds of 'aleatoric' "
          "uncertainty: ask for kind='total', export it again with the data "
          'of its run, or calibrate it (python -m emojax.calibrate)'
        ) from None
      raise ModelError(
        f'no threshold for task {task!r}, {kind!r}, share {share}; there are '
        f'{_there(limits, task, kind)}'
      ) from None


def _there(limits: Mapping[str, Any], task: str, kind: str) -> str:
  """What could have been asked for instead of a threshold that is missing."""
  if task not in limits:
    return f'the tasks {", ".join(limits)}'
  if kind not in limits[task]:
    return f'the kinds {", ".join(limits[task])}'
  return f'the shares {", ".join(limits[task][kind])}'


def _check_output(output: Any):
  """Raises ModelError for what no model has said."""
  if not isinstance(output, Output):
    raise ModelError(
      f'expected what predict(...) has returned, not {type(output).__name__}'
    )


def _check_plain(output: Output):
  """Raises ModelError for predictions that thresholds are not of."""
  if not output.calibrated:
    raise ModelError(
      'thresholds are of predictions without temperatures and stochastic '
      'passes: call predict(..., temperature=False, samples=0)'
    )


def in_batches(
  run: Callable[[dict[str, np.ndarray], int], dict[str, np.ndarray]],
  inputs: dict[str, np.ndarray],
  batch: int,
) -> dict[str, np.ndarray]:
  """Runs a network on some clips at a time.

  Args:
    run: (inputs [batch, ...], number of the first) -> outputs [M, batch, ...].
    inputs: [N, ...].
    batch: Clips that are computed at a time; fewer for few.

  Returns:
    Outputs [M, N, ...].
  """
  count = len(inputs['image'])
  batch = min(batch, 1 << max(0, count - 1).bit_length())
  parts = []
  for start in range(0, count, batch):
    # The last clip is repeated: one compilation serves all batches.
    rows = np.minimum(np.arange(start, start + batch), count - 1)
    parts.append(run({k: array[rows] for k, array in inputs.items()}, start))
  return {
    name: np.concatenate([part[name] for part in parts], 1)[:, :count]
    for name in parts[0]
  }
