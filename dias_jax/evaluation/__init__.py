"""A whole split evaluated, exactly, and how it depends on the reduction's threshold."""
