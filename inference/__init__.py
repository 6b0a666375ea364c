"""How a prediction is made: the online store, the model, the scorer."""
