"""The prune step: a model is made block-sparse under a plan while it is fine-tuned on a task."""
