"""Which weights unlearning moves: all of the model's, or small ones added beside them."""
