"""What feature code may import: the declaration of a view and of its features."""

from typing import Final

from scoretrail.feature.schema import Field
from scoretrail.feature.stored import Fallback, Stored
from scoretrail.feature.view import Derived, FeatureView, Request, training_inputs

DEFAULT: Final = Fallback.DEFAULT
REJECT: Final = Fallback.REJECT

__all__ = ["DEFAULT", "REJECT", "Derived", "FeatureView", "Field", "Request", "Stored", "training_inputs"]
