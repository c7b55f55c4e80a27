"""RoBERTa: BERT's encoder under another name."""

from dataclasses import replace

from codesign.models.families.bert import FAMILY as BERT

FAMILY = replace(BERT, model_type="roberta")
