"""What a model is: its file, tensors, goldens and operators, and the interpreters on the host."""
