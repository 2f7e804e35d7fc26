"""From a trained run to a SavedModel that needs neither us nor Keras."""
