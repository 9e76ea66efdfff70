"""A tokenizer of characters, for models that are too small for a vocabulary."""

from collections.abc import Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

# The response format's marks and the turns' headers are one token each, everything else is one token a character:
# at this size most of the time would go into spelling them.
MARKS = ("<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "system\n", "user\n", "assistant\n")
CHARACTERS = [chr(code) for code in (10, *range(32, 127))]


def character_tokenizer(special: Sequence[str], **settings: Any) -> PreTrainedTokenizerFast:
    """A tokenizer with a family's special tokens first; `settings` are transformers' own (eos_token, pad_token, …)."""
    vocabulary = {token: index for index, token in enumerate([*special, *MARKS, *CHARACTERS])}
    # A character outside the vocabulary reads as a space. The outer tokenizer is not told, or it would make the space
    # a special token, which is left out of decoded text.
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    core.add_tokens([AddedToken(token, normalized=False) for token in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=core, padding_side="left", clean_up_tokenization_spaces=False, **settings
    )
