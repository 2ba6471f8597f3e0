"""What vLLM takes and gives on a GPU, by a signed profile and by its own defaults: ``python -m tests.bench.gpu``."""
