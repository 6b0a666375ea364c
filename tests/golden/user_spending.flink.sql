-- events_events_300000
WITH `on_time` AS (
  SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `_time` FROM `checked_events` WHERE `_kind` = 0 AND NOT COALESCE((`_time_ms` - MOD(MOD(`_time_ms`, 300000) + 300000, 300000)) + 299999 <= `_watermark_ms`, FALSE)
)
SELECT `id`, `event_time`, `user`, `shop`, `amount`, `discount`, `items`, `paid`, `colour`, `shipped`, `wild`, `_time_ms`, `window_time` AS `_time`
FROM (
  SELECT
    *,
    ROW_NUMBER() OVER (
      PARTITION BY `window_start`, `window_end`, `id`, `_time_ms`
      ORDER BY `user` ASC, `shop` ASC, `amount` ASC, `discount` ASC, `items` ASC, `paid` ASC, `colour` ASC, `shipped` ASC, `wild` ASC
    ) AS `_copy`
  FROM TABLE(TUMBLE(TABLE `on_time`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
)
WHERE `_copy` = 1;

-- tiles_user_spending
WITH `input` AS (
  SELECT
    `user`,
    `_time_ms`,
    `_time`,
    CASE WHEN (CASE WHEN ABS(`amount` - `discount`) <= 1.7976931348623157E308 THEN `amount` - `discount` END) IS NOT NULL THEN CASE WHEN ABS(`amount` - `discount`) <= 1.7976931348623157E308 THEN `amount` - `discount` END ELSE `amount` END AS `_in1`
  FROM `events_events_300000`
  WHERE `user` IS NOT NULL
),
`base` AS (
  SELECT
    `user`,
    `window_start`,
    `window_end`,
    `window_time`,
    SUM(`_in1`) AS `sum_4a01851e`
  FROM TABLE(TUMBLE(TABLE `input`, DESCRIPTOR(`_time`), INTERVAL '5' MINUTE))
  GROUP BY `user`, `window_start`, `window_end`, `window_time`
)
SELECT
  `base`.`user` AS `user`,
  CAST(`base`.`window_start` AS TIMESTAMP_LTZ(3)) AS `tile_start`,
  CAST(0 AS BIGINT) AS `revision`,
  `base`.`sum_4a01851e` AS `sum_4a01851e`,
  `base`.`window_time` AS `_closed`
FROM `base`;

-- closings of user_spending
WITH `signs` AS (
  SELECT `_closed` AS `_at`, CAST(1 AS BIGINT) AS `_tiles` FROM `tiles_user_spending`
  UNION ALL
  SELECT `_progress` AS `_at`, CAST(0 AS BIGINT) AS `_tiles` FROM `progress_events_300000`
)
SELECT
  'user_spending' AS `view`,
  CAST(`window_end` AS TIMESTAMP_LTZ(3)) AS `tile_end`,
  COALESCE(SUM(`_tiles`), 0) AS `tiles`
FROM TABLE(TUMBLE(TABLE `signs`, DESCRIPTOR(`_at`), INTERVAL '5' MINUTE))
GROUP BY `window_start`, `window_end`;
