"""What is in force, and what is known of it: the control topic and the records in it."""
