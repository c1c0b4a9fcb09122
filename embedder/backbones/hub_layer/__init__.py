"""`frieze.HubLayer`: a TensorFlow Hub module as a Keras 3 layer."""
