-- tiles of aircraft_arrivals
SELECT
  `tailnum`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  CAST(COUNT(1) AS BIGINT) AS `count`,
  CAST(MAX(CASE WHEN (`arr_delay`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `arr_delay`) END).`at` AS BIGINT) AS `last_arr_delay__at`,
  CAST(MAX(CASE WHEN (`arr_delay`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `arr_delay`) END).`value` AS DOUBLE) AS `last_arr_delay`,
  CAST(SUM(`arr_delay`) AS DOUBLE) AS `sum_arr_delay`,
  CAST(COUNT(`arr_delay`) AS BIGINT) AS `count_arr_delay`,
  CAST(MIN(`arr_delay`) AS DOUBLE) AS `min_arr_delay`
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
    AND `tailnum` IS NOT NULL
)
GROUP BY `tailnum`, `#tile`;
