"""Three witnesses compared: the documented order, the prediction, and the kernel."""
