"""Make tiny-chat: a chat model of under a megabyte that knows nothing.

    python3 make.py OUTDIR

OUTDIR becomes a Llama model repository in the Hugging Face layout, small enough to build and serve anywhere, yet served
by the same code as a real one. Its answers are made-up words ("balu kito mera") that go on until the request's limit.

The same bytes come out on every machine: a weight is a byte of SHAKE-256 times a power of two, exact in bfloat16, so no
random number generator, rounding mode or maths library has a say. Running again leaves an up-to-date file untouched.

Exit codes: 0 the model is there, 1 it could not be written, 2 bad arguments, 130 interrupted.
"""

import argparse
import hashlib
import json
import os
import struct
import sys
from itertools import chain
from pathlib import Path

# The stream of weights is named after this: a change of the recipe below must change it too.
RECIPE = "tiny-chat/1"

LAYERS = 2
HIDDEN = 128
INTERMEDIATE = 256
HEADS = 4
KV_HEADS = 2  # fewer than HEADS, so that grouped-query attention is exercised
HEAD_SIZE = HIDDEN // HEADS  # 32, the smallest that vLLM takes on a CPU
CONTEXT = 4096

BOS, EOS, PAD = "<s>", "</s>", "<pad>"
SPECIAL_TOKENS = [BOS, EOS, PAD, "<|system|>", "<|user|>", "<|assistant|>"]

CONSONANTS = "bdfghjklmnprstvz"
VOWELS = "aeiou"

# The first hidden channel is the same for every token, and no layer writes to it: it works as the bias that a Llama
# output layer lacks, and gives every token that is not a syllable so low a score that it is never drawn.
BIAS_CHANNEL = 2.0
SILENCED = -32.0

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message.role not in ["system", "user", "assistant"] %}
        {{- raise_exception("tiny-chat knows the roles system, user and assistant only") }}
    {%- endif %}
    {{- "<|" ~ message.role ~ "|>" ~ message.content ~ eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- "<|assistant|>" }}
{%- endif %}
"""

README = """\
---
license: cc0-1.0
library_name: transformers
pipeline_tag: text-generation
tags:
- test
---

# tiny-chat

**Random weights. This model knows nothing.** It is for tests and demonstrations of serving: it takes any chat and
answers with made-up words. Nothing it says means anything, and it must not be used for anything else.

- Architecture: Llama with 2 layers of size 128, 4 attention heads over 2 key-value heads, 4096 tokens of context.
- Tokenizer: byte-level BPE; takes any UTF-8 text and merges simple syllables such as `ba` and ` ki`.
- Answers consist of those syllables only and do not end by themselves: set `max_tokens`.
- Training data: none. The weights are SHAKE-256 output in bfloat16; anyone can make the same bytes again.
- Licence: CC0-1.0, as far as there is anything to license.
"""

Matrix = list[list[float]]


def byte_alphabet() -> list[str]:
    """The character that stands for each byte in a byte-level vocabulary, as GPT-2's `bytes_to_unicode` has it.

    Printable Latin-1 stands for itself; the other bytes take the code points from 256 on, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (code for code in range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def syllable_merges() -> list[tuple[str, str]]:
    """The BPE merges: every consonant with every vowel, then every such syllable with a space before it."""
    space = byte_alphabet()[ord(" ")]
    letters = [(consonant, vowel) for consonant in CONSONANTS for vowel in VOWELS]
    return letters + [(space, consonant + vowel) for consonant, vowel in letters]


def vocabulary() -> list[str]:
    """Every token at the index that is its id; the syllables come last."""
    return SPECIAL_TOKENS + byte_alphabet() + ["".join(merge) for merge in syllable_merges()]


def noise(name: str, rows: int, columns: int, bound: float) -> Matrix:
    """Evenly spread values between -bound and bound, for ever the same for this tensor's name.

    A byte gives an odd number from -255 to 255: symmetric around zero, and eight significant bits are what bfloat16
    holds. With a power of two as the bound, nothing is ever rounded.
    """
    stream = hashlib.shake_256(f"{RECIPE}/{name}".encode()).digest(rows * columns)
    values = [(2 * byte - 255) * bound / 256 for byte in stream]
    return [values[start : start + columns] for start in range(0, len(values), columns)]


def tensors() -> dict[str, Matrix]:
    """Every weight by its name in `LlamaForCausalLM`; a norm is a matrix of one row here."""
    tokens = vocabulary()
    shapes = {"model.embed_tokens": (len(tokens), HIDDEN, 1.0), "lm_head": (len(tokens), HIDDEN, 0.25)}
    norms = ["model.norm"]
    writers = []  # the matrices whose output is added to the hidden state
    for layer in (f"model.layers.{index}" for index in range(LAYERS)):
        # These bounds keep hidden states about as long from layer to layer; queries and keys get more, so that
        # attention picks some of the prompt over the rest and different prompts get different answers.
        shapes |= {
            f"{layer}.self_attn.q_proj": (HIDDEN, HIDDEN, 0.25),
            f"{layer}.self_attn.k_proj": (KV_HEADS * HEAD_SIZE, HIDDEN, 0.25),
            f"{layer}.self_attn.v_proj": (KV_HEADS * HEAD_SIZE, HIDDEN, 0.125),
            f"{layer}.self_attn.o_proj": (HIDDEN, HIDDEN, 0.125),
            f"{layer}.mlp.gate_proj": (INTERMEDIATE, HIDDEN, 0.125),
            f"{layer}.mlp.up_proj": (INTERMEDIATE, HIDDEN, 0.125),
            f"{layer}.mlp.down_proj": (HIDDEN, INTERMEDIATE, 0.125),
        }
        norms += [f"{layer}.input_layernorm", f"{layer}.post_attention_layernorm"]
        writers += [f"{layer}.self_attn.o_proj", f"{layer}.mlp.down_proj"]
    weights = {name: noise(name, *shape) for name, shape in shapes.items()}
    weights |= {name: [[1.0] * HIDDEN] for name in norms}

    for name in writers:
        weights[name][0] = [0.0] * len(weights[name][0])
    for row in weights["model.embed_tokens"]:
        row[0] = BIAS_CHANNEL
    first_syllable = len(tokens) - len(syllable_merges())
    for token_id, row in enumerate(weights["lm_head"]):
        row[0] = SILENCED if token_id < first_syllable else 0.0
    return {f"{name}.weight": matrix for name, matrix in weights.items()}


def bfloat16(matrix: Matrix) -> bytes:
    """The values as little-endian bfloat16: the upper half of each float32; exact for all that `noise` gives."""
    values = list(chain.from_iterable(matrix))
    singles = struct.pack(f"<{len(values)}f", *values)
    halves = bytearray(2 * len(values))
    halves[0::2] = singles[2::4]
    halves[1::2] = singles[3::4]
    return bytes(halves)


def safetensors(weights: dict[str, Matrix]) -> bytes:
    """A safetensors file: length of the header, header padded to eight bytes, then the tensors in order of name."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, matrix in sorted(weights.items()):
        start = len(data)
        data += bfloat16(matrix)
        shape = [len(matrix), len(matrix[0])] if len(matrix) > 1 else [len(matrix[0])]
        header[name] = {"data_offsets": [start, len(data)], "dtype": "BF16", "shape": shape}
    text = json.dumps(header, separators=(",", ":"), sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + bytes(data)


def config(special_ids: dict[str, int], vocabulary_size: int) -> dict[str, object]:
    """`config.json`; what is left out has its usual value in a Llama."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": vocabulary_size,
        "max_position_embeddings": CONTEXT,
        "num_hidden_layers": LAYERS,
        "hidden_size": HIDDEN,
        "intermediate_size": INTERMEDIATE,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_SIZE,
        "rms_norm_eps": 1e-05,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "tie_word_embeddings": False,
        **special_ids,
    }


