"""What makes a call outlive the process: rows and their changes, what one tick commits, and where it is kept."""
