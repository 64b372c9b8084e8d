"""What is written with every score, so that it can be found, checked and made again."""
