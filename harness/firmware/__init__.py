"""From a model to a firmware image: generated source, builds, and what the ELF file holds."""
