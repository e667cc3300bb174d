"""Choosing between models: searches whose candidates and folds are trained as one program."""
