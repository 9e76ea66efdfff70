"""A Qwen2.5-VL small enough for one CPU core: the real architecture, tokenizer and processor classes, random weights.

The folder it is saved to is one that transformers and vLLM load like any other Qwen2.5-VL.
"""

from pathlib import Path

import torch
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    GenerationConfig,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2_5_VLProcessor,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
)

from mmr1.models.tiny_architecture import TinyArchitecture

# The special tokens of Qwen2.5-VL, under their own names.
SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|vision_pad|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The response format's marks and the turns' headers are one token each, everything else is one token a character:
# at this size most of the time would go into spelling them.
MARKS = ("<think>", "</think>", "<answer>", "</answer>", "\\boxed{", "system\n", "user\n", "assistant\n")
CHARACTERS = [chr(code) for code in (10, *range(32, 127))]

# The turns of Qwen2.5-VL's chat format, without its default system prompt.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}"
    "{% else %}{% for part in message.content %}"
    "{% if part.type == 'image' %}<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}"
    "{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build(folder: Path, architecture: TinyArchitecture, seed: int) -> int:
    """Save a model with weights drawn from `seed`, its tokenizer and its processor; returns the parameter count."""
    processor = build_processor()
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(_config(architecture, processor.tokenizer))
    end, pad = processor.tokenizer.eos_token_id, processor.tokenizer.pad_token_id
    model.generation_config = GenerationConfig(eos_token_id=end, pad_token_id=pad, bos_token_id=pad)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model.num_parameters()


def build_processor() -> Qwen2_5_VLProcessor:
    """A character-level tokenizer and Qwen2-VL's image processor, fixed at 28×28 pixels a visual token."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *MARKS, *CHARACTERS])}
    # A character outside the vocabulary reads as a space. The outer tokenizer is not told, or it would make the space
    # a special token, which is left out of decoded text.
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=" "))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), behavior="isolated")
    core.decoder = decoders.Fuse()
    core.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in SPECIAL])
    core.add_tokens([AddedToken(token, normalized=False) for token in MARKS])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        padding_side="left",
        clean_up_tokenization_spaces=False,
        extra_special_tokens={"image_token": "<|image_pad|>", "video_token": "<|video_pad|>"},
    )
    pixels = {"min_pixels": 28 * 28, "max_pixels": 16 * 28 * 28}
    size = {"shortest_edge": pixels["min_pixels"], "longest_edge": pixels["max_pixels"]}
    return Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(size=size, patch_size=14, merge_size=2, temporal_patch_size=2),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(size=size, patch_size=14, merge_size=2, temporal_patch_size=2),
        chat_template=CHAT_TEMPLATE,
    )


def _config(architecture: TinyArchitecture, tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLConfig:
    token = tokenizer.convert_tokens_to_ids
    head = architecture.hidden_size // architecture.heads
    # The rotary dimensions are shared between time, height and width as in the released models (1 : 1.5 : 1.5).
    time = head // 8
    height = (head // 2 - time) // 2
    return Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": architecture.hidden_size,
            "intermediate_size": architecture.intermediate_size,
            "num_hidden_layers": architecture.layers,
            "num_attention_heads": architecture.heads,
            "num_key_value_heads": architecture.key_value_heads,
            "max_position_embeddings": architecture.max_position_embeddings,
            "initializer_range": architecture.initializer_range,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [time, height, head // 2 - time - height],
            },
            "bos_token_id": token("<|endoftext|>"),
            "eos_token_id": token("<|im_end|>"),
            "pad_token_id": token("<|endoftext|>"),
        },
        vision_config={
            "depth": architecture.vision_depth,
            "hidden_size": architecture.vision_hidden_size,
            "intermediate_size": architecture.vision_intermediate_size,
            "num_heads": architecture.vision_heads,
            "initializer_range": architecture.initializer_range,
            "out_hidden_size": architecture.hidden_size,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "fullatt_block_indexes": [architecture.vision_depth - 1],
        },
        image_token_id=token("<|image_pad|>"),
        video_token_id=token("<|video_pad|>"),
        vision_start_token_id=token("<|vision_start|>"),
        vision_end_token_id=token("<|vision_end|>"),
        # Untied: reloading tied weights in place gives wrong outputs in vLLM's CPU build.
        tie_word_embeddings=False,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
        dtype="float32",
    )
