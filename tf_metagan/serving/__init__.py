"""Servers and clients of exported models, from TensorFlow 2.15.1 on."""
