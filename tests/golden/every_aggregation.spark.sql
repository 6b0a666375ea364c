-- tiles of every_aggregation
SELECT
  `user`,
  `shop`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  CAST(COUNT(1) AS BIGINT) AS `count`,
  CAST(COUNT(`discount`) AS BIGINT) AS `count_discount`,
  CAST(COUNT(CASE WHEN `items` >= 10L THEN 1 END) AS BIGINT) AS `count_3b082ee0`,
  CAST(SUM(`items`) AS BIGINT) AS `sum_items`,
  CAST(SUM(`amount`) AS DOUBLE) AS `sum_amount`,
  CAST(COUNT(`amount`) AS BIGINT) AS `count_amount`,
  CAST(SUM(CASE WHEN `colour` = 'red' THEN `amount` END) AS DOUBLE) AS `sum_amount_280906af`,
  CAST(COUNT(CASE WHEN `colour` = 'red' THEN `amount` END) AS BIGINT) AS `count_amount_280906af`,
  CAST(SUM(CASE WHEN ABS(`amount` / NULLIF(CAST(`items` AS DOUBLE), 0D)) <= 1.7976931348623157E308 THEN `amount` / NULLIF(CAST(`items` AS DOUBLE), 0D) END) AS DOUBLE) AS `sum_4363f764`,
  CAST(COUNT(CASE WHEN ABS(`amount` / NULLIF(CAST(`items` AS DOUBLE), 0D)) <= 1.7976931348623157E308 THEN `amount` / NULLIF(CAST(`items` AS DOUBLE), 0D) END) AS BIGINT) AS `count_4363f764`,
  CAST(MIN(`amount`) AS DOUBLE) AS `min_amount`,
  CAST(MIN(`colour`) AS STRING) AS `min_colour`,
  CAST(MAX(`shipped`) AS TIMESTAMP) AS `max_shipped`,
  CAST(MAX(`items`) AS BIGINT) AS `max_items`,
  CAST(COUNT(`amount`) AS BIGINT) AS `moments_amount__n`,
  CAST(MIN(`#moments_amount`) AS DOUBLE) AS `moments_amount__pivot`,
  CAST(SUM((`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s1`,
  CAST(SUM((`amount` - `#moments_amount`) * (`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s2`,
  CAST(COUNT(CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END) AS BIGINT) AS `moments_items_b10b2003__n`,
  CAST(MIN(`#moments_items_b10b2003`) AS DOUBLE) AS `moments_items_b10b2003__pivot`,
  CAST(SUM((CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`)) AS DOUBLE) AS `moments_items_b10b2003__s1`,
  CAST(SUM((CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`) * (CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END - `#moments_items_b10b2003`)) AS DOUBLE) AS `moments_items_b10b2003__s2`,
  CAST(MIN(CASE WHEN (`amount`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `amount`) END).`at` AS BIGINT) AS `first_amount__at`,
  CAST(MIN(CASE WHEN (`amount`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', `amount`) END).`value` AS DOUBLE) AS `first_amount`,
  CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`at` AS BIGINT) AS `last_colour_2a7467cc__at`,
  CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`tie` AS STRING) AS `last_colour_2a7467cc__tie`,
  CAST(MAX(CASE WHEN (`colour`) IS NOT NULL AND (`amount` > 0.0E0D) THEN NAMED_STRUCT('at', `#ms`, 'tie', `id`, 'value', `colour`) END).`value` AS STRING) AS `last_colour_2a7467cc`,
  CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`at` AS BIGINT) AS `last_paid_372127ba__at`,
  CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`tie` AS BIGINT) AS `last_paid_372127ba__tie`,
  CAST(MAX(CASE WHEN (`paid`) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'tie', `items`, 'value', `paid`) END).`value` AS BOOLEAN) AS `last_paid_372127ba`,
  CAST(MAX(CASE WHEN (CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) END).`at` AS BIGINT) AS `last_0ca41f06__at`,
  CAST(MAX(CASE WHEN (CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) IS NOT NULL THEN NAMED_STRUCT('at', `#ms`, 'value', CAST(PMOD(UNIX_SECONDS(`shipped`), 86400) DIV 3600 AS BIGINT)) END).`value` AS BIGINT) AS `last_0ca41f06`
FROM (
  SELECT
    *,
    MIN(`amount`) OVER (PARTITION BY `user`, `shop`, `#tile`) AS `#moments_amount`,
    MIN(CASE WHEN `paid` THEN CAST(`items` AS DOUBLE) END) OVER (PARTITION BY `user`, `shop`, `#tile`) AS `#moments_items_b10b2003`
  FROM (
    SELECT *
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `id`, `event_time` ORDER BY `user` ASC NULLS FIRST, `shop` ASC NULLS FIRST, `amount` ASC NULLS FIRST, `discount` ASC NULLS FIRST, `items` ASC NULLS FIRST, `paid` ASC NULLS FIRST, `colour` ASC NULLS FIRST, `shipped` ASC NULLS FIRST, `wild` ASC NULLS FIRST) AS `#copy`
      FROM (
        SELECT *, UNIX_MILLIS(`event_time`) AS `#ms`, UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 60000L) AS `#tile`
        FROM `events`
        WHERE (`_watermark_ms` IS NULL OR UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 60000L) + 59999L > `_watermark_ms`)
      )
    )
    WHERE `#copy` = 1
      AND `user` IS NOT NULL
      AND (`paid` OR (`amount` > 100.0E0D))
  )
)
GROUP BY `user`, `shop`, `#tile`;
