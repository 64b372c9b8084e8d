"""What is generated for readers: reference pages, the rooms on the architecture page, data contracts."""
