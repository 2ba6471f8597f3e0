"""The text of a definition that has a model, what serves it and how."""

MODEL = """\
schema: appliance.definition/v1
name: small
version: 1.0.0
description: a model
weights:
  tiny:
    directory: model
    licence: CC0-1.0
serving:
  tiny:
    weights: tiny
    image: engine
    task: chat
    gpus: 0
    max_model_len: 128
    enable_prefix_caching: true
    enable_chunked_prefill: true
    max_num_seqs: 4
    max_num_queued_reqs: 8
"""
ENGINE = """\
images:
  engine:
    registry:
      image: registry.example/engine:1
    licence: Apache-2.0
"""
SERVED = MODEL + ENGINE
