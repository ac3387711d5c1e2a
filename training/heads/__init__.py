"""Models of several heads on one encoder: run as `python -m heads.train` from this folder's parent."""
