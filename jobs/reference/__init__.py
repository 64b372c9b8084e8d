"""What is generated for readers: the reference pages of docs/, the rooms on the architecture page, the data contracts."""
