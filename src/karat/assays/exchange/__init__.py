"""How many real records a made one is worth to a learner: lessons that are taught, and the learning curve they are placed on."""
