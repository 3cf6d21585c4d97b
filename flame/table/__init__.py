"""Tables: which generator serves them, how rows become numbers, and how the generators are trained."""
