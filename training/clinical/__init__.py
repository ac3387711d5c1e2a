"""The recipe of `models/clinical-notes`: data, pre-tuning, training and measures."""
