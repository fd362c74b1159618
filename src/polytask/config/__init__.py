"""Configurations: frozen dataclasses whose fields say of themselves what may be done with them."""
