"""Under a pull request: two checkouts measured and compared, and what the comment says of them."""
