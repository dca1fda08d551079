"""What is wrong with a picture, and how sure that is."""

from ldrestore.estimators.degradation_predictor import DegradationPredictor, estimates_of
from ldrestore.estimators.given_degradations import given_estimate
from ldrestore.estimators.predictor_losses import focal_loss, soft_cross_entropy, soft_labels

__all__ = [
    "DegradationPredictor",
    "estimates_of",
    "focal_loss",
    "given_estimate",
    "soft_cross_entropy",
    "soft_labels",
]
