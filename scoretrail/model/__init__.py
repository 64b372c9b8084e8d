"""Models as bundles: graphs, manifests, the registry and the scorer."""
