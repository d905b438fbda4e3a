"""Small training runs with discrete latent structure: which gradient learns what, at a size two cores can do."""
