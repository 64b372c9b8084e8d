"""Model health: what is known of one model, what is wrong with it, and the page for whoever is on call."""
