"""One function a figure: takes tensors, returns a `matplotlib.figure.Figure`."""
