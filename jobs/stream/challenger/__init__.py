"""Another model in shadow: a worker of a group, slot and topics of its own."""
