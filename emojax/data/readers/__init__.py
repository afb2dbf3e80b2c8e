"""Readers of data sets from their official on-disk layouts."""
