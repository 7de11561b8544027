"""Training and evaluation of the shipped weights; the only part of scoring that needs scikit-learn."""
