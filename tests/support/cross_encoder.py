"""A tiny cross-encoder that ranks by the words which a document shares with the query, by how its numbers are laid out.

Names and shapes are those of ``BertForSequenceClassification`` in transformers, as vLLM 0.32.0 reads them
(``model_executor/models/bert.py``).  Every word has a number of its own in the hidden state.  In the first
layer a token looks at those of the same word, and a token of the document thereby learns whether the query has
it too.  In the second all look at the document and take the mean of that.  Pooler and classifier pass it on.
"""

import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.umask import umask
from tests.support.weights import safetensors

WORDS = ("cat", "mat", "dog", "sun", "tree", "rain")
CONTEXT = 64

_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS)
_HIDDEN, _INNER, _LAYERS = 32, 4, 2
# Places in the hidden state, behind those of the words.
_IN_QUERY, _IN_DOCUMENT, _SHARED, _SCORE = 28, 29, 30, 31

Cells = Mapping[tuple[int, int], float]


@umask(0o022)  # whoever makes it is not who serves it
def cross_encoder(folder: Path) -> None:
    """Write the model into ``folder``, which is made."""
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors(dict(sorted(_tensors().items()))))
    for name, document in {
        "config.json": _config(),
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": CONTEXT,
            "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
            **{f"{name.lower()}_token": f"[{name}]" for name in ("PAD", "UNK", "CLS", "SEP")},
        },
    }.items():
        (folder / name).write_text(json.dumps(document))


def _config() -> dict[str, Any]:
    return {
        "architectures": ["BertForSequenceClassification"],
        "model_type": "bert",
        "dtype": "float32",
        "vocab_size": len(_TOKENS),
        "hidden_size": _HIDDEN,
        "num_hidden_layers": _LAYERS,
        "num_attention_heads": 1,
        "intermediate_size": _INNER,
        "hidden_act": "gelu",
        "max_position_embeddings": CONTEXT,
        "type_vocab_size": 2,
        "layer_norm_eps": 1e-12,
        "pad_token_id": 0,
        "position_embedding_type": "absolute",
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
    }


def _tokenizer() -> dict[str, Any]:
    """``tokenizer.json``: whole words, and a pair as ``[CLS] query [SEP] document [SEP]``."""
    flags = {"special": True, "normalized": False, "single_word": False, "lstrip": False, "rstrip": False}

    def special(name: str, kind: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": kind}}

    begin = [special("[CLS]", 0), {"Sequence": {"id": "A", "type_id": 0}}, special("[SEP]", 0)]
    names = _TOKENS[:4]
    return {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": name, **flags} for number, name in enumerate(names)],
        "normalizer": {"type": "Lowercase"},
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {name: number for number, name in enumerate(_TOKENS)},
            "unk_token": "[UNK]",
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": begin,
            "pair": [*begin, {"Sequence": {"id": "B", "type_id": 1}}, special("[SEP]", 1)],
            "special_tokens": {
                name: {"id": name, "ids": [number], "tokens": [name]} for number, name in enumerate(names)
            },
        },
    }


def _tensors() -> dict[str, tuple[str, list[int], bytes]]:
    word = {(place, place): 1.0 for place in range(len(_TOKENS))}
    return {
        "bert.embeddings.word_embeddings.weight": _matrix(len(_TOKENS), _HIDDEN, word),
        "bert.embeddings.position_embeddings.weight": _matrix(CONTEXT, _HIDDEN, {}),
        "bert.embeddings.token_type_embeddings.weight": _matrix(
            2, _HIDDEN, {(0, _IN_QUERY): 1.0, (1, _IN_DOCUMENT): 1.0}
        ),
        **_norm("bert.embeddings.LayerNorm"),
        # Strong enough that what looks at others looks at nothing else.
        **_layer(0, query=dict.fromkeys(word, 4.0), key=word, value={(_SHARED, _IN_QUERY): 1.0}),
        **_layer(1, ask={_IN_DOCUMENT: 15.0}, key={(_IN_DOCUMENT,) * 2: 1.0}, value={(_SCORE, _SHARED): 1.0}),
        **_linear("bert.pooler.dense", _HIDDEN, _HIDDEN, {(0, _SCORE): 0.5}),
        **_linear("classifier", 1, _HIDDEN, {(0, 0): 4.0}),
    }


def _layer(
    number: int, *, key: Cells, value: Cells, query: Cells | None = None, ask: Mapping[int, float] | None = None
) -> dict[str, tuple[str, list[int], bytes]]:
    """``query`` depends on the token, ``ask`` does not.  What attention finds is added, and nothing else is done."""
    name = f"bert.encoder.layer.{number}"
    keep = {(place, place): 1.0 for place in (_SHARED, _SCORE)}
    return {
        **_linear(f"{name}.attention.self.query", _HIDDEN, _HIDDEN, query or {}, ask),
        **_linear(f"{name}.attention.self.key", _HIDDEN, _HIDDEN, key),
        **_linear(f"{name}.attention.self.value", _HIDDEN, _HIDDEN, value),
        **_linear(f"{name}.attention.output.dense", _HIDDEN, _HIDDEN, keep),
        **_norm(f"{name}.attention.output.LayerNorm"),
        **_linear(f"{name}.intermediate.dense", _INNER, _HIDDEN, {}),
        **_linear(f"{name}.output.dense", _HIDDEN, _INNER, {}),
        **_norm(f"{name}.output.LayerNorm"),
    }


def _linear(
    name: str, rows: int, columns: int, cells: Cells, bias: Mapping[int, float] | None = None
) -> dict[str, tuple[str, list[int], bytes]]:
    return {
        f"{name}.weight": _matrix(rows, columns, cells),
        f"{name}.bias": _vector([(bias or {}).get(row, 0.0) for row in range(rows)]),
    }


def _norm(name: str) -> dict[str, tuple[str, list[int], bytes]]:
    return {f"{name}.weight": _vector([1.0] * _HIDDEN), f"{name}.bias": _vector([0.0] * _HIDDEN)}


def _matrix(rows: int, columns: int, cells: Cells) -> tuple[str, list[int], bytes]:
    values = [cells.get((row, column), 0.0) for row in range(rows) for column in range(columns)]
    return "F32", [rows, columns], _vector(values)[2]


def _vector(values: list[float]) -> tuple[str, list[int], bytes]:
    return "F32", [len(values)], struct.pack(f"<{len(values)}f", *values)
