"""The words of a definition: sources, entities, views, services, aggregations. Nothing here computes."""
