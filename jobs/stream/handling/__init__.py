"""From records to messages: parsed, looked up, scored, and one outcome for each."""
