-- tiles of user_ever
WITH `#events` AS (
  SELECT
    *,
    MIN(`amount`) OVER (PARTITION BY `user`, `#tile`) AS `#moments_amount`
  FROM (
    SELECT *
    FROM (
      SELECT *, ROW_NUMBER() OVER (PARTITION BY `id`, `event_time` ORDER BY `user` ASC NULLS FIRST, `shop` ASC NULLS FIRST, `amount` ASC NULLS FIRST, `discount` ASC NULLS FIRST, `items` ASC NULLS FIRST, `paid` ASC NULLS FIRST, `colour` ASC NULLS FIRST, `shipped` ASC NULLS FIRST, `wild` ASC NULLS FIRST) AS `#copy`
      FROM (
        SELECT *, UNIX_MILLIS(`event_time`) AS `#ms`, UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) AS `#tile`
        FROM `events`
        WHERE (`_watermark_ms` IS NULL OR UNIX_MILLIS(`event_time`) - PMOD(UNIX_MILLIS(`event_time`), 300000L) + 299999L > `_watermark_ms`)
      )
    )
    WHERE `#copy` = 1
      AND `user` IS NOT NULL
  )
),
`#base` AS (
  SELECT
    `user`,
    `#tile`,
    CAST(COUNT(1) AS BIGINT) AS `count`,
    CAST(SUM(CASE WHEN `paid` THEN `amount` END) AS DOUBLE) AS `sum_amount_b10b2003`,
    CAST(COUNT(CASE WHEN `paid` THEN `amount` END) AS BIGINT) AS `count_amount_b10b2003`,
    CAST(MAX(`amount`) AS DOUBLE) AS `max_amount`,
    CAST(COUNT(`amount`) AS BIGINT) AS `moments_amount__n`,
    CAST(MIN(`#moments_amount`) AS DOUBLE) AS `moments_amount__pivot`,
    CAST(SUM((`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s1`,
    CAST(SUM((`amount` - `#moments_amount`) * (`amount` - `#moments_amount`)) AS DOUBLE) AS `moments_amount__s2`
  FROM `#events`
  GROUP BY `user`, `#tile`
),
`tally_colour` AS (
  SELECT
    `user`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `tally_colour`
  FROM (
    SELECT
      `user`,
      `#tile`,
      `#in` AS `#sub_key`,
      COUNT(*) AS `#number`
    FROM (
      SELECT
        `user`,
        `#tile`,
        REPLACE(REPLACE(`colour`, '\\', '\\s'), ',', '\\c') AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `#tile`
),
`registers_shop` AS (
  SELECT
    `user`,
    `#tile`,
    CASE WHEN SUM(LENGTH(CAST(`#number` AS STRING)) + LENGTH(`#sub_key`) + 2) <= 100000 THEN ARRAY_JOIN(TRANSFORM(ARRAY_SORT(COLLECT_LIST(STRUCT(`#sub_key` AS `key`, `#number` AS `number`))), e -> CONCAT(CAST(e.`number` AS STRING), ' ', e.`key`)), ',') ELSE '!' END AS `registers_shop`
  FROM (
    SELECT
      `user`,
      `#tile`,
      SUBSTRING(`#in`, 1, 3) AS `#sub_key`,
      MAX(52 - 4 * LENGTH(TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13))) + CASE WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '8' THEN 1 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '4' THEN 2 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '2' THEN 3 WHEN TRIM(LEADING '0' FROM SUBSTRING(`#in`, 4, 13)) >= '1' THEN 4 ELSE 1 END) AS `#number`
    FROM (
      SELECT
        `user`,
        `#tile`,
        MD5(CAST(`shop` AS STRING)) AS `#in`
      FROM `#events`
    )
    WHERE `#in` IS NOT NULL
    GROUP BY `user`, `#tile`, `#sub_key`
  )
  GROUP BY `user`, `#tile`
)
SELECT
  `user`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  `count`,
  `sum_amount_b10b2003`,
  `count_amount_b10b2003`,
  `max_amount`,
  `moments_amount__n`,
  `moments_amount__pivot`,
  `moments_amount__s1`,
  `moments_amount__s2`,
  `tally_colour`,
  `registers_shop`
FROM `#base`
LEFT JOIN `tally_colour` USING (`user`, `#tile`)
LEFT JOIN `registers_shop` USING (`user`, `#tile`);
