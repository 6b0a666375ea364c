-- tiles of destination_arrivals
SELECT
  `dest`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  CAST(COUNT(1) AS BIGINT) AS `count`,
  CAST(COUNT(CASE WHEN `arr_delay` > 15.0E0D THEN 1 END) AS BIGINT) AS `count_3e02802f`,
  CAST(SUM(`arr_delay`) AS DOUBLE) AS `sum_arr_delay`,
  CAST(COUNT(`arr_delay`) AS BIGINT) AS `count_arr_delay`,
  CAST(MAX(`arr_delay`) AS DOUBLE) AS `max_arr_delay`
FROM (
  SELECT *
  FROM (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY `flight_id`, `event_time` ORDER BY `carrier` ASC NULLS FIRST, `tailnum` ASC NULLS FIRST, `origin` ASC NULLS FIRST, `dest` ASC NULLS FIRST, `arr_delay` ASC NULLS FIRST) AS `#copy`
    FROM (
      SELECT *, UNIX_MILLIS(`event_time`) AS `#ms`, UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) AS `#tile`
      FROM `arrivals`
      WHERE (`_watermark_ms` IS NULL OR UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) + 299999L > `_watermark_ms`)
    )
  )
  WHERE `#copy` = 1
)
GROUP BY `dest`, `#tile`;
