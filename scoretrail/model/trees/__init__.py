"""Tree ensembles scored by a kernel of our own, with the bits of ONNX Runtime: docs/explanation/trees.md."""
