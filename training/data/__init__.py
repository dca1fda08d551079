"""What a run learns from: data sets, the order of samples, captions, instructions and embeddings, the data loader."""
