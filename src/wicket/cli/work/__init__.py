"""What commands do, once one has been chosen: loaded no earlier, so that small ones answer at once."""
