"""Every route to an answer, for every structure, against float64 on the plain machine and against enumeration."""
