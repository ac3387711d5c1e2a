"""One module a model: its heads, its data, its licences."""

import importlib


def load(name):
    """The recipe of a model, e.g. `incident-logs`."""
    return importlib.import_module(f"heads.recipes.{name.replace('-', '_')}")


def trained_heads(recipe, data):
    """The shipped heads and, after them, those that only help in training."""
    helping = getattr(recipe, "helping_heads", None)
    return (*recipe.heads(data), *(helping(data) if helping else ()))
