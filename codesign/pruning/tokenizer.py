"""A model's tokenizer, checked against the model before anything is trained."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase

from codesign.errors import InputError, reason_of
from codesign.models.family import Family
from codesign.models.shape import check_tokens
from codesign.tasks.task import Task

TRAINED_WITH = "the tokenizer that the model was trained with"
_WORD = "the"


def load_tokenizer(model: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a folder or hub name.

    Raises:
        InputError: There is none, or one that knows no word: where a folder has no vocabulary, transformers makes up
            a tokenizer of special tokens alone.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except Exception as error:  # transformers raises many kinds; all mean "cannot be loaded"
        raise InputError(
            f"the tokenizer cannot be loaded: {reason_of(error)}", field="--model", value=str(model)
        ) from None
    if not set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens):
        raise InputError(
            "there is no tokenizer here, or one without any word",
            file=model,
            accepted=f"tokenizer.json, or vocab.txt, of {TRAINED_WITH}",
        )
    longest = tokenizer.model_max_length
    if isinstance(longest, bool) or not isinstance(longest, int | float) or not longest >= 1:
        raise InputError(
            "not a number of tokens",
            file=Path(model) / "tokenizer_config.json",
            field="model_max_length",
            value=longest,
            accepted="1 or more",
        )
    return tokenizer


def check_tokenizer(
    tokenizer: PreTrainedTokenizerBase,
    family: Family,
    config: PretrainedConfig,
    embeddings: int,
    task: Task,
    tokens: int,
    model: str | Path,
) -> None:
    """Refuse a tokenizer, or a sentence's length, that the model cannot take.

    Args:
        tokenizer: Its ``model_max_length`` becomes what the model takes: no batch is padded beyond it.
        family: The model's.
        config: The model's.
        embeddings: Tokens that the model has embeddings for.
        task: Whether it has pairs of sentences.
        tokens: Longest sentence, or pair, that is asked for.
        model: For errors.

    Raises:
        InputError: Numbers beyond the embeddings, no padding token or another one than the model's, padding on the
            left, token types that the model lacks, too many or too few ``tokens``.
    """
    known = max(tokenizer.get_vocab().values()) + 1
    if known > embeddings:
        raise InputError(
            f"the tokenizer has {known} tokens, the model embeddings for {embeddings}",
            file=model,
            accepted=TRAINED_WITH,
        )
    padding = tokenizer.pad_token_id
    if padding is None:
        raise InputError(
            "the tokenizer has none",
            file=model,
            field="pad_token",
            accepted="tokenizer_config.json with a pad_token of the vocabulary, such as [PAD] or <pad>",
        )
    if family.positions_after_padding and padding != config.pad_token_id:
        raise InputError(
            f"positions count what is not padding; the tokenizer pads with {padding}, the model knows",
            file=model,
            field="pad_token_id",
            value=config.pad_token_id,
            accepted=str(padding),
        )
    if tokenizer.padding_side != "right":
        raise InputError(
            "the first token decides",
            file=model,
            field="padding_side",
            value=tokenizer.padding_side,
            accepted="right",
        )
    words = [_WORD] * (2 if task.pair else 1)
    if family.token_types is not None:
        have = int(getattr(config, family.token_types))
        largest = max(tokenizer(*words).get("token_type_ids", [0]))
        if largest >= have:
            raise InputError(
                f"the tokenizer gives {'a pair' if task.pair else 'a sentence'} token types up to {largest}",
                file=model,
                field=family.token_types,
                value=have,
                accepted=f"{largest + 1} or more, or {TRAINED_WITH}",
            )
    positions = family.most_tokens(config.to_dict())
    most = min(int(tokenizer.model_max_length), *(() if positions is None else (positions,)))
    # Below that, tokenizers cut nothing at all.
    least = tokenizer.num_special_tokens_to_add(pair=bool(task.pair)) + len(words)
    if tokens < least:
        needed = "a pair of words takes" if task.pair else "a word takes"
        raise InputError(
            f"with its special tokens {needed} {least}",
            field="--tokens",
            value=tokens,
            accepted=f"{least} to {most}",
        )
    check_tokens(tokens, most, least)
    tokenizer.model_max_length = most
