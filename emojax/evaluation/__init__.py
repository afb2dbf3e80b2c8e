"""Predictions and labels in, flat dictionaries of metrics out."""

from emojax.evaluation.predictions import Predictions, schema_from_json

__all__ = ['Predictions', 'schema_from_json']
