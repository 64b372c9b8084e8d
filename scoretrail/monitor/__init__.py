"""What was scored, held against what the model was trained on."""
