"""What all tests share."""

import os

import hypothesis

# Before TensorFlow is imported by any test.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# The same examples at every run, however busy the machine is.
hypothesis.settings.register_profile(
    "tf_metagan", deadline=None, derandomize=True
)
hypothesis.settings.load_profile("tf_metagan")
