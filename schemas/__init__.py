"""The shape of records on the wire: schema files, types and wire formats. Imports nothing else of Tidemark."""
