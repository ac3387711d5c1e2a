"""Averages checkpoints that share a training path: average.py OUT IN [IN ...]."""

import sys

import torch


def main():
    out, *paths = sys.argv[1:]
    states = [torch.load(path, weights_only=True) for path in paths]
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    torch.save(mean, out)


if __name__ == "__main__":
    main()
