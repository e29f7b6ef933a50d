"""Known joules through simulated instruments, and what comes out of them."""
