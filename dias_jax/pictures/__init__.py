"""What people look at: overlays on images, tables, pages. Nothing here knows a model."""
