-- events_arrivals_300000
WITH `on_time` AS (
  SELECT `flight_id`, `event_time`, `carrier`, `tailnum`, `origin`, `dest`, `arr_delay`, `_time_ms`, `_time` FROM `checked_arrivals` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 300000) + 300000, 300000)) + 299999 <= `_watermark_ms`, FALSE)
)
SELECT `flight_id`, `event_time`, `carrier`, `tailnum`, `origin`, `dest`, `arr_delay`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `flight_id`, `_time_ms`
      ORDER BY `carrier` ASC, `tailnum` ASC, `origin` ASC, `dest` ASC, `arr_delay` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_destination_arrivals
WITH `input` AS (
  SELECT
    `dest`,
    `_time_ms`,
    `_time`,
    CASE WHEN `arr_delay` > 15.0E0 THEN 1 END AS `_in1`,
    `arr_delay` AS `_in2`
  FROM `events_arrivals_300000`
  WHERE `dest` IS NOT NULL
),
`base` AS (
  SELECT
    `dest`,
    `window_start`,
    `window_end`,
    `window_time`,
    COUNT(*) AS `count`,
    COUNT(`_in1`) AS `count_3e02802f`,
    SUM(`_in2`) AS `sum_arr_delay`,
    COUNT(`_in2`) AS `count_arr_delay`,
    MAX(`_in2`) AS `max_arr_delay`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `dest`, `window_start`, `window_end`, `window_time`
)
SELECT
  `base`.`dest` AS `dest`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`count` AS `count`,
  `base`.`count_3e02802f` AS `count_3e02802f`,
  `base`.`sum_arr_delay` AS `sum_arr_delay`,
  `base`.`count_arr_delay` AS `count_arr_delay`,
  `base`.`max_arr_delay` AS `max_arr_delay`,
  `base`.`window_time` AS `_closed`
FROM `base`;

-- closings of destination_arrivals
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_destination_arrivals`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_arrivals_300000`
)
SELECT
  'destination_arrivals' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
