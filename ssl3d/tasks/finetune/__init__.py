"""Fine-tuning: from a pre-trained encoder to a model of a downstream task."""
