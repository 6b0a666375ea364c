"""The online store: its interface (`store`), what is read, written and proven through it, and its implementations, each a package (`redis`)."""
