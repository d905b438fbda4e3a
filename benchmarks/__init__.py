"""Time and memory of the library's queries, side by side with other libraries that can answer them."""
