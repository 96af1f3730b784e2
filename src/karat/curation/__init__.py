"""Which of the records that were drawn leave the house: gates, one file each, and the drawing that goes on until enough passed."""
