"""Texts: reading them, base models, adapters and heads for them, and how they are saved."""
