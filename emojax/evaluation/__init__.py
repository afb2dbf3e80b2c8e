"""Predictions and labels in, flat dictionaries of metrics out."""

from emojax.evaluation.context import choose_split
from emojax.evaluation.evaluate import evaluate
from emojax.evaluation.predictions import Predictions, schema_from_json

__all__ = ['Predictions', 'choose_split', 'evaluate', 'schema_from_json']
