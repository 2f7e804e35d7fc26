"""The page of `tf_metagan.demo`: what it shows, and the server behind it."""
