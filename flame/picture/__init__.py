"""Pictures: reading them, what they have in common, and training adapters on them."""
