"""From a running training to committed visits: the one writer, its queue behind the training, its commits."""
