"""RoBERTa: BERT's encoder under another name; its positions begin after the padding token's number."""

from dataclasses import replace

from codesign.models.families.bert import FAMILY as BERT

FAMILY = replace(BERT, model_type="roberta", positions_after_padding=True)
