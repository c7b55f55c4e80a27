"""The plan step: choose an array for a model on a board, and write the plan that the other steps read."""

from codesign.planning.document import PlanDocument, load_plan, plan_document
from codesign.planning.write import write_plan

__all__ = ["PlanDocument", "load_plan", "plan_document", "write_plan"]
