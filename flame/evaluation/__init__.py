"""How good a generated model is on labelled rows, and whether it keeps what was asked for."""

from flame.evaluation.evaluation import Calibration, ClassScores, Evaluation, evaluate_classes, evaluate_numbers

__all__ = ["Calibration", "ClassScores", "Evaluation", "evaluate_classes", "evaluate_numbers"]
