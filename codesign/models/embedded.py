"""The embedded default: a small BERT and its tokenizer, made here from nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from codesign.models.shape import EMBEDDED_DEFAULT, EncoderShape

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def embedded_tokenizer(sentences: Iterable[str]) -> PreTrainedTokenizerBase:
    """A WordPiece tokenizer trained on sentences."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=512, special_tokens=[*special.values(), "[MASK]"], show_progress=False
    )
    tokenizer.train_from_iterator(sentences, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        mask_token="[MASK]",
        **special,
    )


def embedded_model(vocabulary: int, shape: EncoderShape = EMBEDDED_DEFAULT) -> PreTrainedModel:
    """A BERT of the given shape with random weights (from torch's global generator)."""
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=shape.hidden,
            num_hidden_layers=shape.layers,
            intermediate_size=shape.ffn,
            num_attention_heads=shape.heads,
            max_position_embeddings=128,
            # 1/√width: from BERT's own 0.02, so narrow a model takes longer to find the rule.
            initializer_range=shape.hidden**-0.5,
            # So few weights on sentences made by rule: nothing to be regularised.
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
