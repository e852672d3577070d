"""Data sets and input pipelines: numpy batches out, nothing here touches a device."""
