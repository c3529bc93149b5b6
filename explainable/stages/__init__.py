"""What training is of each model; the loop is `training`'s."""
