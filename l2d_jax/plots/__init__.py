"""Pictures of a report: the numbers that are drawn, and the drawing."""
