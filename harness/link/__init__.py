"""The wire between host and board: bytes, frames, requests, and both ends of the conversation."""
