-- tiles of user_spending
SELECT
  `user`,
  TIMESTAMP_MILLIS(`#tile`) AS `tile_start`,
  CAST(SUM(COALESCE(CASE WHEN ABS(`amount` - `discount`) <= 1.7976931348623157E308 THEN `amount` - `discount` END, `amount`)) AS DOUBLE) AS `sum_4a01851e`
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
GROUP BY `user`, `#tile`;
