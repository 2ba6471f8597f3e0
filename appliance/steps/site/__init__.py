"""What a site keeps of its own: its state, its key, what it writes down."""
