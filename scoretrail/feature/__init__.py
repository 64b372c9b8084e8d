"""What feature code may import: the declaration of a view and of its features."""

from scoretrail.feature.view import Derived, FeatureView, Request, training_inputs

__all__ = ["Derived", "FeatureView", "Request", "training_inputs"]
