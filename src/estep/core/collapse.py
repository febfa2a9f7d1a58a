"""The one way a component may die: an M-step that has no maximum."""

from __future__ import annotations


class Collapsed(ArithmeticError):
    """An M-step has no finite maximum because a component shrank to a point, a line or nothing.

    Attributes
    ----------
    component : int
        Index of the component (or of the group of tied components) that collapsed.
    reason : str
        What was seen, in words, without the component's number.
    """

    def __init__(self, component: int, reason: str) -> None:
        super().__init__(f"component {component}: {reason}")
        self.component = component
        self.reason = reason
