"""Which commit changed a figure: git chooses the steps, each is judged in a work tree."""
