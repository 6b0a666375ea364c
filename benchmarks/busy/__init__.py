"""What the benchmarks of long windows and busy keys share: cards with an event a minute or less, their tiles, and what windows of them hold."""
