"""One module a model: its heads, its data, its licences."""

import importlib


def load(name):
    """The recipe of a model, e.g. `incident-logs`."""
    return importlib.import_module(f"heads.recipes.{name.replace('-', '_')}")
