"""`polytask evolve`."""


def evolve(arguments: list[str]) -> int:
    """Parses and runs."""
    from polytask.commands.train import train_kind
    from polytask.training import kinds
    from polytask.training.arguments import folders

    kind = kinds.KINDS["evolution"]
    asked = kind.parse(arguments)
    return train_kind(kind, asked.config, folders(asked))
