"""What the Spark jobs share: their session, where rows come from, how they are joined, and the folder that they write."""