def tokenizer(token_ids: dict[str, int]) -> dict[str, object]:
    """`tokenizer.json`, for the `tokenizers` library."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    flags = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}
    begin = {"SpecialToken": {"id": BOS, "type_id": 0}}
    first, second = ({"Sequence": {"id": text, "type_id": 0}} for text in "AB")
    return {
        "version": "1.0",
        "added_tokens": [{"id": token_ids[token], "content": token, **flags} for token in SPECIAL_TOKENS],
        "pre_tokenizer": byte_level,
        "model": {"type": "BPE", "vocab": token_ids, "merges": syllable_merges()},
        "decoder": byte_level,
        # For plain completions; a chat gets its <s> from the template.
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, first],
            "pair": [begin, first, second],
            "special_tokens": {BOS: {"id": BOS, "ids": [token_ids[BOS]], "tokens": [BOS]}},
        },
    }


def repository() -> dict[str, bytes]:
    """The model's files by name."""
    token_ids = {token: token_id for token_id, token in enumerate(vocabulary())}
    special_tokens = {"bos_token": BOS, "eos_token": EOS, "pad_token": PAD}
    special_ids = {f"{role}_id": token_ids[token] for role, token in special_tokens.items()}
    documents: dict[str, dict[str, object]] = {
        "config.json": config(special_ids, len(token_ids)),
        # No sampling parameters: vLLM would take them as the defaults of every request.
        "generation_config.json": {**special_ids},
        "tokenizer.json": tokenizer(token_ids),
        # This class takes tokenizer.json as it is, whatever transformers holds to be right for a Llama.
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            **special_tokens,
        },
    }
    return {
        "README.md": README.encode(),
        "chat_template.jinja": CHAT_TEMPLATE.encode(),
        "model.safetensors": safetensors(tensors()),
        **{name: (json.dumps(document, indent=2) + "\n").encode() for name, document in documents.items()},
    }


def put(path: Path, content: bytes) -> bool:
    """Make `path` a file of mode 0644 with this content; False if it already had the content.

    The bytes go to a file beside it that is then renamed, so nobody ever sees half of them.
    """
    if path.is_file() and not path.is_symlink() and path.read_bytes() == content:
        path.chmod(0o644)
        return False
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), 0o644)  # the umask may have taken the group's and others' right to read
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return True


def main() -> int:
    """Read the command line, write what is missing or differs, and say so on standard error."""
    parser = argparse.ArgumentParser(description="Make tiny-chat, a chat model of random weights for tests and demos.")
    parser.add_argument("outdir", metavar="OUTDIR", help="directory for the model; made if it does not exist")
    arguments = parser.parse_args()
    if not arguments.outdir:
        parser.error("OUTDIR is empty")
    outdir = Path(arguments.outdir)
    try:
        if outdir.exists() and not outdir.is_dir():
            parser.error(f"OUTDIR is not a directory: {outdir}")
        if not outdir.exists():
            outdir.mkdir(parents=True)
            outdir.chmod(0o755)
        written = [name for name, content in repository().items() if put(outdir / name, content)]
    except OSError as error:
        print(f"make.py: cannot write the model: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(f"make.py: {outdir}: {'wrote ' + ', '.join(written) if written else 'up to date'}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
