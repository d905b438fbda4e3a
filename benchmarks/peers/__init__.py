"""Other libraries; each module imports its library, and is left out where that is not installed."""
