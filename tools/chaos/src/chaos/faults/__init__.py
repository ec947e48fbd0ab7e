"""What can be broken, one module for each kind of thing that breaks."""
