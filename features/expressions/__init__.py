"""The portable expression language: parsed and typed once, one meaning in Flink SQL, Spark SQL and Arrow."""
