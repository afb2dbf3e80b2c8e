"""Finds faces in pictures and videos, crops and follows them."""
