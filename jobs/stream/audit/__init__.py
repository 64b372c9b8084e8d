"""Published outcomes held against events, and made again."""
