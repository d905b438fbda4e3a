"""Every event of small instances, written from the definition of each structure; shares no code with the programs."""
