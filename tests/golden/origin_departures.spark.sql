-- tiles of origin_departures
SELECT
  `origin`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  CAST(COUNT(1) AS BIGINT) AS `count`,
  CAST(COUNT(CASE WHEN `dep_delay` > 15.0E0D THEN 1 END) AS BIGINT) AS `count_64f74b0a`,
  CAST(SUM(`dep_delay`) AS DOUBLE) AS `sum_dep_delay`,
  CAST(COUNT(`dep_delay`) AS BIGINT) AS `count_dep_delay`,
  CAST(COUNT(`dep_delay`) AS BIGINT) AS `moments_dep_delay__n`,
  CAST(MIN(`#moments_dep_delay`) AS DOUBLE) AS `moments_dep_delay__pivot`,
  CAST(SUM((`dep_delay` - `#moments_dep_delay`)) AS DOUBLE) AS `moments_dep_delay__s1`,
  CAST(SUM((`dep_delay` - `#moments_dep_delay`) * (`dep_delay` - `#moments_dep_delay`)) AS DOUBLE) AS `moments_dep_delay__s2`,
  CAST(MAX(`dep_delay`) AS DOUBLE) AS `max_dep_delay`
FROM (
  SELECT
    *,
    MIN(`dep_delay`) OVER (PARTITION BY `origin`, `#tile`) AS `#moments_dep_delay`
  FROM (
    SELECT *
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `flight_id`, `event_time` ORDER BY `carrier` ASC NULLS FIRST, `flight` ASC NULLS FIRST, `tailnum` ASC NULLS FIRST, `origin` ASC NULLS FIRST, `dest` ASC NULLS FIRST, `distance` ASC NULLS FIRST, `sched_dep` ASC NULLS FIRST, `dep_delay` ASC NULLS FIRST) AS `#copy`
      FROM (
        SELECT *, UNIX_MILLIS(`event_time`) AS `#ms`, UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) AS `#tile`
        FROM `departures`
        WHERE (`_watermark_ms` IS NULL OR UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) + 299999L > `_watermark_ms`)
      )
    )
    WHERE `#copy` = 1
  )
)
GROUP BY `origin`, `#tile`;
