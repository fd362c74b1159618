"""Statements of papers, checked by running them: one module for each claim, listed in the order of docs/claims.md."""

# A claim is a module of this package with a module-level `CLAIM`, light to import. Add it here, in the place that its
# section has in docs/claims.md.
MODULES = (
    "pcgrad_landscape",
    "tag",
    "it_mtl",
    "unitary",
    "conflict_width",
    "negative_transfer",
    "soft_modules",
    "cubic",
    "distractors",
    "decisions",
    "logit_fusion",
    "mbml",
    "rcm",
    "mu2net",
)
