"""The example: how late will a flight from New York arrive? Replace this folder's files by yours, or name another by TIDEMARK_DEFINITIONS."""
