"""The tasks that a model is fine-tuned on while it is pruned: sentences, labels, metrics."""

from codesign.tasks.task import GLUE, OWN, Metric, Task, find_task

__all__ = ["GLUE", "OWN", "Metric", "Task", "find_task"]
