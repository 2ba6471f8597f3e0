"""How a model is served: its profile, the engine's options, the memory that it takes, what a site may narrow."""
